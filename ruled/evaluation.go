package ruled

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// evaluation turns events into alerts and relay commands. Its handle is called
// by one goroutine at a time.
type evaluation struct {
	cfg  Config
	log  *slog.Logger
	conn *bus.Conn
	m    *metrics
	src  *source
	// reading is Deps.Reading.
	reading func()

	alerts *bus.Publisher
	acks   *acks
	raised recent // alerts, by id

	program   *rules.Program
	evaluator *rules.Evaluator
	event     schemas.Event
	// subjects holds the subjects seen, for what their events must say.
	subjects map[string]subject
	// last is where the last event stood, zero before the first of a session.
	last     place
	ids      *nuid.NUID
	recalled bool // the alerts of former runs are known
}

// subject is what the subject of an event says of it.
type subject struct {
	host, iface string
	kind        schemas.Kind
}

// maxSubjects bounds evaluation.subjects: who may publish events could make up
// interface names for ever.
const maxSubjects = 1 << 14

func newEvaluation(cfg Config, d Deps, m *metrics, src *source) *evaluation {
	e := &evaluation{
		cfg: cfg, log: d.Log, conn: d.Conn, m: m, src: src, reading: d.Reading,
		subjects: map[string]subject{},
		raised:   newRecent(),
		ids:      nuid.New(),
	}
	e.alerts = bus.NewPublisher(d.Conn, bus.PublisherConfig{
		InFlight:   bus.DefaultInFlight,
		Buffer:     cfg.Buffer,
		AckTimeout: bus.DefaultAckTimeout,
		Stored:     e.storedAlerts,
		OnProgress: func() { e.acks.progressed() },
	}, d.Log)
	e.acks = newAcks(e.alerts.Acknowledged)
	m.rules.Set(float64(src.program.Load().Len()))
	src.loaded = func(p *rules.Program, err error) {
		if err != nil {
			m.reloadsFailed.Inc()
			return
		}
		m.reloadsTaken.Inc()
		m.rules.Set(float64(p.Len()))
	}
	return e
}

// handle evaluates one message. An error means that the session cannot go on.
func (e *evaluation) handle(ctx context.Context, msg jetstream.Msg) error {
	at, err := parsePlace(msg.Reply())
	if err != nil {
		return err
	}
	if at.delivery != e.last.delivery+1 {
		return fmt.Errorf("expected event %d of the consumer, got %d", e.last.delivery+1, at.delivery)
	}
	var missed uint64
	if e.last.stored != 0 && e.cfg.wholeStream() {
		missed = at.stored - e.last.stored - 1
	}
	e.last = at

	if err := e.parse(msg); err != nil {
		e.m.invalid.Inc()
		e.log.Debug("dropped a message that is no event of its subject", "subject", msg.Subject(), "error", err)
		e.acks.finished(msg, e.alerts.Published(), true)
		return nil
	}
	e.m.events.Inc()
	if missed > 0 {
		e.m.missed.Add(float64(missed))
		why := fmt.Sprintf("before this event, the stream dropped %d events that were not evaluated yet: the rules do not keep up, or the stream is too small", missed)
		if err := e.alert(ctx, msg, eventsMissed, schemas.Warning, why); err != nil {
			return err
		}
	}
	if e.event.Lost != nil {
		if err := e.alert(ctx, msg, eventsLost, schemas.Warning, "the sensor had to drop frames: alerts may be missing"); err != nil {
			return err
		}
	} else if err := e.evaluate(ctx, msg); err != nil {
		return err
	}
	e.acks.finished(msg, e.alerts.Published(), false)
	return nil
}

// The ids of the alerts that no rule raises: whatever the rules are, a gap in
// the events must not be a silence.
const (
	eventsLost   = "events-lost"
	eventsMissed = "events-missed"
)

func (e *evaluation) parse(msg jetstream.Msg) error {
	if err := e.event.ParseJSON(msg.Data()); err != nil {
		return err
	}
	s, ok := e.subjects[msg.Subject()]
	if !ok {
		var err error
		if s, err = parseSubject(msg.Subject()); err != nil {
			return err
		}
		if len(e.subjects) >= maxSubjects {
			clear(e.subjects)
		}
		e.subjects[msg.Subject()] = s
	}
	// Permissions on NATS are by subject: what an event says of its origin is
	// worth no more than its subject.
	if s.host != e.event.Host || s.iface != e.event.Interface || s.kind != e.event.Kind() {
		return fmt.Errorf("event of %s/%s, kind %s, is on another's subject", e.event.Host, e.event.Interface, e.event.Kind())
	}
	if len(e.event.ID) == 0 || len(e.event.ID) > maxID || strings.ContainsFunc(e.event.ID, notInID) {
		return errors.New("id is empty, too long or has characters that are not printable ASCII")
	}
	return nil
}

// maxID bounds an event's id, which becomes part of a header of NATS.
const maxID = 128

func notInID(r rune) bool { return r <= ' ' || r > '~' }

func parseSubject(s string) (subject, error) {
	tokens := strings.Split(s, ".")
	if len(tokens) != 5 {
		return subject{}, errors.New("subject is not nd.events.<host>.<interface>.<kind>")
	}
	host, err := schemas.UnescapeToken(tokens[2])
	if err != nil {
		return subject{}, err
	}
	iface, err := schemas.UnescapeToken(tokens[3])
	if err != nil {
		return subject{}, err
	}
	return subject{host, iface, schemas.Kind(tokens[4])}, nil
}

func (e *evaluation) evaluate(ctx context.Context, msg jetstream.Msg) error {
	if p := e.src.program.Load(); p != e.program {
		e.program, e.evaluator = p, p.NewEvaluator()
	}
	for _, rule := range e.evaluator.Evaluate(&e.event) {
		if rule.Relay {
			e.relay(rule)
		}
		if rule.Severity != "" {
			if err := e.alert(ctx, msg, rule.ID, rule.Severity, rule.Description); err != nil {
				return err
			}
		}
	}
	return nil
}

// alert publishes an alert unless it was raised before. It waits while too many
// alerts are not stored yet.
func (e *evaluation) alert(ctx context.Context, msg jetstream.Msg, rule string, severity schemas.Severity, description string) error {
	id := e.event.ID + "." + rule
	if !e.raised.add(id) {
		e.m.alertsAgain.Inc()
		return nil
	}
	data, err := schemas.Marshal(schemas.Alert{
		Type:        schemas.TypeAlert,
		Time:        e.event.Time,
		Severity:    severity,
		Host:        e.event.Host,
		Interface:   e.event.Interface,
		Rule:        rule,
		Summary:     rules.Summary(&e.event),
		Description: description,
		ID:          id,
		Event:       msg.Data(),
	})
	if err != nil {
		return fmt.Errorf("write alert %s: %w", id, err)
	}
	if err := e.alerts.Publish(ctx, schemas.SubjectAlerts, id, data); err != nil {
		return err
	}
	e.m.alerts[severity].Inc()
	e.log.Debug("alert", "rule", rule, "host", e.event.Host, "interface", e.event.Interface, "event", e.event.ID)
	return nil
}

// relay sends a relay command to the pinger of the event's host. Commands are
// not stored: a late one is worthless.
func (e *evaluation) relay(rule *rules.Rule) {
	if e.event.ND == nil || e.event.ND.NS == nil {
		e.m.relaysNothing.Inc()
		return
	}
	command := schemas.Relay{
		Type: schemas.TypeRelay,
		ID:   e.ids.Next(),
		Time: time.Now().UTC(),
		// By the clock of the host that will look at it.
		Expires: e.event.Time.Add(e.cfg.RelayTTL),
		Host:    e.event.Host,
		Target:  e.event.ND.NS.TargetAddress,
		Rule:    rule.ID,
		Event:   e.event.ID,
	}
	data, err := schemas.Marshal(command)
	if err == nil {
		err = e.conn.Publish(schemas.RelaySubject(command.Host), data)
	}
	if err != nil {
		e.m.relaysLost.Inc()
		e.log.Debug("relay command is lost", "target", command.Target, "host", command.Host, "error", err)
		return
	}
	e.m.relays.Inc()
	e.log.Debug("relay", "rule", rule.ID, "target", command.Target, "host", command.Host, "command", command.ID, "event", e.event.ID)
}

// place is where a message stands.
type place struct {
	// stored is its sequence number in the stream.
	stored uint64
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
	return place{stored: numbers[3], delivery: numbers[2]}, nil
}
