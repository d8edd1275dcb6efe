package feed

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/judge"
)

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
	if err := f.Judge.Judge(ctx, judge.Input{Event: &f.reader.Event, Data: msg.Data(), Missed: missed, Position: position}); err != nil {
		return err
	}
	f.position = position
	f.acks.finished(msg, f.Alerts.Published(), false)
	return nil
}

// delivery is the delivery of a message by the consumer.
type delivery struct {
	// stored is the sequence number of the message in the stream.
	stored uint64
	// pending is how many events of the stream were behind it.
	pending uint64
	// number counts what the consumer has delivered since it was reset, from 1. A gap is a
	// lost message, which acknowledging the next one would acknowledge too.
	number uint64
}

// parseDelivery reads the reply subject of a message from a consumer,
// $JS.ACK.….<stored>.<number>.<time>.<pending>.
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
	return delivery{stored: numbers[3], number: numbers[2], pending: numbers[0]}, nil
}

// setReading notes that a session reads events, or no longer. What sensors published before,
// the judge may not have received.
func (f *Feed) setReading(reading bool) {
	f.reading.Store(reading)
	f.Judge.Deaf()
}

// Reading reports whether events are delivered now.
func (f *Feed) Reading() bool { return f.reading.Load() && f.Conn.Connected() }

// settleInterval is how often Settle looks.
const settleInterval = 5 * time.Millisecond

// Settle returns when all events that are stored now are evaluated.
func (f *Feed) Settle(ctx context.Context) error {
	consumer, err := f.makeConsumer(ctx)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	newest := info.Delivered.Consumer + info.NumPending
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	for f.delivered.Load() < newest {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for event %d of the consumer: %w", newest, context.Cause(ctx))
		case <-ticker.C:
		}
	}
	return nil
}
