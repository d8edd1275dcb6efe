package ndmon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// evaluated waits until ruled has evaluated all events that are stored now, and their
// alerts are stored. It looks up the last event itself: the server updates the count of
// pending messages of a consumer a moment after it acknowledges an event to its publisher.
func (p *parts) evaluated(ctx context.Context) error {
	stream, err := p.ruled.JetStream().Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, p.events)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
	}
	consumer, err := stream.Consumer(ctx, p.consumer)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", p.consumer, err)
	}
	return until(ctx, func() (bool, error) {
		info, err := consumer.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("look up consumer %s: %w", p.consumer, err)
		}
		return info.AckFloor.Stream >= last.Sequence, nil
	})
}

// copyWait is the time for the copy of the alerts at the start.
const copyWait = time.Second

// copied waits until clients without a key can read the stored alerts. After its start,
// the server needs a moment to copy them.
func (p *parts) copied(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	js := p.ruled.JetStream()
	last := func(js jetstream.JetStream) (uint64, error) {
		stream, err := js.Stream(ctx, schemas.StreamAlerts)
		if err != nil {
			return 0, err
		}
		return stream.CachedInfo().State.LastSeq, nil
	}
	readers, err := jetstream.NewWithAPIPrefix(js.Conn(), schemas.CopyAPI)
	if err == nil {
		err = until(ctx, func() (bool, error) {
			stored, err1 := last(js)
			copied, err2 := last(readers)
			return copied >= stored, errors.Join(err1, err2)
		})
	}
	if err != nil {
		p.deps.Log.Debug("the copy of the alerts for readers is behind", "error", err)
	}
}

// until calls done, at most 200 times a second, until it returns true or an error.
func until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// paced keeps the reading of a file from overtaking the rules: the stream of events is
// bounded and drops the oldest.
type paced struct {
	*bus.Publisher
	evaluated func(context.Context) error
	// most is the number of bytes that are published before their evaluation is awaited.
	most  int
	bytes int
}

// Publish implements sensor.Publisher.
func (p *paced) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	const overhead = 128 // of a message in the stream
	if p.bytes += len(data) + overhead; p.bytes > p.most {
		p.bytes = 0
		if err := p.Flush(ctx); err != nil {
			return err
		}
		if err := p.evaluated(ctx); err != nil {
			return err
		}
	}
	return p.Publisher.Publish(ctx, subject, msgID, data)
}
