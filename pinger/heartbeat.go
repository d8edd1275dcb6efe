package pinger

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// beat publishes that the pinger receives commands, until ctx ends, and then that it has stopped. A
// heartbeat that NATS does not get is not sent again: it would say that the pinger ran.
func beat(ctx context.Context, cfg Config, deps Deps) {
	state := schemas.Heartbeat{Started: deps.now().UTC(), Interval: uint32((cfg.Heartbeat + time.Second - 1) / time.Second)}
	publish := func() {
		deps.publish(&schemas.Event{ // the connection reports what it cannot send
			Type: schemas.TypeEvent, ID: rand.Text(), Time: deps.now().UTC(), Host: cfg.Host, Direction: schemas.In, Pinger: &state,
		})
	}
	ticker := time.NewTicker(cfg.Heartbeat)
	defer ticker.Stop()
	for {
		publish()
		select {
		case <-ctx.Done():
			state.Stopped = true
			publish()
			return
		case <-ticker.C:
		}
	}
}
