package relay

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// solicitation returns an event, the n-th.
func solicitation(n int) *schemas.Event {
	return &schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprintf("e%d", n), Time: time.Now().UTC().Round(0), Host: "r1", Interface: "eth0", Direction: schemas.Out, Master: true,
		Ethernet: &schemas.Ethernet{Source: schemas.MAC{2}, Destination: schemas.MAC{0x33, 0x33}},
		Inet6:    &schemas.Inet6{Source: netip.MustParseAddr("fe80::1"), Destination: netip.MustParseAddr("ff02::1:ff00:42"), Payload: 24, NextHeader: 58, HopLimit: 255},
		ICMP6:    &schemas.ICMP6{Type: 135},
		ND:       &schemas.ND{NS: &schemas.NS{TargetAddress: netip.MustParseAddr("2001:db8::42")}},
	}
}

// countingBus counts what is published.
type countingBus struct {
	published    []string
	unsubscribed bool
}

func (b *countingBus) Subscribe(string, func(string, []byte)) (func() error, error) {
	return func() error { b.unsubscribed = true; return nil }, nil
}

func (b *countingBus) Publish(subject string, _ []byte) error {
	b.published = append(b.published, subject)
	return nil
}

// A solicitation costs no memory on its way to a command but for the command's
// id, and none at all if it is not relayed.
func TestRelayDoesNotAllocate(t *testing.T) {
	for name, tt := range map[string]struct {
		to     string
		master bool
		want   []string
		most   float64
	}{
		"origin":      {"origin", true, []string{"nd.relay.r1"}, 1},
		"two":         {"r1 r2", true, []string{"nd.relay.r1", "nd.relay.r2"}, 2},
		"all":         {"all", true, []string{"nd.relay"}, 1},
		"not relayed": {"all", false, nil, 0},
	} {
		m, err := metrics.New(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "rules.xml")
		if err := os.WriteFile(file, []byte(`<rules><rule><match field="nd.ns"/><match field="master"/><relay to="`+tt.to+`"/></rule></rules>`), 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := source.Load(file, slog.New(slog.DiscardHandler), m)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		bus := &countingBus{published: make([]string, 0, 4096)}
		r := New(Config{TTL: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)), Bus: bus, Metrics: m, Rules: rules})
		e := solicitation(1)
		e.Master = tt.master
		subject, data := schemas.EventSubject(e.Host, e.Interface, e.Kind()), e.AppendJSON(nil)
		if n := testing.AllocsPerRun(1000, func() { r.handle(subject, data) }); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", name, n, tt.most)
		}
		if got := bus.published[:min(len(tt.want), len(bus.published))]; !slices.Equal(got, tt.want) || tt.want == nil && len(bus.published) > 0 {
			t.Errorf("%s: published on %v, want %v", name, got, tt.want)
		}
		if log.Len() > 0 {
			t.Errorf("%s: %s", name, &log)
		}
	}
}

// A sensor of the same process hands its solicitations over, and the commands for
// them are handed on before they are published.
func TestRelayWithinTheProcess(t *testing.T) {
	var receive func(*schemas.Event)
	stopped := false
	b := &countingBus{}
	var given []string
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	rules, err := source.Load("", log, m)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{
		Log: log, Bus: b, Metrics: m, Rules: rules, Events: schemas.SubjectEvents, TTL: time.Second,
		Solicitations: func(f func(*schemas.Event)) func() {
			receive = f
			return func() { stopped = true }
		},
		Command: func(c *schemas.Relay) { given = append(given, c.Host+" "+c.Target.String()) },
	})
	stop, err := r.subscribe()
	if err != nil {
		t.Fatal(err)
	}
	event := solicitation(1)
	event.Master = true
	receive(event)
	want := []string{event.Host + " " + event.ND.NS.TargetAddress.String()}
	if diff := cmp.Diff(want, given); diff != "" {
		t.Errorf("handed on (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{schemas.RelaySubject(event.Host)}, b.published); diff != "" {
		t.Errorf("published on (-want +got):\n%s", diff)
	}
	if err := stop(); err != nil || !stopped || !b.unsubscribed {
		t.Errorf("stop: %v, stopped %v, unsubscribed %v", err, stopped, b.unsubscribed)
	}
}
