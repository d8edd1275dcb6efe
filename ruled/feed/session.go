package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
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
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.Health(err)
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
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	f.setReading(true)
	defer f.setReading(false)
	f.Health(nil)
	f.Log.Debug("reading events", "stream", schemas.StreamEvents, "consumer", f.Consumer)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again:
			return errReconnected
		case err := <-lost:
			return err
		case <-f.deleted:
			return errDeleted
		case <-ticker.C:
		}
		if f.pending.Load() > 0 {
			f.look(ctx)
		}
	}
}

// look finds out which messages the stream has dropped.
func (f *Feed) look(ctx context.Context) {
	if stream, err := f.Conn.JetStream().Stream(ctx, schemas.StreamEvents); err == nil { // otherwise later
		f.first.Store(stream.CachedInfo().State.FirstSeq)
	}
}

// Deleted ends the session, because the stream was deleted and made again.
func (f *Feed) Deleted() {
	select {
	case f.deleted <- struct{}{}:
	default:
	}
}

// lookInterval is how often a feed that is behind looks which messages the stream has dropped.
const lookInterval = time.Second

// begin prepares a session: the judge and the consumer.
func (f *Feed) begin(ctx context.Context) (jetstream.Consumer, error) {
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
	f.first.Store(events.State.FirstSeq)
	if f.filter, err = f.subjects(ctx, stream); err != nil {
		return nil, err
	}
	consumer, err := f.makeConsumer(ctx)
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of stream %s: %w", f.Consumer, schemas.StreamEvents, err)
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

// deleteTimeout is for deleting a consumer. The server that had it may be down, and then no one answers.
const deleteTimeout = 500 * time.Millisecond

// makeConsumer makes the consumer of the events. It begins behind the position of the judge, or else behind the
// acknowledged batches of the former consumer. That is deleted, because requests of an earlier session, or of an nd-ruled
// that hangs, still wait there: the server would deliver the next batches to them. A batch acknowledges all before it, so
// they have to come in their order.
//
// Where the position is stored with the state, one server has the consumer, in its memory: a consumer with replicas would
// have to elect a leader after a server is lost, and costs an agreement of the servers for each batch.
func (f *Feed) makeConsumer(ctx context.Context) (jetstream.Consumer, error) {
	js := f.Conn.JetStream()
	cfg := jetstream.ConsumerConfig{
		Durable: f.Consumer, Description: "nd-ruled", FilterSubjects: f.filter,
		AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait, MaxAckPending: MaxPending,
	}
	if f.New {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	f.delivered.Store(0)
	f.last = delivery{}
	begin := func(at uint64) {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, at
		f.last.stored = at - 1
	}
	if f.Stored {
		cfg.Replicas, cfg.MemoryStorage = 1, true
	}
	if f.resume || f.Stored && f.position.Events > 0 {
		last := f.position.Events
		if f.position.Part > 0 { // the rest of it
			last--
		}
		begin(last + 1)
	} else if former, err := js.Consumer(ctx, schemas.StreamEvents, f.Consumer); err == nil {
		begin(former.CachedInfo().AckFloor.Stream + 1)
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, err
	}
	deleting, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	js.DeleteConsumer(deleting, schemas.StreamEvents, f.Consumer) // if it is still there, CreateConsumer fails
	consumer, err := js.CreateConsumer(ctx, schemas.StreamEvents, cfg)
	if err == nil {
		f.resume = false
	}
	return consumer, err
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
	consumer, err := f.Conn.JetStream().Consumer(ctx, schemas.StreamEvents, f.Consumer)
	if err != nil {
		return fmt.Errorf("look up consumer %s of stream %s: %w", f.Consumer, schemas.StreamEvents, err)
	}
	// An update has the server count the batches that are pending.
	if consumer, err = f.Conn.JetStream().UpdateConsumer(ctx, schemas.StreamEvents, consumer.CachedInfo().Config); err != nil {
		return fmt.Errorf("look up consumer %s of stream %s: %w", f.Consumer, schemas.StreamEvents, err)
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
