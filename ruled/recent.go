package ruled

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// recent remembers ids, the newest maxRecent of them, by their hash.
type recent struct {
	seed  maphash.Seed
	known map[uint64]struct{}
	ring  []uint64
	next  int
}

// maxRecent is far more than the alerts of the events that a sensor or ruled
// can have in flight when a connection breaks, which are the ones that can come
// again.
const maxRecent = 1 << 16

func newRecent() recent {
	return recent{seed: maphash.MakeSeed(), known: map[uint64]struct{}{}}
}

// add reports whether the id is new.
func (r *recent) add(id string) bool {
	h := maphash.String(r.seed, id)
	if _, ok := r.known[h]; ok {
		return false
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, h)
	} else {
		delete(r.known, r.ring[r.next])
		r.ring[r.next] = h
		r.next = (r.next + 1) % maxRecent
	}
	r.known[h] = struct{}{}
	return true
}

// recallAlerts learns, once after the start, which alerts a former run has
// stored: of the events that come again, those are not to be raised again. They
// are the last alerts, and all behind the one with a sequence number unless that
// is 0.
func (e *evaluation) recallAlerts(ctx context.Context, behind uint64) error {
	return e.lastAlerts(ctx, behind, func(id string) { e.raised.add(id) })
}

// storedAlerts is bus.PublisherConfig.Stored. Where there is no stream it fails, for
// alerts that are sent meanwhile only come to subscribers again and again.
func (e *evaluation) storedAlerts(ctx context.Context) (func(string) bool, error) {
	stored := map[string]struct{}{}
	err := e.lastAlerts(ctx, 0, func(id string) { stored[id] = struct{}{} })
	return func(id string) bool { _, ok := stored[id]; return ok }, err
}

// lastAlerts calls found with the ids of the last maxAckPending alerts in the
// stream and, unless behind is 0, of all that have a larger sequence number, of
// the last maxRecent. It ends with the last that is there: the newest may have been
// deleted, or lost by the disk.
func (e *evaluation) lastAlerts(ctx context.Context, behind uint64, found func(id string)) error {
	stream, err := e.conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("read the last alerts of stream %s: %w", schemas.StreamAlerts, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	last := func(n uint64) uint64 { return max(state.LastSeq, n) - n + 1 }
	start := last(maxAckPending)
	if behind > 0 {
		start = max(min(start, behind+1), last(maxRecent))
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
		e.log.Warn("the newest alerts are gone from the stream", "stream", schemas.StreamAlerts, "first", next, "last", state.LastSeq)
	}
	return nil
}
