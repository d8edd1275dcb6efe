package probe

import (
	"context"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
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
		case <-p.waiting.timer.C:
		}
		for {
			pr := p.overdue(p.deps.Now())
			if pr == nil {
				break
			}
			p.timedOut(pr)
		}
	}
}

// overdue removes a probe whose time is over; if there is none it sets the timer for
// the next.
func (p *Prober) overdue(now time.Time) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		oldest := p.waiting.oldest()
		if oldest == nil || now.Before(oldest.due) {
			p.waiting.armed = false
			p.waiting.arm(now)
			return nil
		}
		pr := p.waiting.pop()
		if pr.tries == maxTries {
			return pr
		}
		pr.tries++
		// In a flood no target is solicited twice: new targets take precedence.
		if p.solicits(pr.on) && p.budget.idle(now) && p.budget.allow(now, 1, netip.Addr{}, true) {
			if p.deps.ND.Solicit(p.current(pr.on), pr.target, nil) == nil {
				pr.on.Counters.Solicitations.Inc()
			}
		}
		p.waiting.add(pr, p.deps.Now())
	}
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
			requesters := p.targets.found(pr.target)
			p.mu.Unlock()
			p.reporter.answered(pr, answer{mac: mac})
			p.deps.Locations.Found(pr.target, port.Location{On: pr.on, MAC: mac}, requesters)
			return
		}
	}
	p.mu.Lock()
	silent := p.targets.silent(pr.target, pr.sent, p.cfg.HoldDown)
	p.mu.Unlock()
	if on := p.deps.Ports.Load().Named(pr.on.Name); on == nil || on.Why != "" || on.Index != pr.on.Index {
		why := "went away"
		if on != nil && on.Why != "" {
			why = on.Why
		}
		p.reporter.failed(pr.relay, pr.target, failure{pr.on, schemas.SlaveDown, pr.on.Name + " " + why + " while the probe waited for its answer"})
	} else {
		p.reporter.unanswered(pr, p.cfg.Timeout)
	}
	if silent {
		p.deps.Locations.Silent(pr.target)
	}
}
