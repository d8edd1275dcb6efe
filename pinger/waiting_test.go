package pinger

import (
	"net/netip"
	"testing"
)

func TestWaiting(t *testing.T) {
	w := newWaiting()
	a, b := netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::b")
	s1, s2 := &slave{index: 1}, &slave{index: 2}
	all := func(*probe) bool { return true }
	if w.oldest() != nil {
		t.Fatal("an empty one has an oldest")
	}
	probes := []*probe{{target: a, slave: s1}, {target: a, slave: s2}, {target: b, slave: s1}}
	for _, p := range probes {
		w.add(p)
	}
	for _, at := range []place{{b, 2}, {a, 3}} {
		if _, ok := w.take(at, all); ok {
			t.Errorf("took %v, where nothing waits", at)
		}
	}
	if _, ok := w.take(place{a, 1}, func(*probe) bool { return false }); ok {
		t.Error("took what does not match")
	}
	if p, ok := w.take(place{a, 1}, all); !ok || p != probes[0] {
		t.Errorf("took %v, %v", p, ok)
	}
	if _, ok := w.take(place{a, 1}, all); ok {
		t.Error("took one twice")
	}
	if p := w.pop(); p != probes[1] {
		t.Errorf("popped %v", p)
	}
	w.add(probes[1]) // again, behind the others
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
	w := newWaiting()
	sl := &slave{index: 1}
	all := func(*probe) bool { return true }
	for i := range 100_000 {
		w.add(&probe{target: numbered(i), slave: sl})
		if i%2 == 0 {
			w.take(place{numbered(i), 1}, all)
		}
		if len(w.probes) > 100 {
			w.pop()
		}
		if len(w.queue) > 1000 {
			t.Fatalf("%d in the queue for %d that wait", len(w.queue), len(w.probes))
		}
	}
}
