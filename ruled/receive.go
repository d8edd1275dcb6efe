package ruled

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	// prepareWait is the time between two tries to make the streams and to restore the state.
	prepareWait = 500 * time.Millisecond
	// streamsInterval is how often receive checks that the streams exist, in addition to the
	// server's advisories about deleted ones.
	streamsInterval = 30 * time.Second
)

// receive evaluates the events of this process until the context ends.
func (r *run) receive(ctx context.Context) error {
	var deleted chan *nats.Msg
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
		deleted = make(chan *nats.Msg, 16) // more than there are streams
		advisories, err := r.Conn.NATS().ChanSubscribe(schemas.SubjectDeleted, deleted)
		if err != nil {
			return err
		}
		defer advisories.Unsubscribe() // it fails only if the connection is closed
	}
	stop := r.Deps.Events(func(e *schemas.Event) {
		// It fails only if an alert waits to be stored when the context ends.
		r.judge.Judge(ctx, judge.Input{Event: e})
		e.Link = nil
	})
	defer stop()
	r.Health(nil)
	r.Log.Info("evaluating events")
	watch := time.NewTicker(streamsInterval)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deleted:
		case <-watch.C:
		}
		if r.Conn == nil || !r.Conn.Connected() {
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
