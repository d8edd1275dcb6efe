// Package judge evaluates events: it compares them with what was observed on their links,
// asks the rules, and sends relay commands and raises alerts for those that match. It does
// not know where events come from; what acknowledges them is with their feed.
package judge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/ruled/alert"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/relay"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

// The ids of alerts that no rule raises: a gap in the events must always be reported.
const (
	eventsLost     = "events-lost"
	eventsMissed   = "events-missed"
	alertsUnstored = "alerts-unstored"
)

// Config has what a Judge works with.
type Config struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	Rules   *source.Source
	Alerts  *alert.Raiser
	Relay   *relay.Relayer
	// Link has the bounds of what is remembered. If Link.Learn is set, no rule is asked and nothing is published.
	Link link.Config
	// Clock is how far the clock of a host may be off without an alert, 0 for any.
	Clock time.Duration
}

// Judge evaluates events, one after another, and remembers what it has seen.
type Judge struct {
	Config

	// acting and relaying are the rules that the last event matched and whose thresholds let
	// it pass, and those of them that relay. Their memory is used again.
	acting   []acting
	relaying []*rules.Rule

	// changed is true if the stored state is out of date. A heartbeat alone does not make it
	// so: it is delivered again with the events behind the position.
	changed atomic.Bool
	stats   atomic.Pointer[Stats] // the last ones
	newest  atomic.Int64          // time of the last event, in nanoseconds since 1970
	// captured has the last result of Newest.
	captured atomic.Pointer[map[string]int64]

	mu         sync.Mutex // guards what follows
	program    *rules.Program
	evaluator  *rules.Evaluator
	links      *link.Table
	thresholds *threshold.Counters
	sensors    *sensors.Table
	// messages and advertisements count what there was to learn from.
	messages, advertisements uint64
	position                 Position
	restored                 bool // Restore was called
	halfway                  bool // an event changed the memory, but its alerts were not published
}

// Position is how far a Judge is in its feed, in the feed's own terms: the Judge only keeps
// it together with what it remembers.
type Position struct {
	// Stream is when the feed's stream was made.
	Stream time.Time
	// Events is the number of the last message with an event that the Judge remembers, 0 for none.
	Events uint64
	// Part is how many events of that message it remembers, 0 for all.
	Part int
}

// Stats is how much a Judge remembers.
type Stats struct {
	link.Stats
	// ThresholdsDropped counts the counts of thresholds that were dropped before their window
	// was over, SensorsEvicted the sensors that were dropped, because there were too many.
	ThresholdsDropped uint64
	Sensors, Silent   int
	SensorsEvicted    uint64
}

// Add adds what another Judge remembers.
func (s *Stats) Add(other Stats) {
	s.Links += other.Links
	s.Stations += other.Stations
	s.Addresses += other.Addresses
	s.Evicted += other.Evicted
	s.EvictedLinks += other.EvictedLinks
	s.ThresholdsDropped += other.ThresholdsDropped
	s.Sensors += other.Sensors
	s.Silent += other.Silent
	s.SensorsEvicted += other.SensorsEvicted
}

// acting is a rule that acts on an event, which stands for so many matches.
type acting struct {
	rule  *rules.Rule
	count uint64
}

// New returns a Judge that remembers nothing.
func New(c Config) *Judge {
	return &Judge{Config: c, links: link.New(c.Link), thresholds: threshold.New(threshold.MaxKeys), sensors: sensors.NewTable(c.Clock)}
}

// Input is an event to evaluate.
type Input struct {
	Event *schemas.Event
	// Data is the event as JSON, nil if it is to be made where an alert needs it.
	Data []byte
	// Stored is when the event was stored, zero if it comes from a sensor without delay.
	Stored time.Time
	// Missed is how many batches of events before it the feed dropped.
	Missed uint64
	// Position is that of the event.
	Position Position
}

// Judge evaluates an event. It returns when the alerts of the event are on their way to be
// stored. An error means that some are not: the event has to be delivered again.
func (j *Judge) Judge(ctx context.Context, in Input) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.halfway = true
	if in.Missed > 0 {
		j.Metrics.Missed.Add(float64(in.Missed))
		why := fmt.Sprintf("before this event, the stream dropped %d batches of events that were not evaluated yet: the rules do not keep up, the stream is too small, or it was deleted", in.Missed)
		if err := j.raise(ctx, in.alert(eventsMissed, schemas.Warning, why)); err != nil {
			return err
		}
	}
	if n := j.Alerts.TakeUnstored(); n > 0 {
		why := fmt.Sprintf("%d alerts were written and not stored before this event: there was no room for them", n)
		if err := j.raise(ctx, in.alert(alertsUnstored, schemas.Warning, why)); err != nil {
			return err
		}
	}
	if err := j.respond(ctx, &in); err != nil {
		return err
	}
	j.halfway = false
	j.position = in.Position
	return nil
}

// Move sets the position without an event: the feed skipped some, or has another stream.
func (j *Judge) Move(to Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.position = to
}

func (in *Input) alert(rule string, severity schemas.Severity, description string) alert.Alert {
	if in.Data == nil {
		observed := in.Event.Link // it is no part of the event, but of the alert
		in.Event.Link = nil
		in.Data = in.Event.AppendJSON(nil)
		in.Event.Link = observed
	}
	return alert.Alert{Event: in.Event, Data: in.Data, Rule: rule, Severity: severity, Description: description, Count: 1}
}

// raise raises an alert or, while learning, only logs it.
func (j *Judge) raise(ctx context.Context, a alert.Alert) error {
	if j.Link.Learn {
		j.Log.Warn("while learning: "+a.Description, "host", a.Event.Host, "interface", a.Event.Interface, "event", a.Event.ID)
		return nil
	}
	return j.Alerts.Raise(ctx, a)
}

func (j *Judge) respond(ctx context.Context, in *Input) error {
	e := in.Event
	if e.Sensor != nil || e.Pinger != nil {
		if j.Link.Learn {
			return nil
		}
		for _, n := range j.sensors.Heartbeat(e, in.Stored) {
			j.changed.Store(true)
			if err := j.raise(ctx, in.alert(n.Rule, n.Severity, n.Description)); err != nil {
				return err
			}
		}
		return nil
	}
	j.changed.Store(true)
	j.newest.Store(e.Time.UnixNano())
	j.Metrics.Events.Inc()
	j.sensors.Heard(e)
	if e.Lost != nil {
		return j.raise(ctx, in.alert(eventsLost, schemas.Warning, "the sensor had to drop frames: alerts may be missing"))
	}
	return j.evaluate(ctx, in)
}

func (j *Judge) evaluate(ctx context.Context, in *Input) error {
	e := in.Event
	if set := j.Rules.Rules(); set.Program != j.program {
		j.program, j.evaluator = set.Program, set.Program.NewEvaluator()
		j.links.Configure(set.Links)
	}
	j.links.Observe(e)
	if j.Link.Learn {
		if e.Conflict == nil {
			j.messages++
		}
		if e.ND != nil && e.ND.RA != nil {
			j.advertisements++
		}
		return nil
	}
	if relay.Sent(e) {
		return nil
	}
	j.acting, j.relaying = j.acting[:0], j.relaying[:0]
	held := false // a rule that relays was held back
	for _, rule := range j.evaluator.Evaluate(e) {
		count, ok := j.thresholds.Pass(rule.ID, rule.Threshold, e)
		if !ok {
			j.Metrics.Suppressed.Inc()
			if len(rule.Relay) > 0 {
				held = true
				j.Log.Debug("not relayed: the rule's threshold holds it back", "rule", rule.ID, "event", e.ID)
			}
			continue
		}
		j.acting = append(j.acting, acting{rule, count})
		if len(rule.Relay) > 0 {
			j.relaying = append(j.relaying, rule)
		}
	}
	// Relaying is urgent: raising an alert may wait.
	if len(j.relaying) > 0 {
		j.Relay.Relay(j.relaying, e, in.Stored)
	} else if !held {
		j.Relay.Unmatched(e)
	}
	for _, a := range j.acting {
		if a.rule.Severity == "" {
			continue
		}
		raised := in.alert(a.rule.ID, a.rule.Severity, a.rule.Description)
		raised.Count = a.count
		if err := j.raise(ctx, raised); err != nil {
			return err
		}
	}
	return nil
}

// settleTimeout bounds how long the evaluation of stored events may take before a sensor is reported as lost.
const settleTimeout = 2 * time.Second

// Feed is where the events come from, as far as the watch over sensors needs it.
type Feed interface {
	// Reading reports whether events are delivered now.
	Reading() bool
	// Settle returns when all events that were published before are evaluated.
	Settle(ctx context.Context) error
}

// Deaf notes that events may have been missed: no sensor counts as silent before it could be heard for long enough.
func (j *Judge) Deaf() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sensors.Deaf()
}

// Watch raises an alert for each sensor that falls silent, until the context ends. Ticks are a second apart.
func (j *Judge) Watch(ctx context.Context, ticks <-chan time.Time, feed Feed) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
		}
		fallen := j.tick(feed.Reading())
		if fallen == 0 {
			continue
		}
		// There may be stored events of these sensors that are not evaluated yet.
		settled, cancel := context.WithTimeout(ctx, settleTimeout)
		err := feed.Settle(settled)
		cancel()
		if err != nil {
			j.Log.Debug("sensors are silent, but not everything is evaluated", "sensors", fallen, "error", err)
			j.Deaf()
		} else {
			err = j.reportLost(ctx)
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tick lets a second pass and returns how many sensors are silent and not reported as lost.
func (j *Judge) tick(reading bool) (fallen int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sensors.Tick()
	if !reading {
		j.sensors.Deaf()
	}
	return len(j.sensors.Fallen())
}

func (j *Judge) reportLost(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range j.sensors.Fallen() {
		heartbeat := &w.Heartbeat
		n := w.Loss()
		if err := j.raise(ctx, alert.Alert{
			Event: heartbeat, Data: heartbeat.AppendJSON(nil), Rule: n.Rule, Severity: n.Severity, Description: n.Description, Count: 1,
		}); err != nil {
			return err
		}
		j.sensors.Reported(w)
		j.changed.Store(true)
	}
	return nil
}

// Describe adds to a status what the Judge knows of the fleet. It does not wait for an evaluation.
func (j *Judge) Describe(s *schemas.DaemonStatus) {
	if newest := time.Unix(0, j.newest.Load()).UTC(); newest.UnixNano() != 0 && (s.Newest == nil || s.Newest.Before(newest)) {
		s.Newest = &newest
	}
	missing := j.sensors.Missing()
	s.Silent = append(s.Silent, missing[:min(len(missing), schemas.MaxSilent-len(s.Silent))]...)
}

// Lessons are what a Judge learned.
type Lessons struct {
	// Links are the routers of each link that has any.
	Links []router.Link
	// Messages and Advertisements count the Neighbor Discovery messages and the Router Advertisements among them.
	Messages, Advertisements uint64
	// Interfaces are those that messages came from, as HOST/INTERFACE.
	Interfaces []string
}

// Remember tells the history of the stations that were heard again, see link.Table.Remember.
func (j *Judge) Remember(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.links.Remember(now.UnixNano())
}

// Learned returns what was learned up to now.
func (j *Judge) Learned() Lessons {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := Lessons{Links: j.links.Learned(), Messages: j.messages, Advertisements: j.advertisements}
	for _, s := range j.links.State() {
		l.Interfaces = append(l.Interfaces, s.Host+"/"+s.Interface)
	}
	slices.Sort(l.Interfaces)
	l.Interfaces = slices.Compact(l.Interfaces)
	return l
}

// Stats returns how much is remembered or, while an event waits for its alerts to be stored,
// how much was: the caller must not wait with it.
func (j *Judge) Stats() Stats {
	if j.mu.TryLock() {
		s := Stats{Stats: j.links.Stats(), ThresholdsDropped: j.thresholds.Dropped()}
		s.Sensors, s.Silent, s.SensorsEvicted = j.sensors.Stats()
		j.stats.Store(&s)
		j.mu.Unlock()
	}
	if s := j.stats.Load(); s != nil {
		return *s
	}
	return Stats{}
}
