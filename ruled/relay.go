package ruled

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// Bus carries messages that are not stored.
type Bus interface {
	// Subscribe calls handle with every message on the subject until unsubscribe
	// is called. The data is handle's until it returns.
	Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error)
	// Publish sends data once. It keeps no reference to it.
	Publish(subject string, data []byte) error
}

// relayer turns Neighbor Solicitations into relay commands. It takes them as the
// sensors publish them and not from the stream as the alerts do: the kernel
// gives a solicitation up after three seconds, so a late command is worthless,
// and one of an event that was lost is given again a second later.
type relayer struct {
	cfg Config
	log *slog.Logger
	bus Bus
	m   *metrics
	src *source

	mu sync.Mutex
	eventReader
	program   *rules.Program
	evaluator *rules.Evaluator
	ids       *nuid.NUID
	// What follows is memory that is used again.
	command      schemas.Relay
	solicitation schemas.Solicitation
	told         []string // the hosts that have got a command for this event
	subjects     map[string]string
	buf          []byte
}

func newRelayer(cfg Config, d Deps, m *metrics, src *source) *relayer {
	return &relayer{cfg: cfg, log: d.Log, bus: d.Bus, m: m, src: src, eventReader: newEventReader(), ids: nuid.New(), subjects: map[string]string{}}
}

// run relays until the context ends. Without a rule that relays it subscribes to
// nothing.
func (r *relayer) run(ctx context.Context) error {
	var unsubscribe func() error
	for {
		switch relaying := r.src.rules.Load().relaying.Len() > 0; {
		case relaying && unsubscribe == nil:
			var err error
			if unsubscribe, err = r.bus.Subscribe(solicitations(r.cfg.Events), r.handle); err != nil {
				return fmt.Errorf("read solicitations: %w", err)
			}
		case !relaying && unsubscribe != nil:
			if err := unsubscribe(); err != nil {
				r.log.Warn("reading solicitations on, although no rule relays", "error", err)
			}
			unsubscribe = nil
		}
		select {
		case <-ctx.Done():
			if unsubscribe != nil {
				unsubscribe() // it fails only if the connection is closed
			}
			return ctx.Err()
		case <-r.src.changed:
		}
	}
}

// solicitations narrows a subject of events to Neighbor Solicitations.
func solicitations(events string) string {
	tokens := strings.Split(events, ".")
	if tokens[len(tokens)-1] != ">" || len(tokens) > 5 {
		return events
	}
	tokens = tokens[:len(tokens)-1]
	for len(tokens) < 4 {
		tokens = append(tokens, "*")
	}
	return strings.Join(append(tokens, string(schemas.KindNS)), ".")
}

// handle relays one solicitation. A message that is no event is counted by the
// reading of the stream, where it is too.
func (r *relayer) handle(subject string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(subject, data); err != nil {
		return
	}
	if p := r.src.rules.Load().relaying; p != r.program {
		r.program, r.evaluator = p, p.NewEvaluator()
	}
	if matched := r.evaluator.Evaluate(&r.event); len(matched) > 0 {
		r.relay(matched, &r.event)
	} else if r.debugging() {
		r.unmatched(&r.event)
	}
}

// late relays the event of rules that had to wait for its turn, unless it is too
// late for that. A host may get a second command so, beside that of rules that
// need not wait; its pinger holds the target down.
func (r *relayer) late(matched []*rules.Rule, event *schemas.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := time.Since(event.Time); since < r.cfg.RelayTTL {
		r.relay(matched, event)
	} else if r.debugging() {
		r.log.Debug("not relayed: the event is too old", "rule", matched[0].ID, "age", since, "event", event.ID)
	}
}

// debugging reports whether lines for those who debug are logged: a call that
// logs none costs memory for what it would say.
func (r *relayer) debugging() bool { return r.log.Enabled(context.Background(), slog.LevelDebug) }

// unmatched says that no rule relays a solicitation, but for those that have to
// wait for their turn.
func (r *relayer) unmatched(event *schemas.Event) {
	var target, source netip.Addr
	if event.ND != nil && event.ND.NS != nil {
		target = event.ND.NS.TargetAddress
	}
	if event.Inet6 != nil {
		source = event.Inet6.Source
	}
	r.log.Debug("no rule relays this solicitation at once", "host", event.Host, "interface", event.Interface, "direction", event.Direction,
		"target", target, "source", source, "master", event.Master, "proxy", event.Proxy, "event", event.ID)
}

// relay sends a relay command to each of the hosts that the rules name, once
// whatever number of them do.
func (r *relayer) relay(matched []*rules.Rule, event *schemas.Event) {
	if event.ND == nil || event.ND.NS == nil {
		r.m.relaysNothing.Inc()
		return
	}
	for _, rule := range matched {
		if rule.Relay[0] == rules.RelayAll {
			r.send(rule, event, schemas.EveryHost, schemas.SubjectRelayAll)
			return
		}
	}
	r.told = r.told[:0]
	for _, rule := range matched {
		for _, host := range rule.Relay {
			if host == rules.RelayOrigin {
				host = event.Host
			}
			if !slices.Contains(r.told, host) {
				r.told = append(r.told, host)
				r.send(rule, event, host, r.subject(host))
			}
		}
	}
}

// subject returns the subject of a host's relay commands.
func (r *relayer) subject(host string) string {
	s, ok := r.subjects[host]
	if !ok {
		if len(r.subjects) >= maxSubjects {
			clear(r.subjects)
		}
		s = schemas.RelaySubject(host)
		r.subjects[strings.Clone(host)] = s
	}
	return s
}

// send sends a relay command to a host.
func (r *relayer) send(rule *rules.Rule, event *schemas.Event, host, subject string) {
	r.command = schemas.Relay{
		Type: schemas.TypeRelay,
		ID:   r.ids.Next(),
		Time: time.Now().UTC(),
		// By the clock of the host that has seen it.
		Expires: event.Time.Add(r.cfg.RelayTTL),
		Host:    host,
		Target:  event.ND.NS.TargetAddress,
		Rule:    rule.ID,
		Event:   event.ID,
	}
	if event.Inet6 != nil && event.Ethernet != nil { // as of every frame
		r.solicitation = schemas.Solicitation{
			Host: event.Host, Interface: event.Interface, Direction: event.Direction,
			Source: event.Inet6.Source, Ethernet: event.Ethernet.Source,
		}
		r.command.Solicitation = &r.solicitation
	}
	r.buf = r.command.AppendJSON(r.buf[:0])
	err := r.bus.Publish(subject, r.buf)
	if err != nil {
		r.m.relaysLost.Inc()
	} else {
		r.m.relays.Inc()
	}
	switch {
	case !r.debugging():
	case err != nil:
		r.log.Debug("relay command is lost", "target", r.command.Target, "host", host, "error", err)
	default:
		r.log.Debug("relay", "rule", rule.ID, "target", r.command.Target, "host", host, "command", r.command.ID, "event", event.ID)
	}
}
