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
	var over []*probe
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
		}
		p.waiting.add(pr, now)
	}
	p.mu.Unlock()
	p.solicit(again)
	for _, pr := range over {
		p.timedOut(pr)
	}
	return more
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
