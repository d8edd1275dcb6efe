package probe

import (
	"context"
	"net/netip"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// Run sends again what is not answered, and reports what is not answered in time, until
// ctx ends. No result is published for what waits then.
func (p *Prober) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.stopped = true
			p.waiting.timer.Stop()
			p.mu.Unlock()
			return
		case <-p.learned.timer.C:
			p.learned.check(p.deps.Now())
			continue
		case <-p.waiting.timer.C:
		}
		for p.expire() {
		}
	}
}

// mostAtOnce bounds the probes that are taken out of the queue while commands wait.
const mostAtOnce = 64

// expire sends again or gives up some of the probes whose time is over. It reports
// whether there may be more; if not, the timer runs for the next.
func (p *Prober) expire() (more bool) {
	var again []wire.Solicitation
	var over, unheard []*probe
	p.mu.Lock()
	now := p.deps.Now()
	for range mostAtOnce {
		pr := p.waiting.oldest()
		if more = pr != nil && !now.Before(pr.due); !more {
			p.waiting.armed = false
			p.waiting.arm(now)
			break
		}
		if p.waiting.pop(); pr.tries == maxTries {
			over = append(over, pr)
			continue
		}
		pr.tries++
		// In a flood no target is solicited twice: new targets take precedence.
		if p.solicits(pr.on) && p.budget.idle(now) && p.budget.allow(now, 1, netip.Addr{}, true) {
			again = append(again, wire.Solicitation{On: p.current(pr.on), Target: pr.target})
			if t := p.targets.byAddr[pr.target]; pr.tries == 2 && t != nil && !t.answered {
				unheard = append(unheard, pr)
			}
		}
		p.waiting.add(pr, now)
	}
	p.mu.Unlock()
	p.solicit(append(again, p.addressed(unheard)...))
	for _, pr := range over {
		p.timedOut(pr)
	}
	return more
}

// addressed returns solicitations at the Ethernet addresses that the kernel has for the
// targets of probes: multicast does not reach every host (MLD snooping, access points).
func (p *Prober) addressed(probes []*probe) (list []wire.Solicitation) {
	for _, pr := range probes {
		if _, mac := p.lookUp(pr); mac != nil {
			p.mu.Lock()
			pr.asked = mac
			p.mu.Unlock()
			list = append(list, wire.Solicitation{On: p.current(pr.on), Target: pr.target, At: mac})
		}
	}
	return list
}

// current returns a port as it is now, or as it was if it is unusable now.
func (p *Prober) current(on *port.Port) *port.Port {
	if now := p.deps.Ports.Load().Named(on.Name); now != nil && now.Index == on.Index && now.Why == "" {
		return now
	}
	return on
}

func (p *Prober) timedOut(pr *probe) {
	if pr.cookie != 0 {
		if reachable, mac := p.lookUp(pr); reachable {
			// Many hosts drop echo requests. The target is there all the same, because
			// it answered the kernel's solicitation.
			p.mu.Lock()
			requesters, appeared := p.targets.found(pr.target, pr.on.Name)
			p.mu.Unlock()
			defer p.logFound(appeared, pr, mac)
			p.reporter.answered(pr, answer{mac: mac})
			p.deps.Locations.Found(pr.target, port.Location{On: pr.on, MAC: mac}, requesters, nil)
			return
		}
	}
	// What is located elsewhere was only looked for here.
	_, located := p.deps.Locations.Locate(pr.target)
	p.mu.Lock()
	silent, lost := p.targets.silent(pr.target, pr.sent, p.cfg.HoldDown, located)
	p.mu.Unlock()
	if lost != "" {
		p.deps.Notices.Info("target lost", "target", pr.target, "on", lost)
	}
	if on := p.deps.Ports.Load().Named(pr.on.Name); on == nil || on.Why != "" || on.Index != pr.on.Index {
		why := "went away"
		if on != nil && on.Why != "" {
			why = on.Why
		}
		p.reporter.failed(pr.relay, pr.target, failure{on: pr.on, reason: schemas.SlaveDown, why: pr.on.Name + " " + why + " while the probe waited for its answer"})
	} else {
		p.reporter.unanswered(pr, p.cfg.Timeout)
	}
	if silent {
		p.deps.Locations.Silent(pr.target)
	}
}
