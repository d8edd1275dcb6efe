package ruled

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// within runs ruled on the events of this process until stop is called. Without connected, it has no server.
func (f *fixture) within(t *testing.T, connected bool, edit func(*Deps)) (send func(*schemas.Event), stop func()) {
	t.Helper()
	f.registry, f.log, f.reading = prometheus.NewRegistry(), &bytes.Buffer{}, make(chan struct{}, 16)
	var receive func(*schemas.Event)
	d := Deps{
		Log: slog.New(slog.NewTextHandler(f.log, nil)), Registry: f.registry, Health: begun(f.reading),
		Events: func(to func(*schemas.Event)) func() {
			receive = to
			return func() {}
		},
	}
	if connected {
		d.Conn = connect(t, f.server, f.registry)
	}
	edit(&d)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, f.config, d) }()
	select {
	case <-f.reading:
	case err := <-done:
		t.Fatalf("ruled ends: %v", err)
	}
	return receive, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
}

// An event of this process becomes a relay command before its alert, which is stored and handed over; and what is
// remembered outlives a restart.
func TestEventsOfThisProcess(t *testing.T) {
	f := start(t, `<rules>
  <rule id="new"><match field="link.station.new"/><alert/></rule>
  <rule id="relay"><match field="nd.ns"/><match field="master"/><relay/></rule>
</rules>`)
	f.config.NoEvents = true
	var happened []string
	edit := func(d *Deps) {
		d.Relay = func(subject string, c *schemas.Relay) error {
			happened = append(happened, subject+" "+c.Event)
			return nil
		}
		d.Alert = func(_ []byte, id string, _ uint64) { happened = append(happened, id) }
		d.Lossless = true // so that alerts are handed over when they are raised
	}
	send, stop := f.within(t, true, edit)
	inward := func(n int) *schemas.Event { // the host itself is never a new station
		e := solicitation(n)
		e.Direction = schemas.In
		return e
	}
	send(inward(1))
	e := inward(2)
	send(e)
	if e.Link != nil {
		t.Errorf("the event keeps what ruled observed: %+v", e.Link)
	}
	stop()
	send, stop = f.within(t, true, edit)
	send(inward(3))
	stop()
	want := []string{"nd.relay.r1 e1", "e1.new", "nd.relay.r1 e2", "nd.relay.r1 e3"}
	if !slices.Equal(happened, want) {
		t.Errorf("%q, want %q", happened, want)
	}
	a := f.nextAlert(t)
	if a.ID != "e1.new" || a.Link == nil || bytes.Contains(a.Event, []byte(`"link"`)) {
		t.Errorf("stored %+v with the event %s", a, a.Event)
	}
}

// A deleted stream of alerts is made again, and gets the alerts that could not be stored meanwhile.
func TestAlertsStreamIsDeleted(t *testing.T) {
	f := start(t, testRules)
	f.config.NoEvents = true
	var ids []string
	send, stop := f.within(t, true, func(d *Deps) {
		d.Alert = func(_ []byte, id string, _ uint64) { ids = append(ids, id) }
	})
	send(solicitation(1))
	f.nextAlert(t)
	if err := f.conn.JetStream().DeleteStream(testContext(t), schemas.StreamAlerts); err != nil {
		t.Fatal(err)
	}
	send(solicitation(2))
	waitFor(t, "the second alert in the stream", func() bool {
		stream, err := f.conn.JetStream().Stream(testContext(t), schemas.StreamAlerts)
		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
	stop()
	f.alerts.Unsubscribe() // nothing is left to drain
	if want := []string{"e1.all-ns", "e2.all-ns"}; !slices.Equal(ids, want) {
		t.Errorf("handed over %q, want %q", ids, want)
	}
}

// Without a server, alerts are only handed over.
func TestWithoutServer(t *testing.T) {
	f := start(t, testRules)
	f.config.StateInterval = 0
	var got []string
	send, stop := f.within(t, false, func(d *Deps) {
		d.Alert = func(alert []byte, id string, after uint64) {
			got = append(got, id)
			if after != 0 || !strings.Contains(string(alert), `"rule":"all-ns"`) {
				t.Errorf("after %d: %s", after, alert)
			}
		}
		d.Lossless = true
		d.Relay = func(string, *schemas.Relay) error { return nil }
	})
	for n := range 3 {
		send(solicitation(n))
		if len(got) != n+1 {
			t.Errorf("%d alerts after %d events", len(got), n+1)
		}
	}
	stop()
}

// Alerts that find no room are handed over, counted, and reported once there is room again.
func TestNoRoomForAlerts(t *testing.T) {
	f := start(t, testRules)
	f.config.NoEvents, f.config.Buffer = true, 1<<16
	var roomy atomic.Bool
	var ids []string
	send, stop := f.within(t, true, func(d *Deps) {
		d.Alert = func(_ []byte, id string, _ uint64) { ids = append(ids, id) }
		d.Room = func() error {
			if roomy.Load() {
				return nil
			}
			return errors.New("the disk is full")
		}
	})
	sent := 0
	for ; f.counter(t, "nd_ruled_unstored_alerts_total") < 3; sent++ {
		send(solicitation(sent))
	}
	roomy.Store(true)
	waitFor(t, "the alerts that found room", func() bool {
		stream, err := f.conn.JetStream().Stream(testContext(t), schemas.StreamAlerts)
		return err == nil && stream.CachedInfo().State.Msgs == uint64(sent)-3
	})
	waitFor(t, "the report", func() bool {
		send(solicitation(sent))
		sent++
		return f.counter(t, "nd_ruled_alerts_total") > float64(sent)
	})
	stop()
	f.alerts.Unsubscribe()
	if reports := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasSuffix(id, ".alerts-unstored") }); len(reports) != 1 || len(ids) != sent+1 {
		t.Errorf("%d alerts for %d events, reports %q", len(ids), sent, reports)
	}
}
