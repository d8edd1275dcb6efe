package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Run delivers events until the context ends.
func (f *Feed) Run(ctx context.Context) error {
	again := make(chan struct{}, 1)
	f.Conn.OnConnect(func(isAgain bool) {
		if !isAgain {
			return
		}
		select {
		case again <- struct{}{}:
		default:
		}
	})
	var logged string
	for {
		select {
		case <-again: // the session that begins now is on the new connection
		default:
		}
		err := f.session(ctx, again)
		f.Health(err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f.Conn.Connected() && err.Error() != logged {
			logged = err.Error()
			f.Log.Warn("events are not read now, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-time.After(sessionWait):
		}
	}
}

var (
	errReconnected = errors.New("connected to NATS again")
	errDeleted     = errors.New("the stream of events was deleted")
)

// session reads events until something is lost, and returns what.
func (f *Feed) session(ctx context.Context, again <-chan struct{}) error {
	consumer, err := f.begin(ctx)
	if err != nil {
		return err
	}
	lost := make(chan error, 1)
	reading, err := f.consume(ctx, consumer, func(err error) {
		select {
		case lost <- err:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamEvents, err)
	}
	defer func() {
		reading.Stop()
		<-reading.Closed()
	}()
	due, stop, err := f.Conn.StreamsDue()
	if err != nil {
		return err
	}
	defer stop()
	f.setReading(true)
	defer f.setReading(false)
	f.Health(nil)
	f.Log.Info("reading events", "stream", schemas.StreamEvents, "consumer", f.Consumer)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again:
			return errReconnected
		case err := <-lost:
			return err
		case <-due:
		}
		if err := f.checkStreams(ctx); err != nil {
			return err
		}
	}
}

// begin prepares a session: the streams, the judge and the consumer.
func (f *Feed) begin(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := f.ensureStreams(ctx); err != nil {
		return nil, err
	}
	stream, err := f.Conn.JetStream().Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, err)
	}
	events := stream.CachedInfo()
	if !f.restored {
		if f.position, err = f.Restore(ctx, events.Created); err != nil {
			return nil, err
		}
		f.restored, f.resume = true, f.position.Events > 0
	}
	f.compare(events)
	consumer, err := f.makeConsumer(ctx)
	if err != nil {
		return nil, err
	}
	// What was delivered and not acknowledged has to be delivered again at once, in its
	// order: acknowledging a batch acknowledges all before it.
	if err := f.reset(ctx); err != nil {
		return nil, fmt.Errorf("reset consumer %s of stream %s: %w", f.Consumer, schemas.StreamEvents, err)
	}
	f.acks.reset()
	return consumer, nil
}

// consume starts the delivery of events. It calls end when the session cannot go on.
func (f *Feed) consume(ctx context.Context, consumer jetstream.Consumer, end func(error)) (jetstream.ConsumeContext, error) {
	broken := false
	return consumer.Consume(
		func(msg jetstream.Msg) {
			if broken { // a later batch must not acknowledge the one that failed
				return
			}
			if err := f.handle(ctx, msg); err != nil {
				broken = true
				end(err)
			}
		},
		jetstream.PullMaxBytes(pullBytes),
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { end(err) }),
	)
}

// checkStreams makes deleted streams again. An error means that the session has to end.
func (f *Feed) checkStreams(ctx context.Context) error {
	if !f.Conn.Connected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	made, err := f.ensureStreams(ctx)
	switch {
	case slices.Contains(made, schemas.StreamEvents):
		return errDeleted
	case err != nil && f.Conn.Connected():
		return err
	}
	return nil
}

// ensureStreams makes the streams that do not exist, and returns their names.
func (f *Feed) ensureStreams(ctx context.Context) (made []string, err error) {
	made, err = bus.EnsureStreams(ctx, f.Conn.JetStream(), f.Streams)
	switch {
	case len(made) == 0:
	case f.restored:
		f.Log.Warn("streams were deleted, made them again", "streams", made)
	default:
		f.Log.Debug("made streams", "streams", made)
	}
	return made, err
}

// compare makes sure that the position is one of the existing stream: that may be another
// one, or have lost its newest events with the disk.
func (f *Feed) compare(events *jetstream.StreamInfo) {
	last := events.State.LastSeq
	switch {
	case !events.Created.Equal(f.position.Stream):
		f.position, f.resume = judge.Position{Stream: events.Created}, false
		f.gone += f.last.pending
	case f.position.Events > last:
		f.Log.Warn("the newest events are gone from the stream, after they were evaluated", "stream", schemas.StreamEvents, "first", last+1, "last", f.position.Events)
		f.position.Events, f.position.Part, f.resume = last, 0, true
	default:
		return
	}
	f.Judge.Move(f.position)
}

// makeConsumer makes the consumer of the events, or looks it up.
func (f *Feed) makeConsumer(ctx context.Context) (jetstream.Consumer, error) {
	filter, from := f.subjects(), jetstream.DeliverAllPolicy
	if f.New {
		from = jetstream.DeliverNewPolicy
	}
	consumer, err := f.Conn.JetStream().CreateOrUpdateConsumer(ctx, schemas.StreamEvents, jetstream.ConsumerConfig{
		Durable:        f.Consumer,
		FilterSubjects: filter,
		DeliverPolicy:  from,
		Description:    "nd-ruled",
		AckPolicy:      jetstream.AckAllPolicy,
		AckWait:        ackWait,
		MaxAckPending:  MaxPending,
	})
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of stream %s: %w", f.Consumer, schemas.StreamEvents, err)
	}
	return consumer, nil
}

// reset makes the consumer begin behind the position of the restored judge, or else behind the acknowledged batches.
func (f *Feed) reset(ctx context.Context) error {
	js := f.Conn.JetStream()
	f.delivered.Store(0)
	if !f.resume {
		f.last = delivery{}
		_, err := js.ResetConsumer(ctx, schemas.StreamEvents, f.Consumer)
		return err
	}
	last := f.position.Events
	if f.position.Part > 0 { // the rest of it
		last--
	}
	if _, err := js.ResetConsumerToSequence(ctx, schemas.StreamEvents, f.Consumer, last+1); err != nil {
		return err
	}
	f.last, f.resume = delivery{stored: last}, false
	return nil
}

// Delete deletes the consumer, which is not needed again.
func (f *Feed) Delete(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := f.Conn.JetStream().DeleteConsumer(ctx, schemas.StreamEvents, f.Consumer); err != nil {
		f.Log.Debug("the consumer remains", "consumer", f.Consumer, "error", err)
	}
}

// settleInterval is how often Settle looks.
const settleInterval = 5 * time.Millisecond

// Settle returns when all batches that are stored now are evaluated.
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
			return fmt.Errorf("wait for batch %d of the consumer: %w", newest, context.Cause(ctx))
		case <-ticker.C:
		}
	}
	return nil
}
