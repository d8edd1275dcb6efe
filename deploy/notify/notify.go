package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/feed"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is the configuration of a Notifier.
type Config struct {
	Receivers []*Receiver
	// Filter selects the alerts of all receivers.
	Filter alerts.Filter
	// Directory has a file with the position of each receiver.
	Directory string
	Conn      *bus.Conn
	Log       *slog.Logger
	Registry  prometheus.Registerer
	// Health gets a part for each receiver.
	Health *process.Health
}

// Notifier delivers the alerts of the stream to receivers, each in order and independent of the others.
type Notifier struct{ workers []*worker }

const (
	// firstWait is the time after which a receiver that is away is tried again. It doubles up to longWait.
	firstWait = 500 * time.Millisecond
	longWait  = 10 * time.Second
	// longestLater bounds the wait that a receiver asks for.
	longestLater = 5 * time.Minute
	// lastSend is the time for what is being sent when the context ends.
	lastSend = 2 * time.Second
	// logInterval is the time between two log lines about alerts that are left out.
	logInterval = 30 * time.Second
)

// New returns a Notifier. A receiver without a position gets the alerts that are stored after this call, if NATS is
// connected; otherwise, those stored after Run reaches it.
func New(ctx context.Context, c Config) (*Notifier, error) {
	n := &Notifier{}
	metrics := NewMetrics(c.Registry)
	for _, r := range c.Receivers {
		p, err := openPosition(c.Directory, r.name)
		if err != nil {
			return nil, err
		}
		w := &worker{
			Config: c, Receiver: r, position: p, health: c.Health.Part("receiver " + r.name), log: c.Log.With("receiver", r.name),
			metrics: metrics.of(r.name),
		}
		if c.Conn.Connected() {
			if _, err := w.next(ctx); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil, err
			}
		}
		n.workers = append(n.workers, w)
	}
	return n, nil
}

// Run delivers alerts until the context ends.
func (n *Notifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, w := range n.workers {
		all.Go(func() { w.run(ctx) })
	}
	all.Wait()
	return ctx.Err()
}

// worker delivers to one receiver.
type worker struct {
	Config
	*Receiver
	position *position
	health   func(error)
	log      *slog.Logger
	metrics  receiverMetrics

	progress bool // since the last failure
	// away is true after it was logged, at the time awayLogged, that the receiver is away.
	away       bool
	awayLogged time.Time
	// skipped counts the alerts that are left out since that was last logged.
	skipped int
	logged  time.Time
}

func (w *worker) run(ctx context.Context) {
	defer w.position.file.Close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(lastSend, cancel) })
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		err := w.deliver(ctx, work)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		w.failed(err)
		if w.progress {
			w.progress, wait = false, firstWait
		}
		var later laterError
		errors.As(err, &later)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, min(later.after, longestLater))):
		}
	}
}

// deliver delivers what follows the position until the context ends or there is an error. What was read and not
// delivered is read again: while a receiver is away, nothing is kept here.
func (w *worker) deliver(ctx, work context.Context) error {
	stream, err := w.next(work)
	if err != nil {
		return err
	}
	reader, err := feed.Open(work, stream, "delivers alerts to "+w.name, w.position.created, w.position.alert+1)
	if err != nil {
		return err
	}
	defer reader.Close()
	if !w.away {
		w.health(nil)
	}
	for {
		w.metrics.waiting.Set(float64(reader.Pending()))
		batch, err := reader.Next(ctx, work)
		if err != nil && w.progress {
			w.progress = false
			return nil // such as after a slow batch, behind which the server has forgotten the reader
		}
		if err != nil {
			return err
		}
		created, last := reader.Position()
		w.countDropped(work, stream, last, len(batch))
		list, invalid := w.choose(batch)
		last, left, err := w.sendAll(work, list, last)
		for _, message := range invalid {
			if message.sequence <= last { // otherwise it is read again
				w.metrics.invalid.Inc()
				w.skip("a message in the stream of alerts is not an alert", message.err)
			}
		}
		if last != w.position.alert {
			w.note(created, last)
		}
		if err != nil && ctx.Err() == nil {
			w.metrics.retries.Inc()
			w.metrics.waiting.Set(float64(reader.Pending() + uint64(left)))
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
		w.delivered()
	}
}

// next returns the stream, with the position at the alert before the next one.
func (w *worker) next(ctx context.Context) (jetstream.Stream, error) {
	p := w.position
	stream, err := w.Conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !p.known {
			w.note(time.Time{}, 0) // all of the stream that is made later is new
		}
		return nil, fmt.Errorf("nd-ruled has not made the stream %s yet: %w", schemas.StreamAlerts, err)
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, bus.Explain(w.Conn.JetStream(), err))
	}
	created, state := stream.CachedInfo().Created, stream.CachedInfo().State
	alert := p.alert
	switch {
	case !p.known:
		alert = state.LastSeq
	case !p.created.Equal(created):
		if alert = 0; !p.created.IsZero() {
			w.log.Warn("the stream of alerts was deleted and made again: delivering it from its start", "stream", schemas.StreamAlerts)
		}
	}
	alert = min(alert, state.LastSeq) // a power failure may have lost the newest ones
	if lost := int64(state.FirstSeq - alert - 1); lost > 0 && p.known {
		w.dropped(lost)
		alert = state.FirstSeq - 1
	}
	if !p.known || alert != p.alert || !created.Equal(p.created) {
		w.note(created, alert)
	}
	return stream, nil
}

// countDropped counts the alerts that the stream dropped between the position and a batch that ends with a message.
func (w *worker) countDropped(ctx context.Context, stream jetstream.Stream, last uint64, alerts int) {
	gap := int64(last-w.position.alert) - int64(alerts)
	if gap <= 0 {
		return
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return // the stream is away, which reading it reports
	}
	if lost := min(gap, int64(info.State.FirstSeq-w.position.alert-1)); lost > 0 {
		w.dropped(lost)
	}
}

func (w *worker) dropped(alerts int64) {
	w.metrics.dropped.Add(float64(alerts))
	w.log.Warn("the stream dropped alerts before the receiver took them", "stream", schemas.StreamAlerts, "alerts", alerts)
}

func (w *worker) note(created time.Time, alert uint64) {
	if err := w.position.set(created, alert); err != nil {
		w.log.Debug("alerts may be delivered again after the next start", "error", err)
	}
}

// invalidMessage is a message that is not an alert.
type invalidMessage struct {
	sequence uint64
	err      error
}

// choose returns the alerts among messages that the filters select, and what is not an alert.
func (w *worker) choose(messages []jetstream.Msg) (list []*alert, invalid []invalidMessage) {
	for _, m := range messages {
		a, err := parse(m)
		switch {
		case err != nil:
			invalid = append(invalid, invalidMessage{a.sequence, err})
		case w.Filter.Match(&a.Alert) && w.filter.Match(&a.Alert):
			list = append(list, a)
		}
	}
	return list, invalid
}

// sendAll sends alerts. The last message that was read has the sequence number last. It returns that of the last one that is
// done, and how many alerts are left.
func (w *worker) sendAll(ctx context.Context, list []*alert, last uint64) (done uint64, left int, err error) {
	for {
		taken, err := w.send(ctx, list)
		w.metrics.delivered.Add(float64(taken))
		w.progress = w.progress || taken > 0
		list = list[taken:]
		switch {
		case err == nil:
			return last, 0, nil
		case errors.As(err, new(refusedError)) && len(list) > 0:
			w.metrics.refused.Inc()
			w.skip("the receiver refuses an alert", err, "alert", list[0].ID)
			if list = list[1:]; len(list) == 0 {
				return last, 0, nil
			}
		case len(list) == 0:
			return last, 0, err
		default:
			return list[0].sequence - 1, len(list), err
		}
	}
}

// skip logs that an alert is left out.
func (w *worker) skip(message string, err error, attrs ...any) {
	if w.skipped++; time.Since(w.logged) >= logInterval {
		w.log.Warn(message, append(attrs, "left out", w.skipped, "error", err)...)
		w.skipped, w.logged = 0, time.Now()
	}
}

// failed notes that alerts wait for the receiver. One that takes them in turns and one that is only too slow do not fill the log.
func (w *worker) failed(err error) {
	var later laterError
	if errors.As(err, &later) && later.busy {
		return
	}
	w.health(err)
	if !w.away && w.Conn.Connected() && time.Since(w.awayLogged) >= logInterval { // the connection has logged that NATS is away
		w.away, w.awayLogged = true, time.Now()
		w.log.Warn("alerts wait for the receiver", "error", err)
	}
}

// delivered notes that the receiver takes what there is.
func (w *worker) delivered() {
	w.health(nil)
	if w.away {
		w.away = false
		w.log.Info("the receiver takes alerts again")
	}
}
