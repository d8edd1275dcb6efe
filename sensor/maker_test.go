package sensor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capture"
)

// firstNS returns the first NS of a capture.
func firstNS(t testing.TB) capture.Frame {
	t.Helper()
	for _, p := range packets(t, resolution) {
		if p.Data[14+40] == 135 {
			return capture.Frame{Data: p.Data, Length: p.Length, Time: p.Time}
		}
	}
	t.Fatal("there is none")
	return capture.Frame{}
}

// taker is a Publisher that accepts everything.
type taker struct {
	Publisher
	bytes int
}

func (t *taker) TryPublish(_, _ string, data []byte) bool {
	t.bytes += len(data)
	return true
}

func newTestSensor(t testing.TB, p Publisher) *session {
	t.Helper()
	m, err := newMetrics(nil)
	check(t, err)
	s := &session{Deps: Deps{Health: func(error) {}, Publisher: p, Now: time.Now}, config: config(), host: "r1", metrics: m}
	s.own.Store(&map[schemas.MAC]struct{}{})
	return s
}

func (s *session) testTap() *tap {
	t := &tap{in: s.liveMaker("eth0", schemas.In, marks{}), out: s.liveMaker("eth0", schemas.Out, marks{master: true})}
	t.outlet = s.newOutlet("eth0", t.queue)
	return t
}

func TestDeliverAllocatesNothing(t *testing.T) {
	s := newTestSensor(t, &taker{})
	tp := s.testTap()
	f := firstNS(t)
	f.Out, f.VLAN, f.Tagged = true, 300, true
	wrapped := f // behind another tag and in LLC and SNAP
	wrapped.Data = slices.Concat(f.Data[:12], []byte{0x81, 0, 0, 0, 0, 80, 0xaa, 0xaa, 3, 0, 0, 0}, f.Data[12:])
	wrapped.Length += 12
	for name, f := range map[string]capture.Frame{"tagged": f, "wrapped": wrapped} {
		if n := testing.AllocsPerRun(1000, func() { tp.deliver(f); tp.idle() }); n != 0 {
			t.Errorf("%v allocations for a frame that is %s", n, name)
		}
	}
	if n := testutil.ToFloat64(s.metrics.ignored); n != 0 {
		t.Errorf("%v frames were no events", n)
	}
}

// The id is built in memory that is used again, which must not show.
func TestIDs(t *testing.T) {
	s := newTestSensor(t, &taker{})
	f := firstNS(t)
	seen := map[string]bool{}
	for range 3 {
		m := newMaker(origin{host: "r1", iface: "eth0", direction: schemas.Out}, s.metrics)
		for range 1000 {
			e, _, ok := m.frame(f)
			if !ok {
				t.Fatal("an NS is no event")
			}
			if seen[e.ID] {
				t.Fatalf("id %s again", e.ID)
			}
			seen[strings.Clone(e.ID)] = true
		}
	}
}

// BenchmarkDeliver is the way of an NS from the socket's buffer to the publisher.
func BenchmarkDeliver(b *testing.B) {
	p := &taker{}
	s := newTestSensor(b, p)
	f, t := firstNS(b), s.testTap()
	f.Out = true
	b.ReportAllocs()
	for b.Loop() {
		t.deliver(f)
		t.idle()
	}
	b.ReportMetric(float64(p.bytes)/float64(b.N), "bytes/event")
}

func isHeartbeat(m message) bool { return m.event.Sensor != nil }

// A sensor publishes heartbeats before its first event and regularly after it, and after
// its last event that it has stopped.
func TestHeartbeats(t *testing.T) {
	c := config("eth0")
	c.Heartbeat = time.Second
	before := time.Date(2026, 11, 25, 10, 0, 2, 0, time.UTC)
	began := time.Now()
	r, _, host := startPair(t, c, func(d *Deps) { d.Before = before })
	r.solicited(t, host, "eth0", "2001:db8::50")
	lab.Eventually(t, "there are three heartbeats", func() bool { return len(r.events(isHeartbeat)) >= 3 })
	r.solicited(t, host, "eth0", "2001:db8::51")
	r.stop(t)

	first, last := r.messages[0], r.messages[len(r.messages)-1]
	if !isHeartbeat(first) || !isHeartbeat(last) {
		t.Fatalf("the first event is %+v, the last %+v", first.event, last.event)
	}
	started := first.event.Sensor.Started
	if started.Before(began) || started.After(r.events(func(m message) bool { return m.event.Frame != nil })[0].event.Time) {
		t.Errorf("it started at %v", started)
	}
	beats := r.events(isHeartbeat)
	for i, m := range beats {
		if m.subject != "nd.batches.r1.=" || m.event.Direction != schemas.In || m.event.Frame != nil {
			t.Errorf("%s %+v", m.subject, m.event)
		}
		want := &schemas.Heartbeat{Started: started, Interval: 1, Stopped: i == len(beats)-1}
		if i == 0 {
			want.Before = &before
		}
		if diff := cmp.Diff(want, m.event.Sensor); diff != "" {
			t.Errorf("heartbeat %d:\n%s", i, diff)
		}
	}
	if n, want := r.metric(t, "nd_sensor_events_total"), len(r.messages)-len(beats); n != float64(want) {
		t.Errorf("%v events are counted, want %d, without the heartbeats", n, want)
	}
}

// While NATS is away, heartbeats do not pile up.
func TestHeartbeatsWithoutNATS(t *testing.T) {
	r := &recorder{}
	connected := true
	s := &session{Deps: Deps{Publisher: r, Connected: func() bool { return connected }, Now: time.Now}, config: config(), host: "r1"}
	s.config.Heartbeat = 1500 * time.Millisecond
	h := newHeartbeat(s)
	_, stop := h.start()
	defer stop()
	for _, step := range []struct {
		connected bool
		want      int
	}{{true, 2}, {false, 3}, {false, 3}, {false, 3}, {true, 4}, {true, 5}, {false, 6}, {false, 6}} {
		connected = step.connected
		h.beat()
		if n := len(r.messages); n != step.want {
			t.Errorf("%d heartbeats, want %d", n, step.want)
		}
	}
	h.end()
	if last := r.messages[len(r.messages)-1].event.Sensor; len(r.messages) != 7 || !last.Stopped || last.Interval != 2 {
		t.Errorf("%d heartbeats, the last %+v", len(r.messages), last)
	}
	r.check(t)
}

func TestNoHeartbeats(t *testing.T) {
	n := lab.New(t, "router")
	r := start(t, n, config("eth0"))
	r.logs(t, 1, "waiting for interface")
	r.stop(t)
	if len(r.messages) > 0 {
		t.Errorf("%+v", r.messages)
	}
}
