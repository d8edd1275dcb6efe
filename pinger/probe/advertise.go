package probe

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

// Answer tells a requester that a target is reached through this host, within the
// budget for advertisements.
func (p *Prober) Answer(to port.Requester, target netip.Addr) {
	// Whatever prevents it is counted with the requester's next solicitation.
	_ = p.advertise(to, target, false, p.deps.Now())
}

// Solicited answers a requester for a target whose location is known. For all else the
// requester's relay command decides. Where the commands come over NATS, a target that was
// found is reached like this also while NATS is away.
func (p *Prober) Solicited(from port.Requester, target netip.Addr) {
	if p.deps.Locations.Serves(target, from) {
		p.Answer(from, target)
	}
}

// Announce tells all stations on a port's link that a target is reached through this host
// now (RFC 4861, section 7.2.6), within the budget for advertisements.
func (p *Prober) Announce(on *port.Port, target netip.Addr) {
	// It is repeated.
	_ = p.advertise(port.Requester{On: on}, target, true, p.deps.Now())
}

func (p *Prober) advertise(to port.Requester, target netip.Addr, override bool, now time.Time) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.solicits(to.On) || to.On.Why != "" || p.stopped:
		return nil // there is no Neighbor Discovery, or none is possible
	case !p.answers.allow(now, 1, to.Addr, false):
		return refuse(overBudget, "%d of %d advertisements of this second are used up", p.answers.used, len(p.answers.sent))
	}
	if err := p.deps.ND.Advertise(to, target, override); err != nil {
		return refuse(notAnswered, "sending an advertisement out of %s: %v", to.On.Name, err)
	}
	to.On.Counters.Advertisements.Inc()
	return nil
}
