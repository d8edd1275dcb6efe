package ruled

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The tests mostly wait for their servers.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// Storing an object leaves this goroutine of nats.go (1.55) behind if it starts
	// only when the object is stored: its channel is nil by then.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

const testRules = `<rules>
  <rule id="all-ns" description="every NS"><match field="nd.ns"/><alert severity="info"/></rule>
  <rule id="relay"><match field="nd.ns"/><match field="master"/><relay/></rule>
</rules>`

// stateOf is the name of the state of the partition of the host r1, and of its consumer.
var stateOf = state.Name("ruled", schemas.Partition("r1"))

// fixture is a server, ruled on it, and a client that sees what comes out.
type fixture struct {
	server   *server.Server
	conn     *bus.Conn
	registry *prometheus.Registry
	config   Config
	log      *bytes.Buffer
	alerts   *nats.Subscription
	ruled    *bus.Conn     // the connection of the one that runs
	reading  chan struct{} // each time that it begins to read events
	dir      string        // of the server
	status   func(func(*schemas.DaemonStatus))
	ticks    func(partition int) <-chan time.Time
}

func start(t testing.TB, rules string) *fixture {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // each has a server of its own, and mostly waits
	}
	f := &fixture{dir: t.TempDir()}
	f.server = bustest.Start(t, f.dir, -1)
	f.config = Config{
		Rules: filepath.Join(t.TempDir(), "rules.xml"), Consumer: "ruled", Events: schemas.SubjectEvents,
		RelayTTL: 100 * 365 * 24 * time.Hour, Buffer: 1 << 20, // the tests choose the times of events
		Neighbours: 1000, ClaimTimeout: time.Hour, Silence: 24 * time.Hour, StateInterval: time.Minute,
		StreamConfig: bus.StreamConfig{EventsBytes: 64 << 20, EventsAge: time.Hour, AlertsBytes: 64 << 20, AlertsAge: time.Hour},
	}
	writeFile(t, f.config.Rules, rules)
	f.conn = connect(t, f.server, prometheus.NewRegistry())
	f.alerts = f.subscribe(t, schemas.SubjectAlerts)
	if _, err := bus.EnsureStreams(testContext(t), f.conn.JetStream(), f.config.StreamConfig); err != nil {
		t.Fatal(err)
	}
	return f
}

// run runs ruled until the returned function is called.
func (f *fixture) run(t testing.TB) (stop func()) {
	t.Helper()
	f.registry, f.log = prometheus.NewRegistry(), &bytes.Buffer{}
	conn := connect(t, f.server, f.registry)
	f.ruled = conn
	ctx, cancel := context.WithCancel(context.Background())
	f.reading = make(chan struct{}, 16)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, f.config, Deps{
			Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: f.registry, Conn: conn,
			Health: begun(f.reading), Status: f.status, ticks: f.ticks,
		})
	}()
	select {
	case <-f.reading:
	case err := <-done:
		t.Fatalf("ruled ends: %v", err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// begun is a Deps.Health that sends when the reading of events begins.
func begun(reading chan<- struct{}) func(error) {
	return func(lost error) {
		if lost == nil {
			reading <- struct{}{}
		}
	}
}

func connect(t testing.TB, s *server.Server, r *prometheus.Registry) *bus.Conn {
	t.Helper()
	c, err := bus.Connect(bus.Config{URL: s.ClientURL()}, bus.Options{Name: "test", Log: slog.New(slog.DiscardHandler), Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Drain(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func writeFile(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

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

// publish publishes events of an interface as a sensor does: each for those who listen, all in a batch.
func (f *fixture) publish(t *testing.T, events ...*schemas.Event) {
	t.Helper()
	var batch [][]byte
	for _, e := range events {
		data := e.AppendJSON(nil)
		if err := f.conn.Publish(schemas.EventSubject(e.Host, e.Interface, e.Kind()), data); err != nil {
			t.Fatal(err)
		}
		batch = append(batch, data)
	}
	f.publishRaw(t, schemas.BatchSubject(events[0].Host, events[0].Interface), bytes.Join(batch, []byte("\n")))
}

func (f *fixture) publishRaw(t *testing.T, subject string, data []byte) {
	t.Helper()
	if _, err := f.conn.JetStream().Publish(testContext(t), subject, data); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) subscribe(t testing.TB, subject string) *nats.Subscription {
	t.Helper()
	sub, err := f.conn.NATS().SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func (f *fixture) stream(t testing.TB, name string) jetstream.Stream {
	t.Helper()
	stream, err := f.conn.JetStream().Stream(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func (f *fixture) nextAlert(t *testing.T) schemas.Alert {
	t.Helper()
	msg, err := f.alerts.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatalf("no alert: %v\n%s", err, f.log)
	}
	var a schemas.Alert
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		t.Fatal(err)
	}
	if got := msg.Header.Get(nats.MsgIdHdr); got != a.ID {
		t.Errorf("%s is %q, the alert's id %q", nats.MsgIdHdr, got, a.ID)
	}
	return a
}

func (f *fixture) waitAcknowledged(t *testing.T) {
	t.Helper()
	ctx := testContext(t)
	waitFor(t, "the acknowledgement of all events", func() bool {
		for p := range schemas.Partitions {
			c, err := f.conn.JetStream().Consumer(ctx, schemas.StreamEvents, state.Name(f.config.Consumer, p))
			if err != nil {
				t.Fatal(err)
			}
			if info := c.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
				return false
			}
		}
		return true
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for ctx := testContext(t); !done(); {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-ticker.C:
		}
	}
}

func (f *fixture) counter(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
