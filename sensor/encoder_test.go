package sensor

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

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
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Deps: Deps{Health: func(error) {}, Publisher: p, Now: time.Now}, config: config(), host: "r1", metrics: m}
	s.own.Store(&map[schemas.MAC]struct{}{})
	return s
}

func TestDeliverAllocatesNothing(t *testing.T) {
	s := newTestSensor(t, &taker{})
	tp := &tap{out: s.liveEncoder("eth0", schemas.Out, marks{master: true})}
	f := firstNS(t)
	f.Out, f.VLAN, f.Tagged = true, 300, true
	wrapped := f // behind another tag and in LLC and SNAP
	wrapped.Data = slices.Concat(f.Data[:12], []byte{0x81, 0, 0, 0, 0, 80, 0xaa, 0xaa, 3, 0, 0, 0}, f.Data[12:])
	wrapped.Length += 12
	for name, f := range map[string]capture.Frame{"tagged": f, "wrapped": wrapped} {
		if n := testing.AllocsPerRun(1000, func() { s.deliver(tp, f) }); n != 0 {
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
		e := newEncoder(origin{host: "r1", iface: "eth0", direction: schemas.Out}, s.metrics)
		for range 1000 {
			_, data, ok := e.frame(f)
			if !ok {
				t.Fatal("an NS is no event")
			}
			var ev schemas.Event
			if err := json.Unmarshal(data, &ev); err != nil {
				t.Fatal(err)
			}
			if seen[ev.ID] {
				t.Fatalf("id %s again", ev.ID)
			}
			seen[ev.ID] = true
		}
	}
}

// BenchmarkDeliver is the way of an NS from the socket's buffer to the
// publisher.
func BenchmarkDeliver(b *testing.B) {
	p := &taker{}
	s := newTestSensor(b, p)
	f, t := firstNS(b), &tap{out: s.liveEncoder("eth0", schemas.Out, marks{master: true})}
	f.Out = true
	b.ReportAllocs()
	for b.Loop() {
		s.deliver(t, f)
	}
	b.ReportMetric(float64(p.bytes)/float64(b.N), "bytes/event")
}
