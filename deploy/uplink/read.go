package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// Bounds of a batch.
const (
	maxAlerts = 256
	maxBytes  = 512 << 10
	// fetched is how many alerts are read at a time: a batch has at most so many more bytes.
	fetched = 32
)

const (
	// idleWait is the longest wait for an alert.
	idleWait = 2 * time.Second
	// forgetAfter is how long the server keeps a consumer that is not used.
	forgetAfter = time.Minute
)

// alerts reads the stream of alerts in its order.
type alerts struct {
	consumer jetstream.Consumer
	created  time.Time // of the stream
	read     uint64    // messages of the consumer
	// last is the sequence number of the last alert, pending how many are behind it.
	last, pending uint64
}

// read starts to read the stream that was made at a time, with a sequence number.
func (u *Uplink) read(ctx context.Context, stream jetstream.Stream, created time.Time, from uint64) (*alerts, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description: "forwards alerts to the hub", FilterSubject: schemas.SubjectAlerts, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, MemoryStorage: true, InactiveThreshold: forgetAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
	}
	// The consumer ends with its stream, so that it is of this one.
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	if !info.Created.Equal(created) {
		return nil, fmt.Errorf("stream %s was made again", schemas.StreamAlerts)
	}
	return &alerts{consumer: consumer, created: created}, nil
}

// next returns alerts as messages to the hub, as many as there are and a batch may have. It waits for the first
// one, not longer than idleWait, and not after ctx has ended.
func (a *alerts) next(ctx, work context.Context) (batch []*nats.Msg, err error) {
	wait, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	size := 0
	add := func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		if a.read++; meta.Sequence.Consumer != a.read {
			return fmt.Errorf("read stream %s: messages are missing", schemas.StreamAlerts)
		}
		a.last, a.pending = meta.Sequence.Stream, meta.NumPending
		alert := nats.NewMsg(schemas.UplinkAlerts)
		alert.Header.Set(nats.MsgIdHdr, m.Headers().Get(nats.MsgIdHdr))
		alert.Data = m.Data()
		batch, size = append(batch, alert), size+len(alert.Data)
		return nil
	}
	if ctx.Err() == nil {
		switch m, err := a.consumer.Next(jetstream.FetchContext(wait)); {
		case err == nil:
			if err := add(m); err != nil {
				return nil, err
			}
		case wait.Err() != nil || errors.Is(err, nats.ErrTimeout):
			return nil, ctx.Err()
		default:
			return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
	}
	for more := true; more && len(batch) < maxAlerts && size < maxBytes; {
		found, err := a.consumer.FetchNoWait(fetched)
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		before := len(batch)
		for m := range found.Messages() {
			if err := add(m); err != nil {
				return nil, err
			}
		}
		if err := found.Error(); err != nil {
			return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		more = len(batch) == before+fetched
	}
	return batch, work.Err()
}
