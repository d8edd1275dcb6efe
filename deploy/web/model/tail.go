package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// tail reads the newest messages of a stream, and then those that come, by direct gets.
type tail struct {
	stream, subject string
	// newest is how many messages are read at first.
	newest uint64

	next    uint64 // the sequence number of the next message
	created time.Time
	checked time.Time
}

const (
	// checkEach is how often it is looked whether the stream is the same.
	checkEach = 10 * time.Second
	// batch and batchBytes bound what is asked for at a time.
	batch      = 1000
	batchBytes = 8 << 20
)

// read calls each with the messages that are new. It calls reset before, if the stream was made again.
func (t *tail) read(ctx context.Context, js jetstream.JetStream, now time.Time, reset func(), each func(*jetstream.RawStreamMsg)) error {
	if t.created.IsZero() || now.Sub(t.checked) >= checkEach {
		stream, err := js.Stream(ctx, t.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("there is no stream %s: nd-ruled or ndmon makes it", t.stream)
		}
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", t.stream, bus.Explain(js, err))
		}
		info := stream.CachedInfo()
		first := max(info.State.LastSeq, t.newest) - t.newest + 1
		if t.checked = now; !info.Created.Equal(t.created) || info.State.LastSeq+1 < t.next {
			reset()
			t.created, t.next = info.Created, first
		}
		t.next = max(t.next, first) // it does not read what is out of date when it is read
	}
	for n := uint64(0); n <= t.newest; n += batch {
		last := t.next
		for m, err := range bus.GetBatch(ctx, js, t.stream, batch, jetstreamext.GetBatchSubject(t.subject), jetstreamext.GetBatchSeq(t.next), jetstreamext.GetBatchMaxBytes(batchBytes)) {
			if err != nil {
				return err
			}
			t.next = m.Sequence + 1
			each(m)
		}
		if t.next == last {
			return nil
		}
	}
	t.checked = time.Time{} // more come than it keeps: go on with the newest
	return nil
}
