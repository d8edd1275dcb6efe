package probe

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

// look is a target to look for.
type look struct {
	target netip.Addr
	relay  string // id of the command; empty without one
	source netip.Addr
	behind []*port.Port
	// requester gets an answer when the target is found, if its On is set.
	requester port.Requester
	// now ignores the hold-down, and that the target is being probed.
	now bool
	// first takes precedence where the budget is short.
	first bool
}

// admit refuses a look because of hold-down or budget. Otherwise it counts its probes
// and returns the target, which has no answers yet. p.mu is held.
func (p *Prober) admit(l *look, now time.Time) (*target, *refusal) {
	if p.stopped {
		return nil, refuse(overBudget, "the pinger is stopping")
	}
	t := p.targets.get(l.target)
	if t.pending > 0 && !l.now {
		t.await(l.requester)
		return nil, refuse(heldDown, "target %v is being probed", l.target)
	}
	if now.Before(t.until) && !l.now {
		return nil, refuse(heldDown, "target %v was probed recently, and may be again in %v (PINGER_HOLD_DOWN, doubled while it stays silent)",
			l.target, t.until.Sub(now).Round(time.Millisecond))
	}
	// An unusable port counts too, because it makes a result, and forged commands must
	// not make many of them.
	n := len(l.behind)
	if len(p.waiting.probes)+n > MaxWaiting {
		return nil, refuse(overBudget, "%d probes wait for an answer", len(p.waiting.probes))
	}
	// A command that ignores the hold-down has no priority, or one target could use up
	// the budget.
	if !p.budget.allow(now, n, l.source, l.first || !l.now && t.priority(now)) {
		t.refused = now
		return nil, refuse(overBudget, "%d of %d probes of this second are used up (PINGER_RATE), %d of them by this source, and this one takes %d",
			p.budget.used, len(p.budget.sent), p.budget.bySource[l.source], n)
	}
	t.refused, t.answered, t.requesters = time.Time{}, false, t.requesters[:0]
	t.await(l.requester)
	return t, nil
}
