package probe

import (
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// decide has the target of a command probed, or answers from its location if that is
// known.
func (p *Prober) decide(cmd *schemas.Relay, now time.Time) verdict {
	ports := p.deps.Ports.Load()
	if ports.Owns(cmd.Target) {
		return verdict{refused: refuse(ownAddress, "target %v is an address of this host", cmd.Target)}
	}
	sol := cmd.Solicitation
	if sol != nil && sol.Host != p.cfg.Host {
		sol = nil // another host received it
	}
	at, located := p.deps.Locations.Locate(cmd.Target)
	var requester port.Requester
	if p.cfg.Proxy && sol != nil && sol.Direction == schemas.In {
		on := ports.Named(sol.Interface)
		if on == nil {
			return verdict{refused: refuse(otherLink, "the solicitation came in on %s, which is neither a slave nor a master (PINGER_SLAVES, PINGER_MASTERS)", sol.Interface)}
		}
		requester = port.Requester{On: on, Addr: sol.Source, MAC: sol.Ethernet}
		if sol.Source.IsUnspecified() {
			if v, decided := p.tested(cmd.Target, requester, located, now); decided {
				return v
			}
		}
	}
	if requester.On != nil && requester.Addr.IsGlobalUnicast() {
		p.deps.Locations.Hint(requester.Addr, requester.On) // it has just sent from there
	}
	if !located || cmd.Now {
		l := look{target: cmd.Target, relay: cmd.ID, behind: ports.Behind(sol, p.cfg.Proxy), requester: requester, now: cmd.Now}
		if len(l.behind) == 0 {
			return verdict{refused: refuse(otherLink, "there is no slave but %s, where the target was solicited", sol.Interface)}
		}
		if sol != nil {
			l.source = sol.Source
		}
		failures, refused := p.begin(&l, now)
		return verdict{outcome: probed, failures: failures, refused: refused}
	}
	switch {
	case requester.On == nil:
	case !p.deps.Locations.Serves(cmd.Target, requester):
		p.deps.Locations.Await(cmd.Target, requester)
	default:
		if refused := p.advertise(requester, cmd.Target, false, now); refused != nil {
			return verdict{refused: refused}
		}
	}
	if sol == nil {
		return verdict{outcome: known, at: at}
	}
	if on := ports.Named(sol.Interface); on != nil && on.Index == at.On.Index {
		p.deps.Locations.Doubt(cmd.Target) // on its own link it could have answered itself
	}
	return verdict{outcome: known, at: at}
}
