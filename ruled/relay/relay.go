// Package relay turns Neighbor Solicitations into relay commands, for the rules that they matched.
package relay

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nuid"
	"github.com/ndmon/ndmon/ruled/internal/message"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// Config has what a Relayer works with.
type Config struct {
	// TTL is how long after its event a command is worth carrying out.
	TTL     time.Duration
	Log     *slog.Logger
	Metrics *metrics.Metrics
	// Send sends a command on a subject, once and without waiting. It must not keep the command.
	Send func(subject string, command *schemas.Relay) error
}

// Relayer sends relay commands. It serves one goroutine.
type Relayer struct {
	Config

	ids *nuid.NUID
	// Memory that is used again.
	command      schemas.Relay
	solicitation schemas.Solicitation
	sent         []string // the hosts that got a command for this event
	subjects     map[string]string
}

// New returns a Relayer.
func New(c Config) *Relayer {
	return &Relayer{Config: c, ids: nuid.New(), subjects: map[string]string{}}
}

// Relay sends relay commands for the rules that an event matched: one to each host that they
// name. It sends none for an event that was stored longer than Config.TTL ago: the kernel gives
// up on a solicitation after three seconds. The time is zero for an event that was not stored.
func (r *Relayer) Relay(matched []*rules.Rule, event *schemas.Event, stored time.Time) {
	switch {
	case event.ND == nil || event.ND.NS == nil:
		r.Metrics.RelaysNothing.Inc()
		return
	case !stored.IsZero() && time.Since(stored) >= r.TTL:
		r.Metrics.RelaysLate.Inc()
		if r.debugging() {
			r.Log.Debug("not relayed: the event is too old", "rule", matched[0].ID, "stored", stored, "event", event.ID)
		}
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

// debugging reports whether debug lines are logged: a call that logs nothing still allocates its arguments.
func (r *Relayer) debugging() bool { return r.Log.Enabled(context.Background(), slog.LevelDebug) }

// Unmatched logs that no rule relays an event, if it is a solicitation.
func (r *Relayer) Unmatched(event *schemas.Event) {
	if event.ND == nil || event.ND.NS == nil || !r.debugging() {
		return
	}
	var source netip.Addr
	if event.Inet6 != nil {
		source = event.Inet6.Source
	}
	r.Log.Debug("no rule relays this solicitation", "host", event.Host, "interface", event.Interface, "direction", event.Direction,
		"target", event.ND.NS.TargetAddress, "source", source, "master", event.Master, "proxy", event.Proxy, "event", event.ID)
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
	err := r.Send(subject, &r.command)
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
