package ndmon

import (
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/bus"
)

// listened is the connection of the parts. It knows whether a message has subscribers, so that
// none is made that reaches no one.
type listened struct {
	*bus.Conn
	account *server.Account // of the embedded server; nil for another one, whose subscribers are unknown

	mu  sync.RWMutex
	own map[string]int // subscriptions of this connection, which does not receive its own messages
}

// Subscribe is that of the connection, for as long as it lasts.
func (l *listened) Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own == nil {
		l.own = make(map[string]int)
	}
	l.own[subject]++
	return l.Conn.Subscribe(subject, handle)
}

// Listened reports whether a message on the subject may reach a subscriber.
func (l *listened) Listened(subject string) bool {
	if l.account == nil {
		return true
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	own := l.own[subject]
	if own == 0 {
		return l.account.SubscriptionInterest(subject)
	}
	// The server counts all subscriptions only if none is to a pattern. A pattern matches this too:
	sibling := subject[:strings.LastIndexByte(subject, '.')+1] + "_"
	return l.account.SubscriptionInterest(sibling) || l.account.Interest(subject) > own
}
