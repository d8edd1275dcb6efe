package ndmon

import (
	"context"
	"errors"
	"fmt"

	"github.com/ndmon/ndmon/deploy/web"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// startWeb starts the page, on a connection of its own: that of the parts does not receive what they publish. The file has the
// rules, if there is one.
func (p *parts) startWeb(ctx context.Context, file string) error {
	var page web.Config
	var cfg bus.Config
	if err := errors.Join(process.Environment("WEB", &page), process.Environment("", &cfg)); err != nil {
		return process.UsageError{Err: err}
	}
	page.Listen, page.Rules = p.cfg.Web, file
	options := bus.Options{Name: "ndmon-web", Log: p.deps.Log.With("part", "web"), Registry: p.deps.Registry}
	cfg.URL = p.cfg.NATS
	if p.server != nil {
		cfg = bus.Config{URL: "nats://in-process", NKey: p.server.seedFile}
		options.InProcess = p.server
		if p.edge != nil {
			options.Inboxes, page.Central = p.edge.Inboxes, schemas.UplinkRules
		}
	}
	conn, err := bus.Connect(cfg, options)
	if err != nil {
		return process.UsageError{Err: fmt.Errorf("--web: %w", err)}
	}
	health := p.deps.Health.Part("page")
	p.run(ctx, func(ctx context.Context) error {
		defer conn.NATS().Close()
		return web.Run(ctx, page, "--web", web.Deps{Log: options.Log, Conn: conn, Health: health, Registry: p.deps.Registry})
	})
	return nil
}
