package alert

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Recall remembers which alerts a former run stored, so that events that are delivered again
// do not raise them again. They are the last alerts and, unless behind is 0, all alerts
// after the one with that sequence number.
func (r *Raiser) Recall(ctx context.Context, behind uint64) error {
	return r.last(ctx, behind, func(id string) { r.isNew(id) })
}

// stored is bus.PublisherConfig.Stored. It fails where there is no stream: alerts that are
// sent meanwhile only reach subscribers again and again.
func (r *Raiser) stored(ctx context.Context) (func(string) bool, error) {
	stored := map[string]struct{}{}
	err := r.last(ctx, 0, func(id string) { stored[id] = struct{}{} })
	return func(id string) bool { _, ok := stored[id]; return ok }, err
}

// last calls found with the ids of the last Recent alerts in the stream and, unless behind is
// 0, of all that have a larger sequence number, at most of those that can be remembered. It
// ends with the last alert that is there: the newest may have been deleted, or lost by the
// disk.
func (r *Raiser) last(ctx context.Context, behind uint64, found func(id string)) error {
	stream, err := r.c.Conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("read the last alerts of stream %s: %w", schemas.StreamAlerts, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	last := func(n uint64) uint64 { return max(state.LastSeq, n) - n + 1 }
	start := last(uint64(r.c.Recent))
	if behind > 0 {
		start = max(min(start, behind+1), last(remembered))
	}
	start = max(start, state.FirstSeq)
	next := start
	err = bus.ReadStored(ctx, stream, start, true, func(msg jetstream.Msg, seq uint64) {
		found(msg.Headers().Get(nats.MsgIdHdr))
		next = seq + 1
	})
	if err != nil {
		return err
	}
	if next <= state.LastSeq {
		r.c.Log.Warn("the newest alerts are gone from the stream", "stream", schemas.StreamAlerts, "first", next, "last", state.LastSeq)
	}
	return nil
}
