// Package feed reads the stream of alerts in its order, in batches and from a position, for those who
// forward alerts. What they do with the alerts is not here.
package feed

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
	closeWait   = time.Second
)

// Reader reads the stream of alerts in its order. It ends with the stream: if that is made again, it returns errors.
type Reader struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
	created  time.Time // of the stream
	read     uint64    // messages of the consumer
	// last is the sequence number of the last alert, pending how many are behind it.
	last, pending uint64
}

// Open starts to read the stream that was made at a time, with a sequence number. The description tells an
// operator what reads there.
func Open(ctx context.Context, stream jetstream.Stream, description string, created time.Time, from uint64) (*Reader, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description: description, FilterSubject: schemas.SubjectAlerts, AckPolicy: jetstream.AckNonePolicy,
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
	return &Reader{stream: stream, consumer: consumer, created: created, last: from - 1, pending: consumer.CachedInfo().NumPending}, nil
}

// Position returns when the stream was made, and the sequence number of the last alert that was read.
func (r *Reader) Position() (created time.Time, last uint64) { return r.created, r.last }

// Pending returns how many alerts were behind the last one.
func (r *Reader) Pending() uint64 { return r.pending }

// Close ends the reader at the server, which would otherwise keep it for a minute.
func (r *Reader) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	r.stream.DeleteConsumer(ctx, r.consumer.CachedInfo().Name) // an error means no more than that minute
}

// Next returns alerts, as many as there are and a batch may have. It waits for the first one, not longer
// than idleWait, and not after ctx has ended. It works with the context work.
func (r *Reader) Next(ctx, work context.Context) (batch []jetstream.Msg, err error) {
	wait, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	size := 0
	add := func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		if r.read++; meta.Sequence.Consumer != r.read {
			return fmt.Errorf("read stream %s: messages are missing", schemas.StreamAlerts)
		}
		r.last, r.pending = meta.Sequence.Stream, meta.NumPending
		batch, size = append(batch, m), size+len(m.Data())
		return nil
	}
	if ctx.Err() == nil {
		switch m, err := r.consumer.Next(jetstream.FetchContext(wait)); {
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
		found, err := r.consumer.FetchNoWait(fetched)
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
