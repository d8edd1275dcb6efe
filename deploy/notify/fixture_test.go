package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
)

// fixture is a NATS server with the stream of alerts, and a Notifier that may be started and stopped.
type fixture struct {
	t      *testing.T
	server *server.Server
	js     jetstream.JetStream
	// state is the directory of the positions.
	state  string
	stored atomic.Int64
	log    *lab.Output
	// metrics and health are those of the Notifier that was started last.
	metrics *prometheus.Registry
	health  *process.Health
}

func newFixture(t *testing.T, alertsBytes int64) *fixture {
	t.Helper()
	f := &fixture{t: t, server: bustest.Start(t, t.TempDir(), -1), state: filepath.Join(t.TempDir(), "state"), log: lab.NewOutput(t, "log")}
	f.js = f.connect("publisher").JetStream()
	f.makeStream(alertsBytes)
	return f
}

func (f *fixture) makeStream(alertsBytes int64) {
	f.t.Helper()
	_, err := bus.EnsureStreams(f.t.Context(), f.js, bus.StreamConfig{NoEvents: true, NoExporter: true, Replicas: 1, AlertsBytes: alertsBytes, AlertsAge: time.Hour})
	must(f.t, err)
}

func (f *fixture) connect(name string) *bus.Conn {
	f.t.Helper()
	f.metrics = prometheus.NewRegistry()
	conn, err := bus.Connect(bus.Config{URL: f.server.ClientURL()}, bus.Options{Name: name, Log: process.NewLogger(f.log, -4), Registry: f.metrics})
	must(f.t, err)
	f.t.Cleanup(conn.NATS().Close)
	return conn
}

// start starts a Notifier and returns what ends it.
func (f *fixture) start(receivers ...string) (stop func()) {
	f.t.Helper()
	list := parsed(f.t, receivers...)
	conn := f.connect("notifier")
	f.health = new(process.Health)
	n, err := New(f.t.Context(), Config{
		Receivers: list, Directory: f.state, Conn: conn, Log: process.NewLogger(f.log, -4), Registry: f.metrics, Health: f.health,
	})
	must(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	f.t.Cleanup(stop)
	return stop
}

// made returns an alert with a number, which is also in its interface.
func made(n int) *schemas.Alert {
	return &schemas.Alert{
		Type: schemas.TypeAlert, ID: id(n), Time: time.Now().UTC(), Severity: schemas.Warning, Host: "r1", Interface: fmt.Sprint("eth", n%1000),
		Rule: "rogue-ra", Summary: `RA fe80::1 > ff02::1 "x" [y] \z`, Description: "a router that is not one of the link",
		Event: []byte(`{"ethernet":{"source":"02:00:00:00:00:01"}}`),
	}
}

func id(n int) string { return fmt.Sprintf("a-%07d", n) }

// store stores alerts with the next numbers, also while the server is starting.
func (f *fixture) store(alerts int) {
	f.t.Helper()
	for range alerts {
		lab.Eventually(f.t, "the next alert is stored", func() bool { return f.storeNext() == nil })
	}
}

func (f *fixture) storeNext() error {
	n := int(f.stored.Load())
	_, err := f.js.Publish(context.Background(), schemas.SubjectAlerts, made(n).AppendJSON(nil), jetstream.WithMsgID(id(n)))
	if err == nil {
		f.stored.Add(1)
	}
	return err
}

// flow stores a number of alerts per second until stop is called.
func (f *fixture) flow(perSecond int) (stop func()) {
	ending, ended := make(chan struct{}), make(chan error)
	go func() {
		begun := time.Now()
		first := f.stored.Load()
		for {
			select {
			case <-ending:
				ended <- nil
				return
			case <-time.After(time.Millisecond):
			}
			for due := int64(time.Since(begun).Seconds() * float64(perSecond)); f.stored.Load()-first < due; {
				if err := f.storeNext(); err != nil {
					ended <- err
					return
				}
			}
		}
	}()
	return func() {
		f.t.Helper()
		close(ending)
		must(f.t, <-ended)
	}
}

// complete waits until a receiver has the last alert that is stored, and checks that it has each once and in order.
func (f *fixture) complete(got func() []string) {
	f.t.Helper()
	n := int(f.stored.Load())
	var ids []string
	lab.Eventually(f.t, "the last alert is delivered", func() bool {
		ids = got()
		return len(ids) > 0 && slices.Contains(ids, id(n-1))
	})
	counts, sorted := map[string]int{}, slices.IsSorted(ids)
	for _, id := range ids {
		counts[id]++
	}
	var missing, twice []string
	for i := range n {
		switch counts[id(i)] {
		case 0:
			missing = append(missing, id(i))
		case 1:
		default:
			twice = append(twice, id(i))
		}
	}
	if len(missing)+len(twice) > 0 || !sorted || len(counts) != n {
		f.t.Errorf("of %d alerts: %d are missing (%.5q), %d came more than once (%.5q), in order %v", n, len(missing), missing, len(twice), twice, sorted)
	}
}

func (f *fixture) metric(name, receiver, outcome string) float64 {
	f.t.Helper()
	families, err := f.metrics.Gather()
	must(f.t, err)
	for _, family := range families {
		for _, m := range family.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if family.GetName() == name && labels["receiver"] == receiver && labels["outcome"] == outcome {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	f.t.Fatalf("there is no metric %s of %s", name, receiver)
	return 0
}

// debian returns the path of a program of Debian, which CI installs.
func debian(t *testing.T, program string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out the tests with programs of Debian")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// freePort returns a port of loopback that is free, for TCP and UDP.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// found returns the ids in the lines of a file, in front of which there is a text.
func found(t *testing.T, path, before string) (ids []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if _, after, ok := strings.Cut(line, before); ok && len(after) >= len(id(0)) {
			ids = append(ids, after[:len(id(0))])
		}
	}
	return ids
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parsed(t *testing.T, values ...string) []*Receiver {
	t.Helper()
	list, err := Parse("--to", values)
	must(t, err)
	return list
}
