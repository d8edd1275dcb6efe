package hostroute

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

const (
	// idleFor is how long a target keeps its route that is silent where nothing would
	// bring the route back, and mostIdle the longest time between two looks for it.
	idleFor  = time.Hour
	mostIdle = 5 * time.Minute
)

// Tunnelled reports whether a target is the address of a peer of a tunnel, a slave without
// Neighbor Discovery. A peer is not required to answer.
func (k *Keeper) Tunnelled(target netip.Addr, on *port.Port) bool {
	peer, _ := k.leads(target, on)
	return peer
}

// leads reports whether a target is the address of a peer of a tunnel, and whether the
// kernel sends it there.
func (k *Keeper) leads(target netip.Addr, on *port.Port) (peer, routed bool) {
	if on.ND || on.Master || !k.cfg.Route && !k.cfg.Proxy {
		return false, false
	}
	for _, m := range k.ports.Load().Masters {
		if m.Index != 0 && m.Index != on.Index && !peer {
			peer, routed, _ = k.kernel.Leads(target, on.Index, m.Index)
		}
	}
	return peer, routed
}

// leftTunnel removes the entry of a target to which its tunnel does not lead any more. It
// may be elsewhere.
func (k *Keeper) leftTunnel(e *entry) {
	k.remove(e, "the tunnel does not lead to it any more")
	k.log.Debug("the tunnel does not lead to the target any more", "target", e.target, "slave", e.at.On.Name)
	k.lookEverywhere(e.target)
}

// keepsIdle reports whether a silent target keeps its route. The router on a link without
// Neighbor Discovery, as PPP has it, never solicits, so nothing would bring the route back
// when packets for the target come.
func (k *Keeper) keepsIdle(e *entry, now time.Time) bool {
	masters := k.masters(e)
	return !e.direct && len(masters) > 0 && k.silentFor(e, now) < idleFor &&
		!slices.ContainsFunc(masters, func(m *port.Port) bool { return m.ND })
}

// searchIdle looks for a silent target again after half the time that it has been silent.
func (k *Keeper) searchIdle(e *entry, now time.Time) {
	if k.searches < searchesPerTick && now.Sub(e.verified) >= min(k.silentFor(e, now)/2, mostIdle) {
		k.searches++
		e.verified = now
		k.lookEverywhere(e.target)
	}
}

func (k *Keeper) silentFor(e *entry, now time.Time) time.Duration {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return now.Sub(e.answered)
}
