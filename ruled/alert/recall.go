package alert

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Config has what a Raiser works with.
type Config struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	Conn    *bus.Conn
	// Buffer bounds the alerts that wait to be stored, and likewise those that wait to be
	// handed over, in bytes.
	Buffer int
	// Recent is how many of the last alerts may be about events that are delivered again.
	Recent int
	// Room, if set, returns an error while there is no room to store alerts.
	Room func() error
	// Receive, if set, gets the alerts in their order, with their sequence numbers in the
	// stream, or 0. See ruled.Deps.Alert.
	Receive  func(alert []byte, seq uint64)
	Lossless bool
	// OnProgress is called when more alerts are stored.
	OnProgress func()
}

// remembered is how many ids of alerts are remembered, far more than the alerts of the events
// that a sensor or ruled can have in flight when a connection breaks.
const remembered = 1 << 16

// recall calls found with the ids of the last Recent alerts in the stream and, unless behind is
// 0, of all that have a larger sequence number, at most of those that can be remembered. It
// ends with the last alert that is there: the newest may have been deleted, or lost by the
// disk.
func (c Config) recall(ctx context.Context, behind uint64, found func(id string)) error {
	stream, err := c.Conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("read the last alerts of stream %s: %w", schemas.StreamAlerts, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	last := func(n uint64) uint64 { return max(state.LastSeq, n) - n + 1 }
	start := last(uint64(c.Recent))
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
		c.Log.Warn("the newest alerts are gone from the stream", "stream", schemas.StreamAlerts, "first", next, "last", state.LastSeq)
	}
	return nil
}
