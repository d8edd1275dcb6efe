package probe

import (
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// Advertised processes a Neighbor Advertisement that came in on a port.
func (p *Prober) Advertised(on *port.Port, a wire.Advertisement) {
	if !a.Solicited {
		p.deps.Locations.Hint(a.Target, on)
		return
	}
	p.learned.heard(a.Target, on)
	at := port.Location{On: on, MAC: a.MAC}
	now := p.deps.Now()
	p.mu.Lock()
	pr := p.waiting.answered(position{a.Target, on.Index}, 0, 0)
	if pr == nil {
		p.mu.Unlock()
		p.deps.Locations.Confirm(a.Target, at, a.Override)
		return
	}
	requesters, appeared := p.targets.found(pr.target, on.Name)
	asked := pr.asked
	p.mu.Unlock()
	// What the kernel's own neighbour answers is its answer also without Override and
	// address (RFC 4861, section 7.2.4).
	own := a.Override
	if at.MAC == nil && asked != nil && *asked == a.Ethernet {
		own, at.MAC = true, asked
	}
	defer p.logFound(appeared, pr, at.MAC) // after the requesters have their answers
	rtt := since(pr.sent, now)
	// With a route the kernel accepts the advertisement that it solicits itself also behind
	// a strict reverse-path filter, so its discovery comes after the route.
	discover := func(here bool) {
		var undiscovered *failure
		if here { // so the kernel's discovery costs no more than its entry
			if undiscovered = p.echo(on, a.Target, 0, 0); undiscovered == nil {
				p.learned.expect(a.Target, on, p.deps.Now())
			}
		}
		p.reporter.answered(pr, answer{rtt: rtt, mac: at.MAC, proxied: at.Proxied, undiscovered: undiscovered})
	}
	at.Proxied = !own
	if !p.deps.Locations.Found(a.Target, at, requesters, discover) {
		discover(true)
	}
}

// Replied processes an echo reply that came in on a port.
func (p *Prober) Replied(on *port.Port, r wire.EchoReply) {
	now := p.deps.Now()
	p.mu.Lock()
	pr := p.waiting.answered(position{r.From, on.Index}, r.Seq, r.Cookie)
	if pr == nil {
		p.mu.Unlock()
		p.Stray()
		return
	}
	requesters, appeared := p.targets.found(pr.target, on.Name)
	p.mu.Unlock()
	_, mac := p.lookUp(pr)
	defer p.logFound(appeared, pr, mac)
	p.reporter.answered(pr, answer{rtt: since(pr.sent, now), mac: mac})
	p.deps.Locations.Found(pr.target, port.Location{On: on, MAC: mac}, requesters, nil)
}

// logFound logs the target of a probe, if it was not present before.
func (p *Prober) logFound(appeared bool, pr *probe, mac *schemas.MAC) {
	if appeared {
		p.deps.Notices.Info("target found", "target", pr.target, "on", pr.on.Name, "ethernet", mac)
	}
}

// Stray counts a message that came in on a port and is neither.
func (p *Prober) Stray() { p.deps.Metrics.strayReplies.Inc() }

// since returns a round-trip time, which is not 0, because 0 means none.
func since(sent, now time.Time) time.Duration { return max(now.Sub(sent), time.Microsecond) }
