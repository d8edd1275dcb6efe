// Package notify delivers alerts to receivers: Alertmanager, webhooks, syslog servers, programs and files. It reads the
// stream of alerts, and keeps for each receiver the position of the newest alert that it has. What an alert means is in
// ruled; other formats for standard output are in alerts.
package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

// Receiver is where alerts go. Parse makes it.
type Receiver struct {
	// name identifies it in the log, in the metrics and by its position. It has no secrets.
	name   string
	filter alerts.Filter
	send   send
}

// send delivers alerts in their order and returns how many of them the receiver has. An error is about the next one: a
// refusedError drops that, and any other means that the receiver is away. It is also called without alerts, about every
// two seconds.
type send func(ctx context.Context, list []*alert) (taken int, err error)

// alert is an alert of the stream.
type alert struct {
	schemas.Alert
	// data is the message, on one line.
	data     []byte
	sequence uint64
}

// refusedError is the error of an alert that the receiver will never take.
type refusedError struct{ error }

// laterError is the error of a receiver that asks to wait.
type laterError struct {
	error
	after time.Duration
	// busy says that the receiver is not away: it limits the rate.
	busy bool
}

// parse reads a message of the stream. It returns an error for one that is not an alert, with its sequence number.
func parse(m jetstream.Msg) (*alert, error) {
	a := &alert{}
	meta, err := m.Metadata()
	if err != nil {
		return a, err
	}
	a.sequence = meta.Sequence.Stream
	if err := json.Unmarshal(m.Data(), &a.Alert); err != nil {
		return a, err
	}
	if a.Type != schemas.TypeAlert {
		return a, fmt.Errorf("its type is %q, not %s", a.Type, schemas.TypeAlert)
	}
	line, err := alerts.JSONLine(m.Data())
	a.data = line[:max(len(line)-1, 0)]
	return a, err
}
