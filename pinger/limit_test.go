package pinger

import (
	"encoding/binary"
	"math/rand"
	"net/netip"
	"testing"
	"time"
)

func TestWindowInAnySecond(t *testing.T) {
	const rate = 10
	w := newWindow(rate)
	rnd := rand.New(rand.NewSource(1))
	now := testNow
	var sent []time.Time
	for range 5000 {
		now = now.Add(time.Duration(rnd.Int63n(int64(40 * time.Millisecond))))
		n := 1 + rnd.Intn(3)
		recent := 0
		for _, at := range sent {
			if now.Sub(at) < time.Second {
				recent++
			}
		}
		// As many as fit leave, and never more.
		if got, want := w.allow(now, n), recent+n <= rate; got != want {
			t.Fatalf("allow(%d) with %d in the last second is %v", n, recent, got)
		} else if got {
			for range n {
				sent = append(sent, now)
			}
		}
		if len(sent) > 2*rate {
			sent = sent[len(sent)-2*rate:]
		}
	}
	if w.allow(now.Add(time.Hour), rate+1) {
		t.Error("more than the rate at once")
	}
	if !w.allow(now.Add(time.Hour), rate) {
		t.Error("not the rate at once after an hour")
	}
}

func numbered(n int) netip.Addr {
	b := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(b[12:], uint32(n))
	return netip.AddrFrom16(b)
}

func TestHoldDown(t *testing.T) {
	h := newHoldDown(3 * time.Second)
	a, b := numbered(1), numbered(2)
	at := func(d time.Duration) time.Time { return testNow.Add(d) }
	h.add(a, at(0))
	h.add(b, at(time.Second))
	steps := []struct {
		target netip.Addr
		at     time.Duration
		want   bool
	}{
		{a, 0, true}, {a, 3*time.Second - 1, true}, {a, 3 * time.Second, false},
		{b, 3 * time.Second, true}, {b, 4 * time.Second, false}, {numbered(3), 0, false},
	}
	for _, s := range steps {
		if got := h.holds(s.target, at(s.at)); got != s.want {
			t.Errorf("%v held after %v: %v", s.target, s.at, got)
		}
	}
	h.add(a, at(3*time.Second))
	if !h.holds(a, at(5*time.Second)) || !h.holds(b, at(3*time.Second)) {
		t.Error("held targets are forgotten when one is held again")
	}
	h.clear()
	if h.holds(a, at(3*time.Second)) || h.holds(b, at(3*time.Second)) {
		t.Error("targets are held after clear")
	}
	h.add(a, at(4*time.Second))
	if !h.holds(a, at(5*time.Second)) {
		t.Error("target is not held after clear and add")
	}
}

func TestHoldDownIsBounded(t *testing.T) {
	h := newHoldDown(time.Hour)
	for i := range 3 * maxHeld {
		h.add(numbered(i), testNow)
	}
	if len(h.since) != maxHeld || cap(h.queue) > 8*maxHeld {
		t.Errorf("%d targets, queue of %d", len(h.since), cap(h.queue))
	}
	if h.holds(numbered(2*maxHeld-1), testNow) || !h.holds(numbered(2*maxHeld), testNow) {
		t.Error("it is not the oldest that are forgotten")
	}
	h = newHoldDown(time.Second)
	for i := range 3 * maxHeld {
		h.add(numbered(i), testNow.Add(time.Duration(i)*time.Millisecond))
	}
	if len(h.since) > 1001 || cap(h.queue) > 8*1001 {
		t.Errorf("%d targets of one second, queue of %d", len(h.since), cap(h.queue))
	}
}

func TestWaiting(t *testing.T) {
	w := newWaiting(5)
	if len(w.ring) != 8 {
		t.Fatalf("room for %d", len(w.ring))
	}
	any := func(*probe) bool { return true }
	rnd := rand.New(rand.NewSource(2))
	open := map[uint16]uint64{} // cookie by sequence number
	var order []uint16
	cookie := uint64(0)
	// Far beyond the 16 bits of a sequence number.
	for range 500_000 {
		switch rnd.Intn(3) {
		case 0:
			if w.room(1) {
				cookie++
				seq := w.add(probe{cookie: cookie})
				open[seq] = cookie
				order = append(order, seq)
			}
		case 1:
			seq := uint16(w.next - 8 + uint32(rnd.Intn(12)))
			want, ok := open[seq]
			if _, taken := w.take(seq, func(*probe) bool { return false }); taken {
				t.Fatal("took what does not match")
			}
			if p, got := w.take(seq, any); got != ok || p.cookie != want {
				t.Fatalf("take(%d) is %v, %v, want %v, %v", seq, p.cookie, got, want, ok)
			}
			delete(open, seq)
		case 2:
			for len(order) > 0 && open[order[0]] == 0 {
				order = order[1:]
			}
			if oldest := w.oldest(); (oldest == nil) != (len(order) == 0) {
				t.Fatalf("oldest is %v of %d", oldest, len(order))
			} else if oldest != nil {
				want := open[order[0]]
				delete(open, order[0])
				if got := w.pop().cookie; got != want {
					t.Fatalf("popped %d, want %d", got, want)
				}
			}
		}
		if w.open != len(open) {
			t.Fatalf("%d open, want %d", w.open, len(open))
		}
	}
}

func TestWaitingTakesAllSequenceNumbers(t *testing.T) {
	w := newWaiting(maxWaiting)
	for i := range maxWaiting {
		w.add(probe{cookie: uint64(i)})
	}
	if w.room(1) {
		t.Error("room for more than 65536")
	}
	if p, ok := w.take(65535, func(*probe) bool { return true }); !ok || p.cookie != 65535 {
		t.Errorf("took %v, %v", p, ok)
	}
	if p, ok := w.take(0, func(*probe) bool { return true }); !ok || p.cookie != 0 || !w.room(1) || w.room(2) {
		t.Errorf("took %v, %v", p, ok)
	}
}
