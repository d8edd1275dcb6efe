package ruled

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// learn has ruled learn from events until it has observed them all.
func (f *fixture) learn(t *testing.T, events ...*schemas.Event) Learned {
	t.Helper()
	f.config.Consumer, f.config.Learn = "learn", time.Hour
	f.registry = prometheus.NewRegistry()
	conn := connect(t, f.server, f.registry)
	var learned Learned
	reading := make(chan struct{}, 1)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- Run(ctx, f.config, Deps{
			Log: slog.New(slog.DiscardHandler), Registry: f.registry, Conn: conn, Bus: conn,
			Health:  begun(reading),
			Learned: func(l Learned) { learned = l },
		})
	}()
	<-reading
	frames := 0
	for _, e := range events {
		f.publish(t, e)
		if e.Sensor == nil {
			frames++
		}
	}
	waitFor(t, "all events are evaluated", func() bool { return f.counter(t, "nd_ruled_events_total") == float64(frames) })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return learned
}

func TestLearn(t *testing.T) {
	f := start(t, linkRules)
	f.publish(t, advertisement(1, "fe80::bad")) // before the learning
	learned := f.learn(t, advertisement(2, "fe80::1"), advertisement(3, "fe80::2"))
	if links := learned.Links; len(links) != 1 || links[0].Host != "r1" || len(links[0].Routers) != 2 {
		t.Fatalf("%+v", links)
	}
	var config bytes.Buffer
	if err := learned.WriteRouters(&config); err != nil || !strings.Contains(config.String(), "fe80::2") {
		t.Errorf("%v\n%s", err, config.String())
	}
	if _, err := f.conn.JetStream().Consumer(testContext(t), schemas.StreamEvents, "learn"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the consumer is still there: %v", err)
	}
}

// Where there is nothing to write, it is said why.
func TestLearnNothing(t *testing.T) {
	faulty := advertisement(1, "2001:db8::1") // RFC 4861, section 6.1.2: from a link-local address
	faulty.Fault = &schemas.Fault{Source: true, Discarded: true}
	elsewhere := solicitation(2)
	elsewhere.Interface = "eth1"
	for _, tc := range []struct {
		name   string
		events []*schemas.Event
		want   string
	}{
		{"nothing", nil, "no Neighbor Discovery message came"},
		{"no advertisement", []*schemas.Event{solicitation(1), elsewhere},
			"2 Neighbor Discovery messages came, from r1/eth0, r1/eth1, but no Router Advertisement"},
		{"no router", []*schemas.Event{faulty, elsewhere},
			"1 Router Advertisements came, from r1/eth0, r1/eth1, but none that hosts accept (RFC 4861, section 6.1.2)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			learned := start(t, linkRules).learn(t, tc.events...)
			learned.Took = 0
			var config bytes.Buffer
			if err := learned.WriteRouters(&config); err == nil || err.Error() != "no router was learned: "+tc.want || config.Len() > 0 {
				t.Errorf("%v, want %s\n%s", err, tc.want, config.String())
			}
		})
	}
}

func advertisement(n int, router string) *schemas.Event {
	e := from(n, 1, router)
	e.ICMP6.Type = 134
	e.ND = &schemas.ND{RA: &schemas.RA{CurHopLimit: 64, Preference: "medium", Lifetime: 1800}}
	return e
}
