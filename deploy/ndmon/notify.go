package ndmon

import (
	"context"
	"path/filepath"

	"github.com/ndmon/ndmon/deploy/notify"
	"github.com/ndmon/ndmon/schemas/process"
)

// startNotify starts to deliver alerts to receivers. It is called before ruled stores its first alert.
func (p *parts) startNotify(ctx, wait context.Context) error {
	n, err := notify.New(wait, notify.Config{
		Receivers: p.cfg.AlertTo, Directory: filepath.Join(p.server.dir, notify.Directory), Conn: p.conn(),
		Log: p.deps.Log.With("part", "notify"), Registry: p.deps.Registry, Health: p.deps.Health,
	})
	if err != nil {
		return process.UsageError{Err: err}
	}
	p.run(ctx, n.Run)
	return nil
}
