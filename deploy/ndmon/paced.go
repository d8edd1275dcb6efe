package ndmon

import (
	"context"

	"github.com/ndmon/ndmon/schemas/bus"
)

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
