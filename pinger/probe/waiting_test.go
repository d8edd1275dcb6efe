package probe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/prometheus/client_golang/prometheus"
)

func TestWaiting(t *testing.T) {
	w := newWaiting(time.Second, prometheus.NewGauge(prometheus.GaugeOpts{}))
	a, b := netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::b")
	s1, s2 := &port.Port{Index: 1}, &port.Port{Index: 2}
	if w.oldest() != nil {
		t.Fatal("an empty one has an oldest")
	}
	probes := []*probe{{target: a, on: s1}, {target: a, on: s2}, {target: b, on: s1}}
	for _, p := range probes {
		w.add(p, time.Time{})
	}
	for _, at := range []position{{b, 2}, {a, 3}} {
		if p := w.answered(at, 0, 0); p != nil {
			t.Errorf("%v at %v, where nothing waits", p, at)
		}
	}
	if w.answered(position{a, 1}, 0, 1) != nil {
		t.Error("returned what does not match")
	}
	if p := w.answered(position{a, 1}, 0, 0); p != probes[0] {
		t.Errorf("answered is %v", p)
	}
	if w.answered(position{a, 1}, 0, 0) != nil {
		t.Error("answered twice")
	}
	if p := w.pop(); p != probes[1] {
		t.Errorf("popped %v", p)
	}
	w.add(probes[1], time.Time{}) // again, behind the others
	if p := w.pop(); p != probes[2] {
		t.Errorf("popped %v", p)
	}
	if p := w.oldest(); p != probes[1] {
		t.Errorf("the oldest is %v", p)
	}
	w.pop()
	if w.oldest() != nil || len(w.probes) != 0 {
		t.Error("something is left")
	}
}

// What is answered out of order and what waits long does not let the queue grow.
func TestWaitingIsBounded(t *testing.T) {
	w := newWaiting(time.Second, prometheus.NewGauge(prometheus.GaugeOpts{}))
	sl := &port.Port{Index: 1}
	for i := range 100_000 {
		w.add(&probe{target: numbered(i), on: sl}, time.Time{})
		if i%2 == 0 {
			w.answered(position{numbered(i), 1}, 0, 0)
		}
		if len(w.probes) > 100 {
			w.pop()
		}
		if len(w.queue) > 1000 {
			t.Fatalf("%d in the queue for %d that wait", len(w.queue), len(w.probes))
		}
	}
}
