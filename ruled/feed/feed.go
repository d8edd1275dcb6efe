// Package feed delivers the events of the stream to the judge, in their order, and
// acknowledges them once their alerts are stored.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/internal/message"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	// MaxPending is how many events may be evaluated and not yet acknowledged: so many are
	// delivered again after a loss of the connection.
	MaxPending = 16384
	// pullMessages is how many events are requested at a time.
	pullMessages = 4096
	// ackWait is for a ruled that hangs. One that was killed resets the consumer when it starts again.
	ackWait = 30 * time.Second
	// heartbeat bounds how long the loss of a pull goes unnoticed.
	heartbeat  = 5 * time.Second
	pullExpiry = 30 * time.Second
	// sessionWait is the time between two tries to read the events, setupTimeout is for one.
	sessionWait  = 500 * time.Millisecond
	setupTimeout = 10 * time.Second
	// streamsInterval is how often the feed checks that the streams exist, in addition to the
	// server's advisories about deleted ones.
	streamsInterval = 30 * time.Second
)

// Alerts counts the alerts, which decide when an event can be acknowledged.
type Alerts interface {
	// Published returns how many alerts were published, Acknowledged how many of them are stored without a gap.
	Published() uint64
	Acknowledged() uint64
}

// Config has what a Feed works with.
type Config struct {
	// Consumer is the name of the durable consumer, Events the subject of the events.
	Consumer, Events string
	// New is true to read only events that are published from now on.
	New     bool
	Streams bus.StreamConfig

	Log     *slog.Logger
	Metrics *metrics.Metrics
	Conn    *bus.Conn
	Judge   *judge.Judge
	Alerts  Alerts
	// Restore restores the judge before the first event and returns its position. The stream
	// of events was made at the time.
	Restore func(ctx context.Context, stream time.Time) (judge.Position, error)
	// Health is called with nil when reading begins, and with an error when it ends.
	Health func(error)
}

// Feed reads the events. Sessions follow each other: one ends when the connection, the
// consumer or the order of its messages is lost. The next begins behind the last
// acknowledgement; alerts of events that are delivered again are recognised by their ids.
type Feed struct {
	Config
	acks      *acks
	reader    message.Reader
	reading   atomic.Bool
	delivered atomic.Uint64 // number of the last event of the consumer that was evaluated

	// The rest is that of the session.
	last     delivery // of the last event, zero before the first of a session
	position judge.Position
	restored bool   // the judge is restored
	resume   bool   // begin behind the position, not behind the acknowledged events
	gone     uint64 // events that the stream dropped unread and that were not reported yet
}

// New returns a Feed.
func New(c Config) *Feed {
	return &Feed{Config: c, reader: message.NewReader(), acks: newAcks(c.Alerts.Acknowledged)}
}

// Progressed notes that more alerts are stored.
func (f *Feed) Progressed() { f.acks.progressed() }

// Flush acknowledges all events whose alerts are stored.
func (f *Feed) Flush() { f.acks.flush() }

// wholeStream reports whether the consumer gets every event of the stream, so that one that is left out was dropped.
func (f *Feed) wholeStream() bool { return f.Events == schemas.SubjectEvents }

// delivery is the delivery of a message by the consumer.
type delivery struct {
	// stored is the sequence number of the message in the stream.
	stored uint64
	// at is when it was stored, in nanoseconds since 1970 by the server's clock.
	at uint64
	// pending is how many events of the stream were behind it.
	pending uint64
	// number counts what the consumer has delivered since it was reset, from 1. A gap is a
	// lost message, which acknowledging the next one would acknowledge too.
	number uint64
}

// parseDelivery reads the reply subject of a message from a consumer, $JS.ACK.….<stored>.<number>.<time>.<pending>.
func parseDelivery(reply string) (delivery, error) {
	rest, numbers := reply, [4]uint64{}
	var err error
	for i := range numbers {
		dot := strings.LastIndexByte(rest, '.')
		if numbers[i], err = strconv.ParseUint(rest[dot+1:], 10, 64); err != nil {
			break
		}
		rest = rest[:max(dot, 0)]
	}
	if err != nil || !strings.HasPrefix(reply, "$JS.ACK.") {
		return delivery{}, fmt.Errorf("message with reply subject %q does not come from a consumer", reply)
	}
	return delivery{stored: numbers[3], number: numbers[2], at: numbers[1], pending: numbers[0]}, nil
}

// setReading notes that a session reads events, or no longer. What sensors published before,
// the judge may not have received.
func (f *Feed) setReading(reading bool) {
	f.reading.Store(reading)
	f.Judge.Deaf()
}

// Reading reports whether events are delivered now.
func (f *Feed) Reading() bool { return f.reading.Load() && f.Conn.Connected() }

// handle has one message evaluated. An error means that the session cannot go on.
func (f *Feed) handle(ctx context.Context, msg jetstream.Msg) error {
	at, err := parseDelivery(msg.Reply())
	if err != nil {
		return err
	}
	if at.number != f.last.number+1 {
		return fmt.Errorf("expected event %d of the consumer, got %d", f.last.number+1, at.number)
	}
	if f.last.stored != 0 && f.wholeStream() {
		f.gone += at.stored - f.last.stored - 1
	}
	f.last = at
	defer f.delivered.Store(at.number)
	if at.stored <= f.position.Events {
		// It is delivered again because it was not acknowledged yet. Its alerts are
		// published, and the judge must not see it twice.
		f.acks.finished(msg, f.Alerts.Published(), false)
		return nil
	}
	position := judge.Position{Stream: f.position.Stream, Events: at.stored}
	if err := f.reader.Read(msg.Subject(), msg.Data()); err != nil {
		f.Metrics.Invalid.Inc()
		f.Log.Debug("dropped a message that is no event of its subject", "subject", msg.Subject(), "error", err)
		f.Judge.Move(position)
		f.position = position
		f.acks.finished(msg, f.Alerts.Published(), true)
		return nil
	}
	missed := f.gone
	f.gone = 0
	if err := f.Judge.Judge(ctx, judge.Input{
		Event: &f.reader.Event, Data: msg.Data(), Stored: time.Unix(0, int64(at.at)), Missed: missed, Position: position,
	}); err != nil {
		return err
	}
	f.position = position
	f.acks.finished(msg, f.Alerts.Published(), false)
	return nil
}
