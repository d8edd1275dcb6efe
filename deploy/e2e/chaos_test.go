package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// member is a process of a fleet in a namespace of its own, whose cable can be pulled.
type member struct {
	*lab.Process
	at      *lab.Namespace
	port    string // of the hub
	command lab.Command
	ready   string // what it logs
}

func (m *member) start() {
	m.Process = m.at.Start(m.command)
	m.Stderr.WaitFor(m.ready)
}

// numberedRouter is a router that gets numbered frames.
type numberedRouter struct {
	*lab.Router
	name, port string
	mu         sync.Mutex
	sent       []time.Time // by number
}

// send sends numbered frames until stop is closed.
func (r *numberedRouter) send(stop <-chan struct{}, every time.Duration) error {
	tick, wire := time.NewTicker(every), r.Upstream.Wire("eth0")
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		r.mu.Lock()
		r.sent = append(r.sent, time.Now())
		r.mu.Unlock()
		if _, err := wire.Write(numbered(n)); err != nil {
			return err
		}
	}
}

// troubledFleet is a cluster of three servers with three nd-ruled, two edges and two thin routers.
type troubledFleet struct {
	t       *testing.T
	keys    string
	cluster *lab.Cluster
	ruled   []*member
	routers []*numberedRouter
	nc      *nats.Conn // the admin's
	mu      sync.Mutex
	newest  map[string]int // the frame of each host of which an alert came last
}

func newTroubledFleet(t *testing.T) *troubledFleet {
	t.Helper()
	f := &troubledFleet{t: t, keys: filepath.Join(t.TempDir(), "keys"), newest: map[string]int{}}
	succeed(t, program("ndmon", "keys", "init", f.keys, "--servers", "192.0.2.1,192.0.2.2,192.0.2.3", "--hosts", "thin1,thin2", "--edges", "edge1,edge2", "--data", t.TempDir()))
	self, err := os.Executable()
	must(t, err)
	server := filepath.Join(t.TempDir(), "nats-server")
	must(t, os.WriteFile(server, []byte("#!/bin/sh\n"+brokerEnv+"=1 exec "+self+` "$@"`+"\n"), 0o755))
	f.cluster = lab.NewCluster(t, server, f.keys)
	f.nc = as(t, f.cluster.Hub, filepath.Join(f.keys, "admin.nk"), f.ca(), nats.MaxReconnects(-1), nats.PingInterval(time.Second), func(o *nats.Options) error {
		o.Servers = strings.Split(f.cluster.URLs(), ",")
		return nil
	})
	f.follow()
	for i := range 3 {
		m := &member{at: lab.New(t, fmt.Sprint("ruled", i+1)), ready: "reading events"}
		m.port = f.cluster.Join(m.at, "eth0", fmt.Sprintf("192.0.2.%d/24", 11+i))
		m.command = f.as("ruled", program("nd-ruled"))
		m.start()
		f.ruled = append(f.ruled, m)
	}
	for i, name := range []string{"thin1", "thin2", "edge1", "edge2"} {
		r := &numberedRouter{Router: lab.NewRouter(t), name: name}
		r.port = f.cluster.Join(r.Namespace, "uplink", fmt.Sprintf("192.0.2.%d/24", 21+i))
		if strings.HasPrefix(name, "thin") {
			r.Start(f.as("pinger-"+name, program("nd-pinger"), "PINGER_HOST="+name, "PINGER_SLAVES="+lab.Slave1)).Stderr.WaitFor("pinger ready")
			r.Start(f.as("sensor-"+name, program("nd-sensor"), "SENSOR_HOST="+name, "SENSOR_INTERFACES="+lab.Master)).Stderr.WaitFor("msg=capturing")
		} else {
			p := r.Start(with(program("ndmon", "-i", lab.Master, "--data", t.TempDir(), "--hub", strings.ReplaceAll(f.cluster.URLs(), ":4222", ""), "--key", filepath.Join(f.keys, "edge-"+name+".nk")), "NATS_CA="+f.ca()))
			p.Stderr.WaitFor("msg=capturing")
		}
		f.routers = append(f.routers, r)
	}
	return f
}

func (f *troubledFleet) ca() string { return filepath.Join(f.keys, "ca.pem") }

func (f *troubledFleet) as(user string, c lab.Command, env ...string) lab.Command {
	return with(c, append([]string{"NATS_URL=" + f.cluster.URLs(), "NATS_CA=" + f.ca(), "NATS_NKEY=" + filepath.Join(f.keys, user+".nk")}, env...)...)
}

// trouble is something that happens to a part of the fleet, and is over after a while.
type trouble struct {
	what       string
	begin, end func()
}

func (f *troubledFleet) troubles() (list []trouble) {
	cable := func(name, port string) {
		list = append(list, trouble{"the cable of " + name, func() { f.cluster.Hub.Down(port) }, func() { f.cluster.Hub.Up(port) }})
	}
	for i, s := range f.cluster.Servers {
		name := fmt.Sprint("server ", i+1)
		list = append(list, trouble{"kill of " + name, func() { s.Kill() }, s.Start}, trouble{"stop of " + name, func() { s.Process.Stop() }, s.Start},
			trouble{"hang of " + name, s.Suspend, s.Resume}, trouble{"the cable of " + name, s.Cut, s.Mend})
	}
	for i, m := range f.ruled {
		name := fmt.Sprint("nd-ruled ", i+1)
		list = append(list, trouble{"kill of " + name, func() { m.Kill() }, m.start}, trouble{"stop of " + name, func() { m.Stop() }, m.start},
			trouble{"hang of " + name, func() { m.Signal(syscall.SIGSTOP) }, func() { m.Signal(syscall.SIGCONT) }})
		cable(name, m.port)
	}
	for _, r := range f.routers {
		cable(r.name, r.port)
	}
	return list
}

// stored is an alert of a numbered frame in ND_ALERTS.
type stored struct {
	n  int
	at time.Time
}

// alerts returns those of the numbered frames by host. All others must be about silent parts. It fails while the stream has no leader.
func (f *troubledFleet) alerts() (list map[string][]stored, err error) {
	list = map[string][]stored{}
	js, err := jetstream.New(f.nc)
	must(f.t, err)
	alerts, err := js.Stream(f.t.Context(), schemas.StreamAlerts)
	if err != nil {
		return nil, err
	}
	return list, bus.ReadStored(f.t.Context(), alerts, 1, false, func(m jetstream.Msg, _ uint64) {
		if m.Subject() != schemas.SubjectAlerts {
			return
		}
		a := parse[alert](f.t, m.Data())
		if a.Rule == "sensor-lost" || a.Rule == "sensor-back" || a.Rule == "pinger-lost" || a.Rule == "pinger-back" {
			return
		}
		if a.Event.ND == nil {
			f.t.Errorf("alert that the test did not provoke: %s: %s", a.Rule, a.Description)
			return
		}
		meta, err := m.Metadata()
		must(f.t, err)
		list[a.Host] = append(list[a.Host], stored{numberOf(f.t, a), meta.Timestamp})
	})
}

// withoutEvent returns the frames of a router that ND_EVENTS lacks. Those of an edge are not in it.
func (f *troubledFleet) withoutEvent(r *numberedRouter) (frames []int) {
	if strings.HasPrefix(r.name, "edge") {
		return nil
	}
	found := map[int]bool{}
	must(f.t, bus.ReadStored(f.t.Context(), stream(f.t, f.nc, schemas.StreamEvents), 1, false, func(m jetstream.Msg, _ uint64) {
		for _, line := range bytes.Split(m.Data(), []byte("\n")) {
			var e schemas.Event
			if e.ParseJSON(line) == nil && e.Host == r.name && e.ND != nil && e.ND.RA != nil {
				found[int(e.ND.RA.ReachableTimer)] = true
			}
		}
	}))
	for n := range r.sent {
		if !found[n] {
			frames = append(frames, n)
		}
	}
	return frames
}

// at returns the number of the first frame after a time.
func (r *numberedRouter) at(t time.Time) int {
	n, _ := slices.BinarySearchFunc(r.sent, t, time.Time.Compare)
	return n
}

// A fleet loses no alert, has none twice and each host's in order, whatever happens to one of its parts at a time:
// kill -9, SIGTERM, SIGSTOP, or its cable. NDMON_CHAOS=10m makes it last so long, in place of some troubles.
func TestFleetInTrouble(t *testing.T) {
	few, lasting := 6, os.Getenv("NDMON_CHAOS")
	until := time.Now()
	if lasting != "" {
		d, err := time.ParseDuration(lasting)
		must(t, err)
		until, few = until.Add(d), 0
	}
	f := newTroubledFleet(t)
	stop, ended := make(chan struct{}), make(chan error)
	for _, r := range f.routers {
		go func() { ended <- r.send(stop, 20*time.Millisecond) }()
	}
	f.flows()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type period struct {
		trouble
		from, to time.Time
	}
	var periods []period
	list := f.troubles()
	for len(periods) < few || time.Now().Before(until) {
		i := len(periods) % len(list)
		if i == 0 {
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		p := period{trouble: list[i], from: time.Now()}
		p.begin()
		select { // the length of the trouble, not a condition
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Second + time.Duration(random.Int64N(int64(8*time.Second)))):
		}
		p.end()
		f.flows()
		p.to = time.Now()
		periods = append(periods, p)
	}
	close(stop)
	for range f.routers {
		must(t, <-ended)
	}
	var alerts map[string][]stored
	lab.Eventually(t, "the alert of the last frame of each host is stored", func() bool {
		var err error
		alerts, err = f.alerts()
		return err == nil && !slices.ContainsFunc(f.routers, func(r *numberedRouter) bool {
			return !slices.ContainsFunc(alerts[r.name], func(s stored) bool { return s.n == len(r.sent)-1 })
		})
	})
	longest := map[string][]time.Duration{}
	for _, r := range f.routers {
		var got []int
		for _, s := range alerts[r.name] {
			got = append(got, s.n)
		}
		want := make([]int, len(r.sent))
		for i := range want {
			want[i] = i
		}
		if !slices.Equal(want, got) {
			counts := make([]int, len(r.sent))
			for _, n := range got {
				counts[n]++
			}
			t.Errorf("%s: %d frames, %d alerts, in order %v: %v; not in the stream of events: %v", r.name, len(want), len(got), slices.IsSorted(got), summary(counts), f.withoutEvent(r))
			for _, p := range periods {
				t.Logf("%s: frames %d to %d", p.what, r.at(p.from), r.at(p.to))
			}
		}
		for _, p := range periods {
			late := time.Duration(0)
			for _, s := range alerts[r.name] {
				if at := r.sent[s.n]; at.After(p.from) && at.Before(p.to) {
					late = max(late, s.at.Sub(at))
				}
			}
			if !strings.HasSuffix(p.what, r.name) {
				longest[p.what] = append(longest[p.what], late.Round(10*time.Millisecond))
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(longest)) {
		t.Log("latest alerts of the hosts after", what, longest[what])
	}
}

// flows waits until an alert has come of a frame of each router that was sent after the call.
func (f *troubledFleet) flows() {
	f.t.Helper()
	for _, r := range f.routers {
		r.mu.Lock()
		n := len(r.sent)
		r.mu.Unlock()
		lab.Eventually(f.t, "alerts of "+r.name, func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.newest[r.name] >= n
		})
	}
}

// follow notes the newest frame of each host that an alert was stored of.
func (f *troubledFleet) follow() {
	_, err := f.nc.Subscribe(schemas.SubjectStored, func(m *nats.Msg) {
		var a alert
		if json.Unmarshal(m.Data, &a) != nil || a.Event.ND == nil || a.Event.ND.RA == nil {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.newest[a.Host] = a.Event.ND.RA.ReachableTimer
	})
	must(f.t, err)
}
