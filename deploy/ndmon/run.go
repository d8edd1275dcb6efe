// Package ndmon runs sensor, ruled and pinger in one process, with an embedded NATS server
// unless another one is given. The command line is not here.
package ndmon

import (
	"context"
	"fmt"
	"strings"

	"github.com/ndmon/ndmon/schemas/process"
)

// Run runs sensor, ruled and pinger until the context ends, or until the capture files are
// read and all their alerts are written. It waits for interfaces that do not exist. A
// process.UsageError is a fault of the configuration or the surroundings that a restart does not cure.
func Run(ctx context.Context, cfg Config, d Deps) error {
	if d.Health == nil {
		d.Health = new(process.Health)
	}
	p := &parts{cfg: cfg, deps: d}
	err := p.work(ctx)
	if err == nil && p.keeper != nil {
		p.keeper.stop()
		p.watching.end()
	}
	p.stop()
	if err == nil && cfg.Learn > 0 {
		err = p.writeLearned()
	}
	return err
}

// writeLearned writes the configuration that was learned, or returns why there is none.
func (p *parts) writeLearned() error {
	from := "listen on all Ethernet interfaces"
	switch {
	case p.reading():
		from = "read " + strings.Join(p.cfg.Files, ", ")
		p.learned.Took = 0 // it is the time to read the file
	case len(p.cfg.Interfaces) > 0:
		from = "listen on " + strings.Join(p.cfg.Interfaces, ", ")
	}
	if err := p.learned.WriteRouters(p.deps.Alerts); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

func (p *parts) work(ctx context.Context) error {
	if err := p.start(ctx); ctx.Err() != nil {
		return nil // stopped during the start
	} else if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.output.Failed():
		return err
	case err := <-p.ended: // for capture files, after the last
		return err
	}
}
