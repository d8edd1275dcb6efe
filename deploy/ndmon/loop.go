package ndmon

import (
	"context"
	"slices"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/bus"
)

// loop is the bus between the parts of this process. What one publishes reaches
// the subscriptions of the others at once, in the publisher's goroutine, and
// NATS for everybody else: the way over the server would take a relay command
// longer than all the rest of it. The connection has no echo, so that nothing
// comes twice.
type loop struct {
	conn *bus.Conn

	mu   sync.RWMutex
	subs []*subscription
}

type subscription struct {
	subject string
	// mu has handle called by one goroutine at a time.
	mu     sync.Mutex
	handle func(subject string, data []byte)
}

func (s *subscription) deliver(subject string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle(subject, data)
}

// Subscribe implements ruled.Bus and pinger.Bus.
func (l *loop) Subscribe(subject string, handle func(subject string, data []byte)) (func() error, error) {
	sub := &subscription{subject: subject, handle: handle}
	unsubscribe, err := l.conn.Subscribe(subject, sub.deliver)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs = append(l.subs, sub)
	return func() error {
		l.mu.Lock()
		l.subs = slices.DeleteFunc(l.subs, func(s *subscription) bool { return s == sub })
		l.mu.Unlock()
		return unsubscribe()
	}, nil
}

// Publish implements ruled.Bus and pinger.Bus.
func (l *loop) Publish(subject string, data []byte) error {
	l.deliver(subject, data)
	return l.conn.Publish(subject, data)
}

func (l *loop) deliver(subject string, data []byte) {
	l.mu.RLock()
	subs := l.subs
	l.mu.RUnlock()
	for _, sub := range subs {
		if server.SubjectMatchesFilter(subject, sub.subject) {
			sub.deliver(subject, data)
		}
	}
}

// eventPublisher publishes the sensor's events on the loop and to the stream.
type eventPublisher struct {
	*bus.Publisher
	loop *loop
}

// TryPublish implements sensor.Publisher.
func (p *eventPublisher) TryPublish(subject, msgID string, data []byte) bool {
	p.loop.deliver(subject, data)
	return p.Publisher.TryPublish(subject, msgID, data)
}

// paced keeps the reading of a file from overtaking the rules: the stream of
// events is bounded, and drops the oldest.
type paced struct {
	*bus.Publisher
	caughtUp func(context.Context) error
	bytes    int
}

// Publish implements sensor.Publisher.
func (p *paced) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	const overhead = 128 // of a message in the stream
	if p.bytes += len(data) + overhead; p.bytes > eventsBytes/4 {
		p.bytes = 0
		if err := p.Flush(ctx); err != nil {
			return err
		}
		if err := p.caughtUp(ctx); err != nil {
			return err
		}
	}
	return p.Publisher.Publish(ctx, subject, msgID, data)
}
