// Package alert raises alerts: each once, stored in the stream of alerts and handed over to a program in this process.
package alert

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// inFlight is small because subscribers without JetStream get an alert before it is
// stored: those that were in flight when the server went down reach them a second time.
const inFlight = 64

// Raiser raises alerts.
type Raiser struct {
	*bus.Publisher // nil if alerts are not stored
	c              Config
	outbox         *outbox       // nil if Receive is nil or need not be waited for
	last           atomic.Uint64 // the sequence number of the newest alert that this Raiser stored

	recalling sync.Mutex
	recalled  span // what Recall has read

	mu       sync.Mutex
	seed     maphash.Seed
	raised   *simplelru.LRU[uint64, struct{}] // hashes of the ids of alerts
	unstored int                              // alerts that were not stored since that was reported
	stuck    bool                             // there was no room for the last alert, although it waited
}

// Alert is an alert to raise.
type Alert struct {
	Event *schemas.Event
	// Data is the event as JSON.
	Data        []byte
	Rule        string
	Severity    schemas.Severity
	Description string
	// Count is how many matches the alert stands for, at least 1.
	Count uint64
}

// New returns a Raiser. Run has to run for alerts to be stored.
func New(c Config) *Raiser {
	r := &Raiser{c: c, seed: maphash.MakeSeed()}
	r.raised, _ = simplelru.NewLRU[uint64, struct{}](remembered, nil) // it fails only for a size below 1
	if c.Receive != nil && !c.Lossless {
		r.outbox = newOutbox(c.Receive, c.Buffer, c.Metrics.Unwritten)
	}
	if c.Conn == nil {
		return r
	}
	r.Publisher = bus.NewPublisher(c.Conn, bus.PublisherConfig{
		InFlight:   inFlight,
		Buffer:     c.Buffer,
		AckTimeout: bus.DefaultAckTimeout,
		Stored:     r.stored,
		OnProgress: c.OnProgress,
		OnStored:   func(seq uint64) { r.last.Store(max(seq, r.last.Load())) },
		Ready:      c.Room,
		Fence:      c.Fence,
		Fenced:     c.Fenced,
	}, c.Log)
	return r
}

// HandOver hands alerts over to the program in this process until the context ends, and then those that are left.
func (r *Raiser) HandOver(ctx context.Context) {
	if r.outbox != nil {
		r.outbox.run(ctx)
	}
}

// Unstored returns how many alerts were not stored since TakeUnstored returned them.
func (r *Raiser) Unstored() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unstored
}

// TakeUnstored returns how many alerts were not stored since the last call, once all others are
// stored: then there is room for an alert that reports them.
func (r *Raiser) TakeUnstored() int {
	if r.Unstored() == 0 || r.Acknowledged() < r.Published() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.unstored
	r.unstored = 0
	return n
}

// isNew reports whether no alert had an id, and remembers it.
func (r *Raiser) isNew(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := maphash.String(r.seed, id)
	if r.raised.Contains(h) {
		return false
	}
	r.raised.Add(h, struct{}{})
	return true
}

// Recall remembers which alerts others stored, so that events that are delivered again do not raise them again.
// They are the last alerts and, unless behind is 0, all alerts after the one with that sequence number.
func (r *Raiser) Recall(ctx context.Context, behind uint64) error {
	stream, err := r.c.stream(ctx) // before the wait: another call that ends meanwhile has read that far
	if err != nil {
		return err
	}
	r.recalling.Lock()
	defer r.recalling.Unlock()
	r.recalled, err = r.c.recall(ctx, stream, behind, r.recalled, func(id string) { r.isNew(id) })
	return err
}

// span is a range of sequence numbers, its end is not in it.
type span struct{ from, to uint64 }

// stored is bus.PublisherConfig.Stored. It fails where there is no stream: alerts that are
// sent meanwhile only reach subscribers again and again.
func (r *Raiser) stored(ctx context.Context) (func(string) bool, error) {
	stored := map[string]struct{}{}
	stream, err := r.c.stream(ctx)
	if err == nil {
		_, err = r.c.recall(ctx, stream, 0, span{}, func(id string) { stored[id] = struct{}{} })
	}
	return func(id string) bool { _, ok := stored[id]; return ok }, err
}

// Raise publishes an alert, unless it was raised before. While too many alerts are not stored
// yet, it waits. Where a program in this process receives the alerts it does so only as long as
// others are stored, because relaying and that program must not wait for a disk that is full:
// then the alert is counted as not stored.
func (r *Raiser) Raise(ctx context.Context, a Alert) error {
	id := a.Event.ID + "." + a.Rule
	if !r.c.Once && !r.isNew(id) {
		r.c.Metrics.AlertsAgain.Inc()
		return nil
	}
	sentence := summary.Of(a.Event)
	if a.Count > 1 {
		sentence = fmt.Sprintf("%d such frames, the last: %s", a.Count, sentence)
	} else {
		a.Count = 0
	}
	data := (&schemas.Alert{
		Type:        schemas.TypeAlert,
		Time:        a.Event.Time,
		Severity:    a.Severity,
		Host:        a.Event.Host,
		Interface:   a.Event.Interface,
		Rule:        a.Rule,
		Summary:     sentence,
		Description: a.Description,
		Count:       a.Count,
		ID:          id,
		Link:        a.Event.Link,
		Event:       a.Data,
	}).AppendJSON(nil)
	after := r.last.Load() // before this alert is stored: a reader that goes on after it finds the alert
	if err := r.store(ctx, id, data); err != nil {
		return err
	}
	switch {
	case r.outbox != nil:
		r.outbox.raise(ctx, raised{data, id, after})
	case r.c.Receive != nil:
		r.c.Receive(data, id, after)
	}
	r.count(&a)
	if r.c.Log.Enabled(ctx, slog.LevelDebug) {
		r.c.Log.Debug("alert", "rule", a.Rule, "host", a.Event.Host, "interface", a.Event.Interface, "event", a.Event.ID)
	}
	return nil
}

// count counts an alert, and measures how long ago its frame was captured.
func (r *Raiser) count(a *Alert) {
	e := a.Event
	r.c.Metrics.Alerts.Inc(a.Rule, a.Severity, e.Host)
	if e.Lost == nil && e.Sensor == nil && e.Pinger == nil {
		r.c.Metrics.Latency.Observe(max(0, time.Since(e.Time).Seconds())) // less than 0 if clocks differ
	}
}

// stuckAfter is how long an alert waits for room if no other gets any.
const stuckAfter = 500 * time.Millisecond

// store publishes an alert to be stored.
func (r *Raiser) store(ctx context.Context, id string, alert []byte) error {
	if r.Publisher == nil {
		return nil
	}
	if r.outbox == nil {
		return r.Publish(ctx, schemas.SubjectAlerts, id, alert)
	}
	published := r.TryPublish(schemas.SubjectAlerts, id, alert)
	if !published && !r.stuck && (r.c.Room == nil || r.c.Room() == nil) {
		wait, cancel := context.WithTimeout(ctx, stuckAfter)
		defer cancel()
		published = r.Publish(wait, schemas.SubjectAlerts, id, alert) == nil
	}
	if r.stuck = !published; published {
		return nil
	}
	r.c.Metrics.Unstored.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unstored++; r.unstored == 1 {
		r.c.Log.Error("alerts are written and not stored: there is no room for them, on the disk and in RULED_BUFFER")
	}
	return nil
}

// Config has what a Raiser works with.
type Config struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	// Conn is for storing the alerts, nil if that is not wanted.
	Conn *bus.Conn
	// Buffer bounds the alerts that wait to be stored, and likewise those that wait to be handed over, in bytes.
	Buffer int
	// Once is true if no event comes again, so that alerts need not be recognised.
	Once bool
	// Recent is how many of the last alerts may be about events that are delivered again.
	Recent int
	// Room, if set, returns an error while there is no room to store alerts.
	Room func() error
	// Receive and Lossless are those of ruled.Deps.
	Receive  func(alert []byte, id string, after uint64)
	Lossless bool
	// OnProgress is called when more alerts are stored.
	OnProgress func()
	// Fence and Fenced are those of bus.PublisherConfig.
	Fence  func() (subject string, last uint64)
	Fenced func()
}

// remembered is how many ids of alerts are remembered, far more than the alerts of the events
// that a sensor or ruled can have in flight when a connection breaks.
const remembered = 1 << 17

// stream looks up the stream of alerts.
func (c Config) stream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := c.Conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return nil, fmt.Errorf("read the last alerts of stream %s: %w", schemas.StreamAlerts, err)
	}
	return stream, nil
}

// recall calls found with the ids of the last Recent alerts in the stream and, unless behind is 0, of all
// that have a larger sequence number, at most of those that can be remembered, and not of those that are known. It
// returns what is known then, also with an error. It ends with the last alert that is there: the newest may have been deleted, or lost by the disk.
func (c Config) recall(ctx context.Context, stream jetstream.Stream, behind uint64, known span, found func(id string)) (span, error) {
	state := stream.CachedInfo().State
	last := func(n uint64) uint64 { return max(state.LastSeq, n) - n + 1 }
	start := last(uint64(c.Recent))
	if behind > 0 {
		start = max(min(start, behind+1), last(remembered))
	}
	start = max(start, state.FirstSeq)
	now := span{start, state.LastSeq + 1}
	if known.from <= start && start < known.to {
		if known.to >= now.to {
			return known, nil
		}
		now.from, start = known.from, known.to
	}
	if state.Msgs == 0 {
		return now, nil
	}
	next := start
	err := bus.ReadStored(ctx, stream, start, true, func(msg jetstream.Msg, seq uint64) {
		if id := msg.Headers().Get(nats.MsgIdHdr); id != "" {
			found(id)
		}
		next = seq + 1
	})
	if err != nil {
		now.to = next // so that the next call goes on there
	}
	return now, err
}
