package link

import (
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// Observe sets e.Link to what is remarkable about the event, or to nil, and remembers the
// event. e.Link is valid until the next call.
//
// A frame that receivers discard changes nothing on the link, so Observe remembers nothing
// of it.
func (t *Table) Observe(e *schemas.Event) {
	e.Link = nil
	if e.Lost != nil || e.Sensor != nil || e.Ethernet == nil || e.Inet6 == nil || e.ICMP6 == nil || e.ND == nil {
		return
	}
	now := e.Time.UnixNano()
	l := t.link(e, now)
	t.out = schemas.Link{Configured: l.routers.IsConfigured()}
	t.claims, t.real = t.claims[:0], false
	switch {
	case discarded(e):
	case e.ND.Truncated:
		// The sender is complete, but not the message.
		t.out.Router, t.out.RA = t.judge.Observe(&l.routers, e, now, fromHost(e))
	default:
		s := t.observeStation(l, e, now)
		t.observeSolicitation(l, e, now)
		t.observeClaims(l, s, e, now)
		t.out.Router, t.out.RA = t.judge.Observe(&l.routers, e, now, fromHost(e))
		t.out.Bogon = l.routers.Bogon(e.Inet6.Source)
		t.out.Flood = t.out.Flood && !t.real
	}
	t.out.Claim = t.remarkable()
	if fromHost(e) { // the host itself is neither new nor an attacker
		t.out = schemas.Link{Configured: t.out.Configured, Unanswered: t.out.Unanswered}
	}
	if something(&t.out) {
		e.Link = &t.out
	}
}

// remarkable returns the claims to report. If one contradicts another, those that are
// merely new are left out.
func (t *Table) remarkable() []schemas.LinkClaim {
	contested := func(c schemas.LinkClaim) bool { return c.Contested }
	if slices.ContainsFunc(t.claims, contested) {
		return slices.DeleteFunc(t.claims, func(c schemas.LinkClaim) bool { return !c.Contested })
	}
	return t.claims
}

// something reports whether there is anything to report.
func something(l *schemas.Link) bool {
	return l.Configured || l.Bogon || l.Unsolicited || l.Unanswered || l.Flood || l.Station != nil || len(l.Claim) > 0 || l.DAD != nil || l.Router != nil || l.RA != nil
}

// discarded reports whether receivers discard the frame.
func discarded(e *schemas.Event) bool {
	return e.Fault.Discard() || e.ND.RS == nil && e.ND.RA == nil && e.ND.NS == nil && e.ND.NA == nil && e.ND.RD == nil
}
