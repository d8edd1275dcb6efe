package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// reader reads the stream of alerts in its order, each alert once. It asks for one message
// after the other, because that needs the fewest rights and misses no alert while NATS is
// away.
type reader struct {
	log *slog.Logger
	// next is the sequence number of the next alert. With 0, the first read begins after
	// the newest alert.
	next uint64
}

// read calls each with the alerts that were stored since the last call, until one returns
// an error.
func (r *reader) read(ctx context.Context, js jetstream.JetStream, each func(alert []byte) error) error {
	stream, err := js.Stream(ctx, schemas.StreamAlerts)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		r.next = 1 // all of the stream that is made later is new
		return fmt.Errorf("nd-ruled has not made the stream %s yet", schemas.StreamAlerts)
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, bus.Explain(js, err))
	}
	state := stream.CachedInfo().State
	switch {
	case r.next == 0:
		r.next = state.LastSeq + 1
	case r.next > state.LastSeq+1:
		r.log.Warn("the stream of alerts was deleted and made again: reading it from its start", "stream", schemas.StreamAlerts)
		r.next = 1
	case r.next < state.FirstSeq:
		r.log.Warn("alerts were dropped before they were read", "stream", schemas.StreamAlerts, "alerts", state.FirstSeq-r.next)
		r.next = state.FirstSeq
	}
	for r.next <= state.LastSeq {
		// This returns the next message that exists: some may have been deleted.
		msg, err := stream.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(schemas.SubjectAlerts))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			r.next = state.LastSeq + 1
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		r.next = msg.Sequence + 1
		if err := each(msg.Data); err != nil {
			return err
		}
	}
	return nil
}
