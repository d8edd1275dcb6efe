package relay

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func solicitation() *schemas.Event {
	return &schemas.Event{
		Type: schemas.TypeEvent, ID: "e1", Time: time.Now().UTC().Round(0), Host: "r1", Interface: "eth0", Direction: schemas.Out, Master: true,
		Ethernet: &schemas.Ethernet{Source: schemas.MAC{2}, Destination: schemas.MAC{0x33, 0x33}},
		Inet6:    &schemas.Inet6{Source: netip.MustParseAddr("fe80::1"), Destination: netip.MustParseAddr("ff02::1:ff00:42"), Payload: 24, NextHeader: 58, HopLimit: 255},
		ICMP6:    &schemas.ICMP6{Type: 135},
		ND:       &schemas.ND{NS: &schemas.NS{TargetAddress: netip.MustParseAddr("2001:db8::42")}},
	}
}

// sender keeps what is sent.
type sender struct {
	*Relayer
	sent    []string
	failing error
	log     bytes.Buffer
}

func newSender(t *testing.T, level slog.Level) *sender {
	t.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{sent: make([]string, 0, 4096)}
	s.Relayer = New(Config{
		TTL: 3 * time.Second, Metrics: m, Log: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: level})),
		Send: func(subject string, _ *schemas.Relay) error {
			s.sent = append(s.sent, subject)
			return s.failing
		},
	})
	return s
}

// A command costs no memory but that of its id.
func TestRelayDoesNotAllocate(t *testing.T) {
	for name, tt := range map[string]struct {
		to   []string
		want []string
		most float64
	}{
		"origin": {[]string{rules.RelayOrigin}, []string{"nd.relay.r1"}, 1},
		"two":    {[]string{"r1", "r2"}, []string{"nd.relay.r1", "nd.relay.r2"}, 2},
		"all":    {[]string{rules.RelayAll}, []string{"nd.relay"}, 1},
	} {
		s, e := newSender(t, slog.LevelInfo), solicitation()
		matched := []*rules.Rule{{ID: "a", Relay: tt.to}}
		if n := testing.AllocsPerRun(1000, func() { s.Relay(matched, e, time.Time{}) }); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", name, n, tt.most)
		}
		if got := s.sent[:len(tt.want)]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: sent on %v, want %v", name, got, tt.want)
		}
	}
}

// Each outcome is counted, and said to those who debug.
func TestOutcomes(t *testing.T) {
	now := time.Now()
	advertisement := solicitation()
	advertisement.ND = &schemas.ND{NA: &schemas.NA{}}
	old := solicitation() // by the clock of its host, which is wrong
	old.Time = old.Time.Add(-time.Hour)
	for name, tt := range map[string]struct {
		event   *schemas.Event
		stored  time.Time
		failing error
		counter func(*metrics.Metrics) prometheus.Counter
		log     string
	}{
		"sent":        {solicitation(), time.Time{}, nil, func(m *metrics.Metrics) prometheus.Counter { return m.Relays }, "msg=relay rule=a target=2001:db8::42 host=r1"},
		"from stream": {old, now, nil, func(m *metrics.Metrics) prometheus.Counter { return m.Relays }, "msg=relay rule=a"},
		"late":        {solicitation(), now.Add(-3 * time.Second), nil, func(m *metrics.Metrics) prometheus.Counter { return m.RelaysLate }, "the event is too old"},
		"lost":        {solicitation(), time.Time{}, errors.New("away"), func(m *metrics.Metrics) prometheus.Counter { return m.RelaysLost }, `msg="relay command is lost" target=2001:db8::42 host=r1 error=away`},
		"no target":   {advertisement, time.Time{}, nil, func(m *metrics.Metrics) prometheus.Counter { return m.RelaysNothing }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, slog.LevelDebug)
			s.failing = tt.failing
			s.Relay([]*rules.Rule{{ID: "a", Relay: []string{"r1"}}}, tt.event, tt.stored)
			sum := 0.0
			for _, c := range []prometheus.Counter{s.Metrics.Relays, s.Metrics.RelaysLate, s.Metrics.RelaysLost, s.Metrics.RelaysNothing} {
				sum += testutil.ToFloat64(c)
			}
			if n := testutil.ToFloat64(tt.counter(s.Metrics)); n != 1 || sum != 1 {
				t.Errorf("counted %v of %v", n, sum)
			}
			if log := s.log.String(); !strings.Contains(log, tt.log) || tt.log == "" && log != "" {
				t.Errorf("logged %q, want %q", log, tt.log)
			}
		})
	}
}

// A command names a router message, and does not carry it.
func TestRouterMessages(t *testing.T) {
	for message, nd := range map[string]*schemas.ND{
		schemas.RouterAdvertisement: {RA: &schemas.RA{Lifetime: 1800}},
		schemas.RouterSolicitation:  {RS: &schemas.RS{}},
	} {
		s, e := newSender(t, slog.LevelInfo), solicitation()
		var got schemas.RouterMessage
		var target netip.Addr
		s.Send = func(_ string, c *schemas.Relay) error {
			got, target = *c.Router, c.Target
			return nil
		}
		e.ND, e.Direction, e.Frame = nd, schemas.In, make([]byte, 70)
		e.Frame[checksumAt], e.Frame[checksumAt+1] = 0x12, 0x34
		matched := []*rules.Rule{{ID: "a", Relay: []string{rules.RelayOrigin}}}
		s.Relay(matched, e, time.Time{})
		want := schemas.RouterMessage{Host: "r1", Interface: "eth0", Message: message, Source: e.Inet6.Source, Ethernet: schemas.MAC{2}, Checksum: 0x1234}
		if got != want || target != want.Group() {
			t.Errorf("the command is to %v with %+v, want %+v", target, got, want)
		}
		vlan := uint16(7)
		e.Ethernet.VLAN = &vlan
		if s.Relay(matched, e, time.Time{}); testutil.ToFloat64(s.Metrics.RelaysNothing) != 1 {
			t.Error("one of a VLAN is relayed")
		}
	}
}

func TestUnmatched(t *testing.T) {
	advertisement := solicitation()
	advertisement.ND = &schemas.ND{NA: &schemas.NA{}}
	for level, want := range map[slog.Level]string{slog.LevelInfo: "", slog.LevelDebug: fmt.Sprint(
		`msg="no rule relays this solicitation" host=r1 interface=eth0 direction=out target=2001:db8::42 source=fe80::1 master=true proxy=false event=e1`, "\n")} {
		s := newSender(t, level)
		s.Unmatched(advertisement)
		s.Unmatched(solicitation())
		if log := s.log.String(); !strings.HasSuffix(log, want) || strings.Count(log, "\n") != strings.Count(want, "\n") {
			t.Errorf("at level %v: %q, want %q", level, log, want)
		}
	}
}

func TestSent(t *testing.T) {
	announcement := func(change func(*schemas.Event)) *schemas.Event {
		e := solicitation()
		e.Direction, e.Proxy = schemas.Out, true
		e.ND = &schemas.ND{NA: &schemas.NA{TargetAddress: netip.MustParseAddr("2001:db8::42"), Flag: schemas.NAFlags{Override: true}}}
		change(e)
		return e
	}
	for name, tt := range map[string]struct {
		event *schemas.Event
		want  bool
	}{
		"announcement":      {announcement(func(*schemas.Event) {}), true},
		"received":          {announcement(func(e *schemas.Event) { e.Direction = schemas.In }), false},
		"of a bridge port":  {announcement(func(e *schemas.Event) { e.Forwarded = true }), false},
		"no proxy":          {announcement(func(e *schemas.Event) { e.Proxy = false }), false},
		"for itself":        {announcement(func(e *schemas.Event) { e.ND.NA.TargetAddress = e.Inet6.Source }), false},
		"relayed RA":        {announcement(func(e *schemas.Event) { e.ND = &schemas.ND{RA: &schemas.RA{Flag: schemas.RAFlags{Proxy: true}}} }), true},
		"RA of this router": {announcement(func(e *schemas.Event) { e.ND = &schemas.ND{RA: &schemas.RA{}} }), false},
	} {
		if got := Sent(tt.event); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
