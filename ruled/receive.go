package ruled

import (
	"context"
	"time"

	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// prepareWait is the time between two tries to make the streams and to restore the state.
const prepareWait = 500 * time.Millisecond

// receive evaluates the events of this process until the context ends.
func (r *run) receive(ctx context.Context) error {
	var due <-chan struct{} // nil without streams
	if r.Conn != nil {
		for {
			err := r.prepare(ctx)
			if err == nil {
				break
			}
			r.Health(err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(prepareWait):
			}
		}
		var stop func()
		var err error
		if due, stop, err = r.Conn.StreamsDue(); err != nil {
			return err
		}
		defer stop()
	}
	stop := r.Deps.Events(func(e *schemas.Event) {
		// It fails only if an alert waits to be stored when the context ends.
		r.judge.Judge(ctx, judge.Input{Event: e})
		e.Link = nil
	})
	defer stop()
	r.Health(nil)
	r.Log.Info("evaluating events")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		}
		if !r.Conn.Connected() {
			continue
		}
		switch made, err := bus.EnsureStreams(ctx, r.Conn.JetStream(), r.StreamConfig); {
		case len(made) > 0:
			r.Log.Warn("streams were deleted, made them again", "streams", made)
		case err != nil:
			r.Log.Warn("streams cannot be checked", "error", err)
		}
	}
}

// prepare makes the streams and restores the state.
func (r *run) prepare(ctx context.Context) error {
	if _, err := bus.EnsureStreams(ctx, r.Conn.JetStream(), r.StreamConfig); err != nil {
		return err
	}
	_, err := r.keeper.restore(ctx, time.Time{})
	return err
}
