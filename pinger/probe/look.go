package probe

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
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

// Look looks for a target behind ports, without a command and whatever its hold-down is:
// something says that it is there. An urgent look takes precedence where the budget is
// short; others count as the first port's. It reports whether it has begun.
func (p *Prober) Look(target netip.Addr, behind []*port.Port, urgent bool) bool {
	l := look{target: target, behind: behind, now: true, first: urgent}
	if !urgent {
		l.source = behind[0].Source
	}
	failures, refused := p.begin(&l, p.deps.Now())
	for _, f := range failures {
		p.reporter.failed("", target, f)
	}
	return refused == nil
}

// Verify solicits for a target at the station where it was found. It has no hold-down,
// because only targets with a known location are verified.
func (p *Prober) Verify(target netip.Addr, at port.Location) {
	if p.solicits(at.On) {
		p.solicit([]wire.Solicitation{{On: at.On, Target: target, At: at.MAC}})
	} else {
		p.Look(target, []*port.Port{at.On}, true)
	}
}

// begin sends the first probes of a look. The failures are those of ports that none was
// sent out of.
func (p *Prober) begin(l *look, now time.Time) (failures []failure, refused *refusal) {
	if slices.ContainsFunc(l.behind, func(on *port.Port) bool { return !p.solicits(on) }) {
		p.room.update(now) // which waits for the kernel
	}
	p.mu.Lock()
	t, refused := p.admit(l, now)
	if refused != nil {
		p.mu.Unlock()
		return nil, refused
	}
	tunnel, failures := p.send(l, t)
	var requesters []port.Requester
	var appeared bool
	if tunnel != nil {
		t.pending++
		requesters, appeared = p.targets.found(l.target, tunnel.Name)
	}
	if t.pending > 0 || tunnel != nil {
		t.hold(now, p.cfg.HoldDown)
		p.waiting.arm(p.deps.Now())
	}
	p.mu.Unlock()
	if tunnel != nil {
		pr := &probe{target: l.target, on: tunnel, relay: l.relay}
		p.reporter.answered(pr, answer{})
		p.deps.Locations.Found(l.target, port.Location{On: tunnel}, requesters, nil)
		p.logFound(appeared, pr, nil)
	}
	return failures, nil
}

// send sends the first probes of an admitted look. It returns the tunnel that has the
// target as a peer, nil if there is none: such a target need not answer. p.mu is held.
func (p *Prober) send(l *look, t *target) (tunnel *port.Port, failures []failure) {
	p.leaving = p.leaving[:0]
	sent := p.deps.Now()
	for _, on := range l.behind {
		switch {
		case on.Why != "":
			failures = append(failures, failure{on: on, reason: schemas.SlaveDown, why: on.Name + " " + on.Why})
		case p.solicits(on):
			p.leaving = append(p.leaving, wire.Solicitation{On: on, Target: l.target})
		case p.deps.Locations.Tunnelled(l.target, on):
			tunnel = on
		case p.waiting.at(position{l.target, on.Index}) == nil: // otherwise the kernel solicits already
			pr := &probe{sent: sent, seq: uint16(rand.Uint32()), cookie: max(1, rand.Uint64())}
			if f := p.echo(on, l.target, pr.seq, pr.cookie); f != nil {
				failures = append(failures, *f)
			} else {
				p.wait(l, t, on, pr)
			}
		}
	}
	p.solicit(p.leaving)
	for _, s := range p.leaving {
		if s.Err != nil {
			failures = append(failures, *p.notSent(s.On, solicitations, s.Err))
		} else if waits := p.waiting.at(position{l.target, s.On.Index}); waits != nil {
			waits.tries = 0 // it waits at least as long as what was sent now
		} else {
			p.wait(l, t, s.On, &probe{sent: sent})
		}
	}
	return tunnel, failures
}

// wait has a probe that was sent wait for its answer.
func (p *Prober) wait(l *look, t *target, on *port.Port, pr *probe) {
	pr.target, pr.on, pr.relay, pr.tries = l.target, on, l.relay, 1
	p.waiting.add(pr, p.deps.Now())
	t.pending++
}

// admit refuses a look because of hold-down or budget. Otherwise it counts its probes
// and returns the target, which has no answers yet. p.mu is held.
func (p *Prober) admit(l *look, now time.Time) (*target, *refusal) {
	if p.stopped {
		return nil, refuse(overBudget, "the pinger is stopping")
	}
	t := p.targets.get(l.target)
	if t.pending > 0 && !l.now && !t.released {
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
	t.refused, t.answered, t.released, t.requesters = time.Time{}, false, false, t.requesters[:0]
	t.await(l.requester)
	return t, nil
}
