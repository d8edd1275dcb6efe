package ndmon

import (
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/bus"
)

// listened is the connection of the parts. It knows whether there are subscribers, so that
// no message is made for nobody.
type listened struct {
	*bus.Conn
	account *server.Account // of the embedded server; nil for another one, whose subscribers are unknown

	mu  sync.RWMutex
	own map[string]int // the subscriptions of the parts by subject, which get nothing from this connection
}

// Subscribe is bus.Conn.Subscribe.
func (l *listened) Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error) {
	if unsubscribe, err = l.Conn.Subscribe(subject, handle); err != nil {
		return nil, err
	}
	l.count(subject, 1)
	return func() error {
		l.count(subject, -1)
		return unsubscribe()
	}, nil
}

func (l *listened) count(subject string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own[subject] += n
}

// Listened reports whether a message on the subject may reach a subscriber.
func (l *listened) Listened(subject string) bool {
	if l.account == nil {
		return true
	}
	l.mu.RLock()
	own := l.own[subject]
	l.mu.RUnlock()
	return l.account.Interest(subject) > own
}
