package pinger

import (
	"net/netip"
	"time"
)

const (
	// maxTargets bounds the targets that are remembered. Beyond it the oldest is
	// forgotten, which costs a probe at worst, and these are limited by the rate.
	maxTargets = 1 << 14
	// maxHold is the longest hold-down that backing off comes to: a host that
	// comes up without a word is found that much later at worst.
	maxHold = 30 * time.Second
	// askAgain is how long the refusal of a target is remembered: a kernel
	// solicits again after 1 s (RFC 4861, section 10: RETRANS_TIMER), twice.
	askAgain = 5 * time.Second
	// maxAskers bounds those who are answered when a target is found.
	maxAskers = 4
)

// target is what the prober remembers of an address.
type target struct {
	// until is the end of the hold-down.
	until time.Time
	// silent counts the probings in a row that nobody answered.
	silent int
	// refused is when the target was refused for want of budget.
	refused time.Time
	// known: it answered when it was probed last.
	known bool
	// pending counts the slaves from behind which an answer may come still.
	pending int
	// answered: one came.
	answered bool
	askers   []asker
}

// priority reports whether a target goes before others where the budget is short:
// it has answered before, or it was refused a moment ago and is asked for again,
// as everybody does who means it, and a scan does not.
func (t *target) priority(now time.Time) bool {
	return t.known || !t.refused.IsZero() && now.Sub(t.refused) < askAgain
}

// hold begins the hold-down, which is doubled each time that the target was silent.
func (t *target) hold(now time.Time, period time.Duration) {
	if now.Sub(t.until) > maxHold {
		t.silent = 0 // long ago
	}
	hold := period
	for range t.silent {
		hold = min(2*hold, max(period, maxHold))
	}
	t.until = now.Add(hold)
}

// targets remembers targets by address, up to maxTargets.
type targets struct {
	byAddr map[netip.Addr]*target
	// queue holds the addresses in the order in which they came, from first on.
	queue []netip.Addr
	first int
}

func newTargets() targets { return targets{byAddr: make(map[netip.Addr]*target)} }

// get returns what is remembered of an address, which may be nothing yet.
func (ts *targets) get(a netip.Addr) *target {
	if t, ok := ts.byAddr[a]; ok {
		return t
	}
	for len(ts.byAddr) >= maxTargets {
		ts.forgetOldest()
	}
	t := &target{}
	ts.byAddr[a] = t
	ts.append(a)
	return t
}

func (ts *targets) append(a netip.Addr) {
	if ts.first > len(ts.queue)/2 {
		ts.queue = append(ts.queue[:0], ts.queue[ts.first:]...)
		ts.first = 0
	}
	ts.queue = append(ts.queue, a)
}

// forgetOldest forgets one. Those that are being probed are fewer than maxTargets,
// and stay.
func (ts *targets) forgetOldest() {
	for {
		a := ts.queue[ts.first]
		ts.first++
		if t := ts.byAddr[a]; t.pending == 0 {
			delete(ts.byAddr, a)
			return
		}
		ts.append(a)
	}
}

// release ends the hold-down.
func (t *target) release() { t.until, t.silent = time.Time{}, 0 }

// release ends all hold-downs.
func (ts *targets) release() {
	for _, t := range ts.byAddr {
		t.release()
	}
}
