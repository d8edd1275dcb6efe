package ruled

import (
	"context"
	"slices"
	"time"

	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// prepareWait is the time between two tries to make the streams and to restore the state.
const prepareWait = 500 * time.Millisecond

// receive evaluates the events of this process until the context ends.
func (r *run) receive(ctx context.Context, p *part) error {
	if r.Conn != nil {
		for {
			err := r.prepare(ctx, p)
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
	}
	stop := r.Deps.Events(func(e *schemas.Event) {
		// It fails only if an alert waits to be stored when the context ends.
		p.judge.Judge(ctx, judge.Input{Event: e})
		e.Link = nil
	})
	defer stop()
	r.Health(nil)
	r.Log.Info("evaluating events")
	if r.Conn != nil {
		return r.keepStreams(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

// prepare makes the streams and restores the state.
func (r *run) prepare(ctx context.Context, p *part) error {
	if err := r.ensureStreams(ctx); err != nil {
		return err
	}
	_, err := p.keeper.restore(ctx, time.Time{})
	return err
}

// ensureStreams makes the streams that do not exist.
func (r *run) ensureStreams(ctx context.Context) error {
	r.streams.Lock()
	defer r.streams.Unlock()
	made, err := bus.EnsureStreams(ctx, r.Conn.JetStream(), r.StreamConfig)
	switch {
	case len(made) == 0:
	case r.ensured:
		r.Log.Warn("streams were deleted, made them again", "streams", made)
	default:
		r.Log.Debug("made streams", "streams", made)
	}
	r.ensured = r.ensured || err == nil
	if slices.Contains(made, schemas.StreamEvents) {
		r.eachFeed((*feed.Feed).Deleted)
	}
	if slices.Contains(made, schemas.StreamAlerts) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.member != nil {
			r.member.Fenced() // the fence was deleted too
		}
	}
	return err
}

// keepStreams makes streams that were deleted again, until the context ends.
func (r *run) keepStreams(ctx context.Context) error {
	due, stop, err := r.Conn.StreamsDue()
	if err != nil {
		return err
	}
	defer stop()
	for {
		if r.Conn.Connected() { // else due receives later
			if err := r.ensureStreams(ctx); err != nil && ctx.Err() == nil && r.Conn.Connected() {
				r.Log.Warn("streams cannot be checked", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		}
	}
}
