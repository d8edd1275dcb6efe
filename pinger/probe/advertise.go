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
	_ = p.advertise(to, target, p.deps.Now())
}

func (p *Prober) advertise(to port.Requester, target netip.Addr, now time.Time) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.solicits(to.On) || to.On.Why != "" || p.stopped:
		return nil // only the kernel's proxy entry answers
	case !p.answers.allow(now, 1, to.Addr, false):
		return refuse(overBudget, "%d of %d advertisements of this second are used up", p.answers.used, len(p.answers.sent))
	}
	if err := p.deps.ND.Advertise(to, target); err != nil {
		return refuse(notAnswered, "sending an advertisement out of %s: %v", to.On.Name, err)
	}
	to.On.Counters.Advertisements.Inc()
	return nil
}
