package ruled

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Deps is what ruled works with.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Conn is for events and alerts, which are stored, Bus for what is not.
	Conn *bus.Conn
	Bus  Bus
	// Solicitations, if set, has take called with the Neighbor Solicitations of a
	// sensor in this process, which do not come over Bus too, until stop is called.
	Solicitations func(take func(*schemas.Event)) (stop func())
	// Command, if set, takes relay commands before they are published. It must not
	// keep them.
	Command func(*schemas.Relay)
	// Hangup, if set, has the rule file read again.
	Hangup <-chan os.Signal
	// Learned is called with what was learned, where Config.Learn says so, before
	// Run returns.
	Learned func(Learned)
	// Health, if set, is told each time that the reading of events begins, by a
	// nil error, and why when it ends.
	Health func(error)
	// Check, if set, takes a part whose health can be asked for.
	Check func(part string, check func() error)
	// Alert, if set, is called with each alert that is raised, as JSON, in their order,
	// and its sequence number in the stream: once it is stored, or after a moment with
	// 0 if it cannot be. With Lossless the evaluation waits for it, however long that
	// takes; otherwise alerts are left out for one that is stuck.
	Alert    func(alert []byte, seq uint64)
	Lossless bool
	// Room, if set, returns an error while there is no room to store alerts and the
	// state: they wait then.
	Room func() error

	// ticks are those of sensors; nil for one each tickInterval.
	ticks <-chan time.Time
}

// Bounds of the consumer: how many events may be processed and not yet
// acknowledged, and how many are asked for at a time.
const (
	maxAckPending = 16384
	pullMessages  = 4096
	// ackWait is for a ruled that hangs; one that was killed resets the
	// consumer when it is back.
	ackWait = 30 * time.Second
	// heartbeat bounds how long a pull that was lost goes unnoticed.
	heartbeat  = 5 * time.Second
	pullExpiry = 30 * time.Second
	// lastGiven is how long a program that is stuck is waited for at the end.
	lastGiven = 300 * time.Millisecond
	// sessionWait is between two tries to read the events, setupTimeout for one.
	sessionWait  = 500 * time.Millisecond
	setupTimeout = 10 * time.Second
	// streamsInterval is how often it is made sure that the streams are there, beyond
	// what the server says of one that is deleted.
	streamsInterval = 30 * time.Second
)

// Run evaluates events until the context ends, or as long as Config.Learn says.
// It returns early only when the rule file cannot be read, with a
// process.UsageError that has all its faults.
func Run(ctx context.Context, cfg Config, d Deps) error {
	m, err := newMetrics(d.Registry)
	if err != nil {
		return err
	}
	src, err := loadRules(cfg.Rules, d, m)
	if err != nil {
		var faults *rulefile.Faults
		return process.UsageError{Err: err, Located: errors.As(err, &faults)}
	}
	makers, err := LoadVendors(cfg.Vendors)
	if err != nil {
		return process.UsageError{Err: err}
	}
	e := newEvaluation(cfg, d, m, src, makers)
	e.relay = newRelayer(cfg, d, m, src)
	if err := e.registerState(d.Registry); err != nil {
		return err
	}

	// The publisher outlives the reading, to store the last alerts.
	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPublishing()
	if cfg.Learn > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, cfg.Learn)
		defer stop()
	}
	ticks := d.ticks
	if ticks == nil {
		ticker := time.NewTicker(tickInterval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	published := make(chan error, 1)
	go func() { published <- e.alerts.Run(publishing) }()
	given := make(chan struct{})
	go func() {
		defer close(given)
		if e.outbox != nil {
			e.outbox.run(publishing)
		}
	}()
	if d.Check != nil {
		d.Check("alerts", e.alerts.Health)
	}
	g.Go(func() error { return src.follow(ctx) })
	g.Go(func() error { return e.relay.run(ctx) })
	g.Go(func() error { return e.readStream(ctx) })
	g.Go(func() error { return e.keepState(ctx) })
	if cfg.Learn == 0 {
		g.Go(func() error { return e.watchSensors(ctx, ticks) })
	}
	err = g.Wait()

	flush, cancel := context.WithTimeout(publishing, time.Second)
	defer cancel()
	if d.Conn.Connected() {
		if err := e.alerts.Flush(flush); err != nil {
			d.Log.Warn("the last alerts are not stored: they come again if their events are still there at the next start", "error", err)
		}
		e.acks.flush()
		if cfg.keepsState() {
			last, cancel := context.WithTimeout(publishing, lastSave)
			defer cancel()
			if err := e.save(last); err != nil {
				d.Log.Warn("the state is not stored", "error", err)
			}
		}
	}
	if cfg.Learn > 0 {
		e.forgetConsumer(publishing)
		d.Learned(e.learned(began))
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil // the end of the learning, which may come early
		}
	}
	if e.unstored > 0 {
		d.Log.Error("alerts were written and not stored", "alerts", e.unstored)
	}
	stopPublishing()
	<-published
	late := make(<-chan time.Time)
	if !d.Lossless {
		late = time.After(lastGiven)
	}
	select {
	case <-given:
	case <-late:
		d.Log.Warn("the last alerts are not taken")
	}
	return err
}

// readStream evaluates events in sessions: one ends when the connection, the
// consumer or the order of its messages is lost. The next begins where the last
// acknowledgement was, and what comes again is recognised by the alerts' ids.
func (e *evaluation) readStream(ctx context.Context) error {
	again := make(chan struct{}, 1)
	e.conn.OnConnect(func(isAgain bool) {
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
		case <-again: // the session that begins now serves that too
		default:
		}
		err := e.session(ctx, again)
		e.health(err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e.conn.Connected() && err.Error() != logged {
			logged = err.Error()
			e.log.Warn("events are not read now, trying again", "error", err)
		}
		timer := time.NewTimer(sessionWait)
		select {
		case <-ctx.Done():
		case <-again:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// session reads events until something is lost, and says what.
func (e *evaluation) session(ctx context.Context, again <-chan struct{}) error {
	setup, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := e.ensureStreams(setup); err != nil {
		return err
	}
	if err := e.restore(setup); err != nil {
		return err
	}
	if err := e.compare(setup); err != nil {
		return err
	}
	consumer, err := e.makeConsumer(setup)
	if err != nil {
		return err
	}
	// What was delivered and not acknowledged is to come again at once, and in
	// its order: acknowledging an event acknowledges all before it.
	if err := e.reset(setup); err != nil {
		return fmt.Errorf("reset consumer %s of stream %s: %w", e.cfg.Consumer, schemas.StreamEvents, err)
	}
	e.acks.reset()
	broken := false
	lost := make(chan error, 1)
	end := func(err error) {
		select {
		case lost <- err:
		default:
		}
	}
	reading, err := consumer.Consume(
		func(msg jetstream.Msg) {
			if broken { // a later event must not acknowledge the one that failed
				return
			}
			if err := e.handle(ctx, msg); err != nil {
				broken = true
				end(err)
			}
		},
		jetstream.PullMaxMessages(pullMessages),
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { end(err) }),
	)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamEvents, err)
	}
	watch := time.NewTicker(streamsInterval)
	defer watch.Stop()
	deleted := make(chan *nats.Msg, 16) // more than there are streams
	advisories, err := e.conn.NATS().ChanSubscribe(schemas.SubjectDeleted, deleted)
	if err != nil {
		return fmt.Errorf("subscribe to what the server says of streams: %w", err)
	}
	defer advisories.Unsubscribe() // it fails only if the connection is closed
	e.setReading(true)
	e.health(nil)
	e.log.Info("reading events", "stream", schemas.StreamEvents, "consumer", e.cfg.Consumer)
	defer func() {
		e.setReading(false)
		reading.Stop()
		<-reading.Closed()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again:
			return errReconnected
		case err := <-lost:
			return err
		case <-deleted:
		case <-watch.C:
		}
		if err := e.watchStreams(ctx); err != nil {
			return err
		}
	}
}

// watchStreams makes streams again that were deleted. An error means that the events
// are to be read again.
func (e *evaluation) watchStreams(ctx context.Context) error {
	if !e.conn.Connected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	made, err := e.ensureStreams(ctx)
	switch {
	case slices.Contains(made, schemas.StreamEvents):
		return errDeleted
	case err != nil && e.conn.Connected():
		return err
	}
	return nil
}

// ensureStreams makes the streams that are not there, and returns their names.
func (e *evaluation) ensureStreams(ctx context.Context) (made []string, err error) {
	made, err = bus.EnsureStreams(ctx, e.conn.JetStream(), e.cfg.StreamConfig)
	switch {
	case len(made) == 0:
	case e.restored:
		e.log.Warn("streams were deleted, made them again", "streams", made)
	default:
		e.log.Debug("made streams", "streams", made)
	}
	return made, err
}

// makeConsumer makes the consumer of the events, or looks it up.
func (e *evaluation) makeConsumer(ctx context.Context) (jetstream.Consumer, error) {
	filter := e.cfg.Events
	if e.cfg.wholeStream() {
		filter = "" // the whole stream, which the server finds faster
	}
	consumer, err := e.conn.JetStream().CreateOrUpdateConsumer(ctx, schemas.StreamEvents, jetstream.ConsumerConfig{
		Durable:       e.cfg.Consumer,
		FilterSubject: filter,
		DeliverPolicy: e.cfg.deliver(),
		Description:   "nd-ruled",
		AckPolicy:     jetstream.AckAllPolicy,
		AckWait:       ackWait,
		MaxAckPending: maxAckPending,
	})
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of stream %s: %w", e.cfg.Consumer, schemas.StreamEvents, err)
	}
	return consumer, nil
}

// setReading notes that a session reads events, or does not any more. What
// sensors published before, it may not have heard.
func (e *evaluation) setReading(reading bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = reading
	e.sensors.deaf()
}

// reset has the consumer begin anew: behind the events of the stored state, or
// else behind those that are acknowledged.
func (e *evaluation) reset(ctx context.Context) error {
	js := e.conn.JetStream()
	if !e.resume {
		e.last = place{}
		_, err := js.ResetConsumer(ctx, schemas.StreamEvents, e.cfg.Consumer)
		return err
	}
	if _, err := js.ResetConsumerToSequence(ctx, schemas.StreamEvents, e.cfg.Consumer, e.observed+1); err != nil {
		return err
	}
	e.last, e.resume = place{stored: e.observed}, false
	return nil
}

// forgetConsumer deletes the consumer of a ruled that learns: it is needed once.
func (e *evaluation) forgetConsumer(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := e.conn.JetStream().DeleteConsumer(ctx, schemas.StreamEvents, e.cfg.Consumer); err != nil {
		e.log.Debug("the consumer stays", "consumer", e.cfg.Consumer, "error", err)
	}
}

var (
	errReconnected = errors.New("connected to NATS again")
	errDeleted     = errors.New("the stream of events was deleted")
)
