// Package relay turns Neighbor Solicitations into relay commands. It reads them as the sensors publish them,
// and not from the stream as the alerts do: the kernel gives up on a solicitation after three seconds, so a
// late command is worthless, and a solicitation that was lost is sent again one second later.
package relay

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
	"github.com/ndmon/ndmon/ruled/internal/message"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/source"
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

// Config has what a Relayer works with.
type Config struct {
	// Events is the subject of the events to relay, or a pattern of subjects.
	Events string
	// TTL is how long after its event a command is worth carrying out.
	TTL     time.Duration
	Log     *slog.Logger
	Bus     Bus
	Metrics *metrics.Metrics
	Rules   *source.Source
	// Solicitations and Command are those of ruled.Deps.
	Solicitations func(receive func(*schemas.Event)) (stop func())
	Command       func(*schemas.Relay)
}

// Relayer sends relay commands.
type Relayer struct {
	Config

	mu        sync.Mutex
	reader    message.Reader
	program   *rules.Program
	evaluator *rules.Evaluator
	ids       *nuid.NUID
	// Memory that is used again.
	command      schemas.Relay
	solicitation schemas.Solicitation
	sent         []string // the hosts that got a command for this event
	subjects     map[string]string
	buf          []byte
}

// New returns a Relayer.
func New(c Config) *Relayer {
	return &Relayer{Config: c, reader: message.NewReader(), ids: nuid.New(), subjects: map[string]string{}}
}

// Run relays until the context ends. Without a rule that relays it subscribes to nothing.
func (r *Relayer) Run(ctx context.Context) error {
	var unsubscribe func() error
	for {
		switch relaying := r.Rules.Rules().Relaying.Len() > 0; {
		case relaying && unsubscribe == nil:
			var err error
			if unsubscribe, err = r.subscribe(); err != nil {
				return fmt.Errorf("read solicitations: %w", err)
			}
		case !relaying && unsubscribe != nil:
			if err := unsubscribe(); err != nil {
				r.Log.Warn("still reading solicitations, although no rule relays", "error", err)
			}
			unsubscribe = nil
		}
		select {
		case <-ctx.Done():
			if unsubscribe != nil {
				unsubscribe() // it fails only if the connection is closed
			}
			return ctx.Err()
		case <-r.Rules.Changed():
		}
	}
}

// subscribe receives solicitations, also those of this process, until stop is called.
func (r *Relayer) subscribe() (stop func() error, err error) {
	unsubscribe, err := r.Bus.Subscribe(solicitations(r.Events), r.handle)
	if err != nil || r.Solicitations == nil {
		return unsubscribe, err
	}
	stopLocal := r.Solicitations(r.receive)
	return func() error {
		stopLocal()
		return unsubscribe()
	}, nil
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

// handle relays one solicitation. A message that is no event is counted when it is read from the stream.
func (r *Relayer) handle(subject string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reader.Read(subject, data); err != nil {
		return
	}
	r.evaluate(&r.reader.Event)
}

// receive relays one solicitation of this process.
func (r *Relayer) receive(event *schemas.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evaluate(event)
}

func (r *Relayer) evaluate(event *schemas.Event) {
	if p := r.Rules.Rules().Relaying; p != r.program {
		r.program, r.evaluator = p, p.NewEvaluator()
	}
	if matched := r.evaluator.Evaluate(event); len(matched) > 0 {
		r.relay(matched, event)
	} else if r.debugging() {
		r.unmatched(event)
	}
}

// Late relays an event for rules that had to be evaluated in the order of events, unless it is too late for that. A
// host may get a second command, after that of rules that need not wait; its pinger holds the target down.
func (r *Relayer) Late(matched []*rules.Rule, event *schemas.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := time.Since(event.Time); since < r.TTL {
		r.relay(matched, event)
	} else if r.debugging() {
		r.Log.Debug("not relayed: the event is too old", "rule", matched[0].ID, "age", since, "event", event.ID)
	}
}

// debugging reports whether debug lines are logged: a call that logs nothing still allocates its arguments.
func (r *Relayer) debugging() bool { return r.Log.Enabled(context.Background(), slog.LevelDebug) }

// unmatched logs that no rule relays a solicitation, apart from those that are evaluated in the order of events.
func (r *Relayer) unmatched(event *schemas.Event) {
	var target, source netip.Addr
	if event.ND != nil && event.ND.NS != nil {
		target = event.ND.NS.TargetAddress
	}
	if event.Inet6 != nil {
		source = event.Inet6.Source
	}
	r.Log.Debug("no rule relays this solicitation at once", "host", event.Host, "interface", event.Interface, "direction", event.Direction,
		"target", target, "source", source, "master", event.Master, "proxy", event.Proxy, "event", event.ID)
}

// relay sends a relay command to each host that the rules name, one to each.
func (r *Relayer) relay(matched []*rules.Rule, event *schemas.Event) {
	if event.ND == nil || event.ND.NS == nil {
		r.Metrics.RelaysNothing.Inc()
		return
	}
	for _, rule := range matched {
		if rule.Relay[0] == rules.RelayAll {
			r.send(rule, event, schemas.EveryHost, schemas.SubjectRelayAll)
			return
		}
	}
	r.sent = r.sent[:0]
	for _, rule := range matched {
		for _, host := range rule.Relay {
			if host == rules.RelayOrigin {
				host = event.Host
			}
			if !slices.Contains(r.sent, host) {
				r.sent = append(r.sent, host)
				r.send(rule, event, host, r.subject(host))
			}
		}
	}
}

// subject returns the subject of a host's relay commands.
func (r *Relayer) subject(host string) string {
	s, ok := r.subjects[host]
	if !ok {
		if len(r.subjects) >= message.MaxSubjects {
			clear(r.subjects)
		}
		s = schemas.RelaySubject(host)
		r.subjects[strings.Clone(host)] = s
	}
	return s
}

// send sends a relay command to a host.
func (r *Relayer) send(rule *rules.Rule, event *schemas.Event, host, subject string) {
	r.command = schemas.Relay{
		Type: schemas.TypeRelay,
		ID:   r.ids.Next(),
		Time: time.Now().UTC(),
		// By the clock of the host that captured it.
		Expires: event.Time.Add(r.TTL),
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
	if r.Command != nil {
		r.Command(&r.command)
	}
	r.buf = r.command.AppendJSON(r.buf[:0])
	err := r.Bus.Publish(subject, r.buf)
	if err != nil {
		r.Metrics.RelaysLost.Inc()
	} else {
		r.Metrics.Relays.Inc()
	}
	switch {
	case !r.debugging():
	case err != nil:
		r.Log.Debug("relay command is lost", "target", r.command.Target, "host", host, "error", err)
	default:
		r.Log.Debug("relay", "rule", rule.ID, "target", r.command.Target, "host", host, "command", r.command.ID, "event", event.ID)
	}
}
