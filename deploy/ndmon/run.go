// Package ndmon runs sensor, ruled and pinger in one process, with an embedded NATS server
// unless another one is given. The command line is not here.
package ndmon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ndmon/ndmon/schemas/process"
)

// lastEvents is the time to evaluate the last events when ndmon is stopped. With lastDrain
// for each connection, that takes less than two seconds.
const lastEvents = 400 * time.Millisecond

// Run runs sensor, ruled and pinger until the context ends, or until the capture files are
// read and all their alerts are written. A process.UsageError is a fault of the
// configuration.
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
	cfg, d := p.cfg, p.deps
	if !p.reading() {
		if err := checkInterfaces(cfg); err != nil {
			return process.UsageError{Err: err}
		}
	}
	if err := p.start(ctx); ctx.Err() != nil {
		return nil // stopped during the start
	} else if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		if err := p.finish(context.WithoutCancel(ctx), lastEvents); err != nil {
			d.Log.Warn("stopping before all events are evaluated", "error", err)
		}
		return nil
	case err := <-p.output.Failed():
		return err
	case err := <-p.ended:
		if p.reading() {
			// What could be read of the files has all the time that it needs.
			err = errors.Join(err, p.finish(ctx, time.Hour))
		}
		return err
	}
}

// finish stops the sensor and waits until its events are evaluated.
func (p *parts) finish(ctx context.Context, events time.Duration) error {
	if len(p.running) == 0 || p.sensor == nil || !p.ruled.Connected() {
		return nil
	}
	p.sensor.stop()
	wait, cancel := context.WithTimeout(ctx, events)
	defer cancel()
	if err := p.evaluated(wait); err != nil {
		return fmt.Errorf("wait for the evaluation of the last events: %w", err)
	}
	return nil
}
