package probe

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

const (
	// maxTargets bounds the targets that are remembered. Beyond it the oldest is
	// forgotten, which costs one probe more, within the budget.
	maxTargets = 1 << 14
	// maxHold bounds the hold-down of a target that stays silent. A host that comes
	// up without sending anything is found that much later at most.
	maxHold = 30 * time.Second
	// repeatWithin is how long a refusal for lack of budget is remembered: a kernel
	// solicits again after 1 s (RFC 4861, section 10: RETRANS_TIMER), twice.
	repeatWithin = 5 * time.Second
	// maxRequesters bounds the requesters that get an answer when a target is found.
	maxRequesters = 4
)

// target records the probes of an address and their success.
type target struct {
	// until is the end of the hold-down.
	until time.Time
	// silent counts the unanswered looks in a row.
	silent int
	// refused is when the target was refused for lack of budget.
	refused time.Time
	// behind is the port where it answered when it was probed last; empty if it was silent.
	behind string
	// released: it may be looked for again although it is pending.
	released bool
	// pending counts the ports behind which it may answer yet.
	pending int
	// answered: it has answered the current look.
	answered   bool
	requesters []port.Requester
}

// priority reports whether a target takes precedence where the budget is short: it has
// answered before, or it was refused recently and is solicited again, as a real host
// does and a scan does not.
func (t *target) priority(now time.Time) bool {
	return t.behind != "" || !t.refused.IsZero() && now.Sub(t.refused) < repeatWithin
}

// await notes a requester that gets an answer when the target is found.
func (t *target) await(r port.Requester) {
	if r.On != nil && len(t.requesters) < maxRequesters {
		t.requesters = append(t.requesters, r)
	}
}

// hold begins the hold-down, which doubles each time that the target was silent.
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
	// queue holds the addresses from the oldest on, beginning at first.
	queue []netip.Addr
	first int
}

func newTargets() targets { return targets{byAddr: make(map[netip.Addr]*target)} }

// get returns the target of an address, a new one if it is not remembered.
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

// forgetOldest forgets the oldest target that is not being probed. There is one,
// because fewer than maxTargets are being probed.
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

// found notes that a probe for an address was answered behind a port. It returns the requesters
// that wait for it, and whether it was not present before.
func (ts *targets) found(a netip.Addr, behind string) (requesters []port.Requester, appeared bool) {
	t := ts.get(a)
	requesters, appeared = t.requesters, t.behind == ""
	t.pending--
	t.answered, t.behind, t.silent, t.requesters = true, behind, 0, nil
	return requesters, appeared
}

// silent notes that a probe for an address, sent at a time, was not answered, and
// reports whether the address has answered behind no port. If so, lost is the port where it
// was present before, unless it is located elsewhere.
func (ts *targets) silent(a netip.Addr, sent time.Time, period time.Duration, located bool) (everywhere bool, lost string) {
	t := ts.get(a)
	t.pending--
	if t.pending > 0 || t.answered {
		return false, ""
	}
	t.silent, t.requesters = t.silent+1, nil
	if !located {
		lost, t.behind = t.behind, ""
	}
	// The hold-down is extended, unless it was released meanwhile.
	if !t.until.IsZero() {
		t.until = sent
		t.hold(sent, period)
	}
	return true, lost
}

// release ends the hold-down, also of a look that is under way.
func (t *target) release() { t.until, t.silent, t.released = time.Time{}, 0, t.pending > 0 }

// release ends all hold-downs.
func (ts *targets) release() {
	for _, t := range ts.byAddr {
		t.release()
	}
}
