package probe

import (
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
)

// Advertised processes a Neighbor Advertisement that came in on a port.
func (p *Prober) Advertised(on *port.Port, a wire.Advertisement) {
	if !a.Solicited {
		p.deps.Locations.Hint(a.Target, on)
		return
	}
	at := port.Location{On: on, MAC: a.MAC}
	p.deps.Locations.Confirm(a.Target, at)
	now := p.deps.Now()
	p.mu.Lock()
	pr := p.waiting.answered(position{a.Target, on.Index}, 0, 0)
	if pr == nil {
		p.mu.Unlock()
		return
	}
	requesters := p.targets.found(pr.target)
	p.mu.Unlock()
	if a.Override {
		p.deps.Locations.Found(a.Target, at, requesters)
	}
	// It is there, so the kernel's discovery costs no more than its entry.
	undiscovered := p.echo(on, a.Target, 0, 0)
	p.reporter.answered(pr, answer{rtt: since(pr.sent, now), mac: a.MAC, proxied: !a.Override, undiscovered: undiscovered})
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
	requesters := p.targets.found(pr.target)
	p.mu.Unlock()
	_, mac := p.lookUp(pr)
	p.reporter.answered(pr, answer{rtt: since(pr.sent, now), mac: mac})
	p.deps.Locations.Found(pr.target, port.Location{On: on, MAC: mac}, requesters)
}

// Stray counts a message that came in on a port and is neither.
func (p *Prober) Stray() { p.deps.Metrics.strayReplies.Inc() }

// since returns a round-trip time, which is not 0, because 0 means none.
func since(sent, now time.Time) time.Duration { return max(now.Sub(sent), time.Microsecond) }
