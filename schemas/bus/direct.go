package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// directWait bounds the time in which all messages of a direct get have to come.
const directWait = 30 * time.Second

// GetBatch reads up to n messages of a stream without a consumer. There are none if it yields nothing.
func GetBatch(ctx context.Context, js jetstream.JetStream, stream string, n int, opts ...jetstreamext.GetBatchOpt) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return direct(ctx, stream, func(ctx context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error) {
		return jetstreamext.GetBatch(ctx, js, stream, n, opts...)
	})
}

// GetLast reads the newest message of each subject that a pattern covers, at most 1024, without a consumer.
func GetLast(ctx context.Context, js jetstream.JetStream, stream, pattern string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return direct(ctx, stream, func(ctx context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error) {
		return jetstreamext.GetLastMsgsFor(ctx, js, stream, []string{pattern})
	})
}

// direct yields the messages of a request. Without it, an answer that is late looks like one that is complete.
func direct(ctx context.Context, stream string, request func(context.Context) (iter.Seq2[*jetstream.RawStreamMsg, error], error)) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, directWait)
		defer cancel()
		messages, err := request(ctx)
		if err == nil {
			for m, failed := range messages {
				if err = failed; err != nil {
					break
				}
				if !yield(m, nil) {
					return
				}
			}
		}
		if err = cmp.Or(err, ctx.Err()); err != nil && !errors.Is(err, jetstreamext.ErrNoMessages) {
			yield(nil, fmt.Errorf("read stream %s: %w", stream, err))
		}
	}
}
