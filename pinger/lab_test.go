package pinger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// The lab: the router has 2001:db8:1::/64 on its master alone. upstream is
// behind the master, host1 behind s1, host2 behind s2.
const (
	ownGlobal = "2001:db8:1::1"
	upstream  = "2001:db8:1::ff"
	onHost1   = "2001:db8:1::11"
	onHost2   = "2001:db8:1::42"
	nowhere   = "2001:db8:1::dead"
)

type network struct {
	router, upstream, host1, host2 *lab.Namespace
}

func newLab(t testing.TB) *network {
	t.Helper()
	lab.ReserveNeighbours(t, 1) // with a full table the pinger refuses probes
	l := &network{router: lab.New(t, "router"), upstream: lab.New(t, "upstream"), host1: lab.New(t, "host1"), host2: lab.New(t, "host2")}
	l.router.Veth("m0", l.upstream, "u0")
	l.router.Veth("s1", l.host1, "h0")
	l.router.Veth("s2", l.host2, "h0")
	l.router.Address("m0", ownGlobal+"/64")
	l.upstream.Address("u0", upstream+"/64")
	l.host1.Address("h0", onHost1+"/64")
	l.host2.Address("h0", onHost2+"/64")
	for _, slave := range []string{"s1", "s2"} {
		l.router.LinkLocal(slave)
	}
	return l
}

// fakeBus is a Bus with one subscriber.
type fakeBus struct {
	results    chan []byte
	subscribed chan struct{}
	mu         sync.Mutex
	subjects   []string
	handle     func([]byte)
	published  map[string]int // by subject
}

func (b *fakeBus) Subscribe(subject string, handle func(string, []byte)) (func() error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subjects, b.handle = append(b.subjects, subject), func(data []byte) { handle(subject, data) }
	if subject == schemas.SubjectRelayAll {
		close(b.subscribed)
	}
	return func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handle = nil
		return nil
	}, nil
}

func (b *fakeBus) Publish(subject string, data []byte) error {
	b.mu.Lock()
	b.published[subject]++
	b.mu.Unlock()
	select {
	case b.results <- bytes.Clone(data):
		return nil
	default:
		return errors.New("no subscriber receives the results")
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is a pinger that runs in a namespace.
type running struct {
	t        testing.TB
	bus      *fakeBus
	log      *syncBuffer
	registry *prometheus.Registry
	cancel   context.CancelFunc
	ended    chan error
	health   atomic.Pointer[error] // nil until it is reported
	commands int
}

func testConfig() Config {
	return Config{Host: "r1", Slaves: []string{"s1", "s2"}, Rate: 100, HoldDown: time.Hour, Timeout: 1500 * time.Millisecond, Table: 4861000, Verify: time.Second}
}

// launch runs a pinger in a namespace; prepare, if any, runs on its thread
// before.
func launch(t testing.TB, ns *lab.Namespace, cfg Config, prepare func() error) *running {
	t.Helper()
	return launchWith(t, ns, cfg, Deps{}, prepare)
}

// launchWith is launch with a clock in deps.
func launchWith(t testing.TB, ns *lab.Namespace, cfg Config, deps Deps, prepare func() error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		t:        t,
		bus:      &fakeBus{results: make(chan []byte, 10_000), subscribed: make(chan struct{}), published: map[string]int{}},
		log:      &syncBuffer{},
		registry: prometheus.NewRegistry(),
		cancel:   cancel,
		ended:    make(chan error, 1),
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ns.Go(func() {
		if prepare != nil {
			if err := prepare(); err != nil {
				r.ended <- err
				return
			}
		}
		deps.Log, deps.Registry, deps.Bus, deps.Health = log, r.registry, r.bus, func(err error) { r.health.Store(&err) }
		r.ended <- Run(ctx, cfg, deps)
	})
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Logf("log of the pinger:\n%s", r.log)
		}
	})
	return r
}

// start is launch, and waits until the pinger receives commands.
func start(t testing.TB, ns *lab.Namespace, cfg Config) *running {
	t.Helper()
	r := launch(t, ns, cfg, nil)
	r.ready()
	return r
}

func (r *running) ready() {
	r.t.Helper()
	select {
	case <-r.bus.subscribed:
	case err := <-r.ended:
		r.t.Fatalf("the pinger ended: %v", err)
	}
}

// untilHealth waits until the reported health is "<nil>", or an error.
func (r *running) untilHealth(want string) {
	r.t.Helper()
	lab.Eventually(r.t, "the health is "+want, func() bool {
		err := r.health.Load()
		return err != nil && fmt.Sprint(*err) == want
	})
}

// stop ends the pinger and waits for it.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("the pinger ended with: %v", err)
	}
}

func command(id, target string) schemas.Relay {
	now := time.Now().UTC()
	return schemas.Relay{
		Type: schemas.TypeRelay, ID: id, Time: now, Expires: now.Add(5 * time.Second), Host: "r1",
		Target: netip.MustParseAddr(target), Rule: "relay", Event: "e1",
	}
}

// send delivers a command as it stands.
func (r *running) send(cmd schemas.Relay) {
	r.t.Helper()
	data, err := json.Marshal(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.deliver(data)
}

func (r *running) deliver(data []byte) {
	r.bus.mu.Lock()
	handle := r.bus.handle
	r.bus.mu.Unlock()
	handle(data)
}

// ask sends a command for a target and returns its n results by slave.
func (r *running) ask(target string, n int) map[string]schemas.Result {
	r.t.Helper()
	r.commands++
	cmd := command(fmt.Sprintf("c%d", r.commands), target)
	r.send(cmd)
	return r.results(cmd, n)
}

// results waits for the n results of a command; results of others are passed over.
func (r *running) results(cmd schemas.Relay, n int) map[string]schemas.Result {
	r.t.Helper()
	results := make(map[string]schemas.Result)
	end := time.After(10 * time.Second)
	for len(results) < n {
		select {
		case data := <-r.bus.results:
			var result schemas.Result
			if err := json.Unmarshal(data, &result); err != nil {
				r.t.Fatalf("result %s: %v", data, err)
			}
			if result.Relay != cmd.ID {
				continue
			}
			if _, twice := results[result.Slave]; twice {
				r.t.Fatalf("second result for slave %q: %s", result.Slave, data)
			}
			if result.Type != schemas.TypeResult || result.ID == "" || result.Host != "r1" || result.Target != cmd.Target ||
				time.Since(result.Time).Abs() > time.Minute || result.Time.Location() != time.UTC {
				r.t.Fatalf("result is not as it must be: %s", data)
			}
			results[result.Slave] = result
		case <-end:
			r.t.Fatalf("got %v, want %d results", results, n)
		}
	}
	return results
}

// untilStatus asks for a target until the result of a slave has a status. That
// takes more than one command while an interface comes or goes.
func (r *running) untilStatus(target string, slave string, status schemas.Status) schemas.Result {
	r.t.Helper()
	var last schemas.Result
	lab.Eventually(r.t, fmt.Sprintf("status %s for %s on %s", status, target, slave), func() bool {
		r.commands++
		cmd := command(fmt.Sprintf("c%d", r.commands), target)
		r.send(cmd)
		results := r.results(cmd, 1)
		if _, suppressed := results[""]; !suppressed && len(results) == 1 {
			if _, ok := results[slave]; !ok {
				// The other slave's came first.
				results = r.results(cmd, 1)
			}
		}
		last = results[slave]
		return last.Status == status
	})
	return last
}

// counter returns a counter of the pinger, as name or name{label=value}.
func (r *running) counter(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			full := f.GetName()
			if labels := m.GetLabel(); len(labels) > 0 {
				var parts []string
				for _, l := range labels {
					parts = append(parts, l.GetName()+"="+l.GetValue())
				}
				full += "{" + strings.Join(parts, ",") + "}"
			}
			if full == name {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}
