package ndmon

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/bus"
)

// listened is the connection of the parts. It knows whether a message has subscribers, so that
// none is made that reaches no one.
type listened struct {
	*bus.Conn
	account *server.Account // of the embedded server; nil for another one, whose subscribers are unknown
}

// Listened reports whether a message on the subject may reach a subscriber.
func (l *listened) Listened(subject string) bool {
	return l.account == nil || l.account.SubscriptionInterest(subject)
}
