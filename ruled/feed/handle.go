package feed

import (
	"context"
	"fmt"

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
