package ruled

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// evaluation turns the events of the stream into alerts. Its handle is called by
// one goroutine at a time.
type evaluation struct {
	cfg  Config
	log  *slog.Logger
	conn *bus.Conn
	m    *metrics
	src  *source
	// health is Deps.Health, or does nothing.
	health func(error)
	// room is Deps.Room.
	room    func() error
	vendors *vendors.Table

	alerts *bus.Publisher
	acks   *acks
	outbox *outbox // nil where no program in this process takes the alerts
	raised recent  // alerts, by id
	// relay sends relay commands for rules that ask for more than the frame.
	relay *relayer
	// acting and relaying are the rules that the last event matched and whose
	// thresholds have let it pass, and those of them that relay; their memory is
	// used again.
	acting   []acting
	relaying []*rules.Rule

	// mu guards what follows against who stores it.
	mu        sync.Mutex
	program   *rules.Program
	evaluator *rules.Evaluator
	eventReader
	links      *link.Table
	thresholds *threshold.Counters
	sensors    *sensors
	lessons
	// last is where the last event stood, zero before the first of a session. gone
	// counts the events that the stream dropped unread and that were not reported yet.
	last place
	gone uint64
	// created is when the stream of events was made, observed the sequence
	// number of the last event in it that links and thresholds know of.
	created  time.Time
	observed uint64
	reading  bool // a session reads events
	restored bool // the state of a former run is known
	unread   int  // how often it could not be read
	unstored int  // alerts that were not stored since that was told
	resume   bool // begin behind observed
	halfway  bool // an event changed the state, but its alerts were not published
	// changed says that the stored state is out of date. A heartbeat alone does not
	// make it so: it comes again with the events behind observed.
	changed bool

	figures atomic.Pointer[known] // for the metrics
}

// alertsInFlight is small because subscribers without JetStream get an alert
// before it is stored: those that were in flight when the server went down come
// to them a second time.
const alertsInFlight = 64

func newEvaluation(cfg Config, d Deps, m *metrics, src *source, vendors *vendors.Table) *evaluation {
	e := &evaluation{
		cfg: cfg, log: d.Log, conn: d.Conn, m: m, src: src, health: d.Health, room: d.Room,
		eventReader: newEventReader(),
		raised:      newRecent(),
		sensors:     newSensors(),
		thresholds:  threshold.New(threshold.MaxKeys),
		vendors:     vendors,
	}
	if e.health == nil {
		e.health = func(error) {}
	}
	e.links = e.newTable()
	var onStored func(uint64)
	if d.Alert != nil {
		e.outbox = newOutbox(d.Alert, cfg.Buffer, d.Lossless)
		onStored = e.outbox.store
	}
	e.alerts = bus.NewPublisher(d.Conn, bus.PublisherConfig{
		InFlight:   alertsInFlight,
		Buffer:     cfg.Buffer,
		AckTimeout: bus.DefaultAckTimeout,
		Stored:     e.storedAlerts,
		OnProgress: func() { e.acks.progressed() },
		OnStored:   onStored,
		Ready:      d.Room,
	}, d.Log)
	e.acks = newAcks(e.alerts.Acknowledged)
	return e
}

// newTable returns a table of links that knows none. It gets the routers that
// are configured with the rules, before the first event.
func (e *evaluation) newTable() *link.Table {
	return link.New(link.Config{
		Neighbours: e.cfg.Neighbours, ClaimTimeout: e.cfg.ClaimTimeout, Silence: e.cfg.Silence,
		Learn: e.cfg.Learn > 0, Vendor: e.vendors.Lookup,
	})
}

// handle evaluates one message. An error means that the session cannot go on.
func (e *evaluation) handle(ctx context.Context, msg jetstream.Msg) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, err := parsePlace(msg.Reply())
	if err != nil {
		return err
	}
	if at.delivery != e.last.delivery+1 {
		return fmt.Errorf("expected event %d of the consumer, got %d", e.last.delivery+1, at.delivery)
	}
	if e.last.stored != 0 && e.cfg.wholeStream() {
		e.gone += at.stored - e.last.stored - 1
	}
	e.last = at
	if at.stored <= e.observed {
		// It comes again because it was not acknowledged yet. Its alerts are
		// published, and the links must not see it twice.
		e.acks.finished(msg, e.alerts.Published(), false)
		return nil
	}

	if err := e.read(msg.Subject(), msg.Data()); err != nil {
		e.m.invalid.Inc()
		e.log.Debug("dropped a message that is no event of its subject", "subject", msg.Subject(), "error", err)
		e.observed = at.stored
		e.acks.finished(msg, e.alerts.Published(), true)
		return nil
	}
	e.halfway = true
	if missed := e.gone; missed > 0 {
		e.gone = 0
		e.m.missed.Add(float64(missed))
		why := fmt.Sprintf("before this event, the stream dropped %d events that were not evaluated yet: the rules do not keep up, the stream is too small, or it was deleted", missed)
		if err := e.alert(ctx, &e.event, msg.Data(), eventsMissed, schemas.Warning, why, 1); err != nil {
			return err
		}
	}
	if err := e.tellUnstored(ctx, msg); err != nil {
		return err
	}
	if err := e.respond(ctx, msg); err != nil {
		return err
	}
	e.halfway = false
	e.observed = at.stored
	e.acks.finished(msg, e.alerts.Published(), false)
	return nil
}

// The ids of the alerts that no rule raises: whatever the rules are, a gap in
// the events must not be a silence.
const (
	eventsLost   = "events-lost"
	eventsMissed = "events-missed"
	// alertsUnstored tells of alerts that went to a program in this process alone.
	alertsUnstored = "alerts-unstored"
)

// respond does what the event asks for.
func (e *evaluation) respond(ctx context.Context, msg jetstream.Msg) error {
	if e.event.Sensor != nil {
		if e.cfg.Learn > 0 {
			return nil
		}
		for _, n := range e.sensors.heartbeat(&e.event) {
			e.changed = true
			if err := e.alert(ctx, &e.event, msg.Data(), n.rule, n.severity, n.description, 1); err != nil {
				return err
			}
		}
		return nil
	}
	e.changed = true
	e.m.events.Inc()
	e.sensors.heard(&e.event)
	if e.event.Lost != nil {
		return e.alert(ctx, &e.event, msg.Data(), eventsLost, schemas.Warning, "the sensor had to drop frames: alerts may be missing", 1)
	}
	return e.evaluate(ctx, msg)
}

// acting is a rule that acts on an event, which stands for so many matches.
type acting struct {
	rule  *rules.Rule
	count uint64
}

func (e *evaluation) evaluate(ctx context.Context, msg jetstream.Msg) error {
	if set := e.src.rules.Load(); set.evaluated != e.program {
		e.program, e.evaluator = set.evaluated, set.evaluated.NewEvaluator()
		e.links.Configure(set.links)
	}
	e.links.Observe(&e.event)
	if e.cfg.Learn > 0 {
		e.messages++
		if e.event.ND != nil && e.event.ND.RA != nil {
			e.advertisements++
		}
		return nil
	}
	e.acting, e.relaying = e.acting[:0], e.relaying[:0]
	for _, rule := range e.evaluator.Evaluate(&e.event) {
		count, ok := e.thresholds.Pass(rule.ID, rule.Threshold, &e.event)
		if !ok {
			e.m.suppressed.Inc()
			if len(rule.Relay) > 0 {
				e.log.Debug("not relayed: the rule's threshold holds it back", "rule", rule.ID, "event", e.event.ID)
			}
			continue
		}
		e.acting = append(e.acting, acting{rule, count})
		if len(rule.Relay) > 0 {
			e.relaying = append(e.relaying, rule)
		}
	}
	if len(e.relaying) > 0 {
		e.relay.late(e.relaying, &e.event)
	}
	for _, a := range e.acting {
		if a.rule.Severity == "" {
			continue
		}
		if err := e.alert(ctx, &e.event, msg.Data(), a.rule.ID, a.rule.Severity, a.rule.Description, a.count); err != nil {
			return err
		}
	}
	return nil
}

// alert publishes an alert about an event, of which data is the message, unless
// it was raised before. It waits while too many alerts are not stored yet.
func (e *evaluation) alert(ctx context.Context, event *schemas.Event, data []byte, rule string, severity schemas.Severity, description string, count uint64) error {
	if e.cfg.Learn > 0 {
		e.log.Warn("while learning: "+description, "host", event.Host, "interface", event.Interface, "event", event.ID)
		return nil
	}
	id := event.ID + "." + rule
	if !e.raised.add(id) {
		e.m.alertsAgain.Inc()
		return nil
	}
	sentence := summary.Of(event)
	if count > 1 {
		sentence = fmt.Sprintf("%d such frames, the last: %s", count, sentence)
	} else {
		count = 0
	}
	alert := (&schemas.Alert{
		Type:        schemas.TypeAlert,
		Time:        event.Time,
		Severity:    severity,
		Host:        event.Host,
		Interface:   event.Interface,
		Rule:        rule,
		Summary:     sentence,
		Description: description,
		Count:       count,
		ID:          id,
		Link:        event.Link,
		Event:       data,
	}).AppendJSON(nil)
	stored, err := e.store(ctx, id, alert)
	if err != nil {
		return err
	}
	if e.outbox != nil {
		e.outbox.raise(ctx, alert, stored)
	}
	e.m.alerts[severity].Inc()
	e.log.Debug("alert", "rule", rule, "host", event.Host, "interface", event.Interface, "event", event.ID)
	return nil
}

// store has an alert stored. It waits while too many are not stored yet, but where there
// is no room for more and a program in this process gets the alerts: that must not wait
// for the disk.
func (e *evaluation) store(ctx context.Context, id string, alert []byte) (stored bool, err error) {
	if e.room == nil || e.outbox == nil {
		return true, e.alerts.Publish(ctx, schemas.SubjectAlerts, id, alert)
	}
	for !e.alerts.TryPublish(schemas.SubjectAlerts, id, alert) {
		if e.room() != nil {
			e.m.unstored.Inc()
			if e.unstored++; e.unstored == 1 {
				e.log.Error("alerts are written and not stored: there is no room for them, on the disk and in RULED_BUFFER")
			}
			return false, nil
		}
		wait, cancel := context.WithTimeout(ctx, roomInterval)
		err := e.alerts.Publish(wait, schemas.SubjectAlerts, id, alert)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err == nil, err
		}
	}
	return true, nil
}

// roomInterval is how often it is looked for room while alerts wait to be stored.
const roomInterval = 100 * time.Millisecond

// tellUnstored raises an alert for those that were not stored, once there is room.
func (e *evaluation) tellUnstored(ctx context.Context, msg jetstream.Msg) error {
	n := e.unstored
	if n == 0 || e.room() != nil {
		return nil
	}
	e.unstored = 0
	return e.alert(ctx, &e.event, msg.Data(), alertsUnstored, schemas.Warning,
		fmt.Sprintf("%d alerts were written and not stored before this event: there was no room for them", n), 1)
}

// place is where a message stands.
type place struct {
	// stored is its sequence number in the stream.
	stored uint64
	// pending is how many events of the stream were behind it.
	pending uint64
	// delivery counts what the consumer has delivered since it was reset, from
	// 1 on. One that is left out was lost, and acknowledging the next would
	// acknowledge it too.
	delivery uint64
}

// parsePlace reads the reply subject of a message from a consumer,
// $JS.ACK.….<stored>.<delivery>.<time>.<pending>.
func parsePlace(reply string) (place, error) {
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
		return place{}, fmt.Errorf("message with reply subject %q does not come from a consumer", reply)
	}
	return place{stored: numbers[3], delivery: numbers[2], pending: numbers[0]}, nil
}
