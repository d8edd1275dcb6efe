package ndmon

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// copyWait is the time for the copy of the alerts at the start.
const copyWait = time.Second

// copied waits until clients without a key can read the stored alerts. After its start,
// the server needs a moment to copy them.
func (p *parts) copied(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	js := p.bus.JetStream()
	last := func(js jetstream.JetStream) (uint64, error) {
		stream, err := js.Stream(ctx, schemas.StreamAlerts)
		if err != nil {
			return 0, err
		}
		return stream.CachedInfo().State.LastSeq, nil
	}
	readers, err := jetstream.NewWithAPIPrefix(js.Conn(), schemas.CopyAPI)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for err == nil {
		stored, err1 := last(js)
		copied, err2 := last(readers)
		if err = errors.Join(err1, err2); err == nil && copied >= stored {
			return
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-ticker.C:
		}
	}
	p.deps.Log.Debug("the copy of the alerts for readers is behind", "error", err)
}
