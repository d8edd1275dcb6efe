// Package relay turns Neighbor Solicitations, Router Advertisements and Router Solicitations into
// relay commands, for the rules that they matched.
package relay

import (
	"context"
	"encoding/binary"
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
	router       schemas.RouterMessage
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
	case !relayable(event):
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

// relayable reports whether a pinger can do something with an event.
func relayable(event *schemas.Event) bool {
	return event.ND != nil && (event.ND.NS != nil || routerMessage(event) != "")
}

// routerMessage returns which router message an event is; empty for others, and for those that
// are not in a plain frame, which a pinger does not receive.
func routerMessage(event *schemas.Event) string {
	switch nd, plain := event.ND, event.Ethernet != nil && event.Ethernet.VLAN == nil && event.Inet6 != nil &&
		len(event.Inet6.Extension) == 0 && len(event.Frame) >= checksumAt+2; {
	case plain && nd.RA != nil:
		return schemas.RouterAdvertisement
	case plain && nd.RS != nil:
		return schemas.RouterSolicitation
	}
	return ""
}

// Sent reports whether the pinger of the host that captured it sent a message: a Router
// Advertisement, which was judged where it came in, or the announcement of a host that has moved.
// No other station can send such a frame.
func Sent(event *schemas.Event) bool {
	if event.Direction != schemas.Out || !event.Proxy || event.Forwarded || event.ND == nil {
		return false
	}
	ra, na := event.ND.RA, event.ND.NA
	return ra != nil && ra.Flag.Proxy ||
		na != nil && na.Flag.Override && !na.Flag.Solicited && event.Inet6 != nil && event.Inet6.Source != na.TargetAddress
}

// checksumAt is where the ICMPv6 checksum is in a frame without a VLAN tag and extension headers.
const checksumAt = 14 + 40 + 2

// debugging reports whether debug lines are logged: a call that logs nothing still allocates its arguments.
func (r *Relayer) debugging() bool { return r.Log.Enabled(context.Background(), slog.LevelDebug) }

// Unmatched logs that no rule relays an event, if it is a solicitation.
func (r *Relayer) Unmatched(event *schemas.Event) {
	if event.ND == nil || event.ND.NS == nil && event.ND.RA == nil && event.ND.RS == nil || !r.debugging() {
		return
	}
	var source netip.Addr
	if event.Inet6 != nil {
		source = event.Inet6.Source
	}
	if ns := event.ND.NS; ns != nil {
		r.Log.Debug("no rule relays this solicitation", "host", event.Host, "interface", event.Interface, "direction", event.Direction,
			"target", ns.TargetAddress, "source", source, "master", event.Master, "proxy", event.Proxy, "event", event.ID)
	} else if event.Direction == schemas.In && event.Proxy {
		r.Log.Debug("no rule relays this router message", "host", event.Host, "interface", event.Interface, "kind", event.Kind(),
			"source", source, "master", event.Master, "event", event.ID)
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
		Rule:    rule.ID,
		Event:   event.ID,
	}
	if ns := event.ND.NS; ns == nil {
		r.router = schemas.RouterMessage{
			Host: event.Host, Interface: event.Interface, Message: routerMessage(event),
			Source: event.Inet6.Source, Ethernet: event.Ethernet.Source, Checksum: binary.BigEndian.Uint16(event.Frame[checksumAt:]),
		}
		r.command.Target, r.command.Router = r.router.Group(), &r.router
	} else if r.command.Target = ns.TargetAddress; event.Inet6 != nil && event.Ethernet != nil { // as of every frame
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
