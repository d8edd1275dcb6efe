package probe

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// numbered makes an address of a number.
func numbered(i int) netip.Addr {
	b := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(b[12:], uint32(i))
	return netip.AddrFrom16(b)
}

func TestHoldDown(t *testing.T) {
	for name, test := range map[string]struct {
		period time.Duration
		want   []time.Duration
	}{
		"default": {3 * time.Second, []time.Duration{3e9, 6e9, 12e9, 24e9, 30e9, 30e9}},
		"none":    {0, []time.Duration{0, 0, 0}},
		"long":    {time.Hour, []time.Duration{time.Hour, time.Hour}},
	} {
		now := time.Unix(1000, 0)
		var tg target
		for i, want := range test.want {
			tg.hold(now, test.period)
			if got := tg.until.Sub(now); got != want {
				t.Errorf("%s: hold-down %d is %v, want %v", name, i, got, want)
			}
			tg.silent++
			now = tg.until
		}
	}
	now := time.Unix(1000, 0)
	tg := target{silent: 5, until: now.Add(-maxHold - 1)}
	if tg.hold(now, time.Second); tg.until.Sub(now) != time.Second {
		t.Errorf("what was silent long ago is held down for %v", tg.until.Sub(now))
	}
}

func TestTargetsAreBounded(t *testing.T) {
	ts := newTargets()
	busy := ts.get(numbered(0))
	busy.pending = 1
	for i := range 3 * maxTargets {
		ts.get(numbered(i))
		if len(ts.byAddr) > maxTargets || len(ts.queue) > 3*maxTargets {
			t.Fatalf("%d targets, %d in the queue", len(ts.byAddr), len(ts.queue))
		}
	}
	if ts.get(numbered(0)) != busy {
		t.Error("one that is being probed was forgotten")
	}
	if len(ts.byAddr) != maxTargets {
		t.Errorf("%d targets", len(ts.byAddr))
	}
	last := ts.get(numbered(3*maxTargets - 1))
	last.silent, last.until = 3, time.Unix(1000, 0)
	if ts.release(); last.silent != 0 || !last.until.IsZero() {
		t.Error("released, and held down still")
	}
}
