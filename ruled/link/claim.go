package link

import (
	"net/netip"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// observeClaims judges and remembers the bindings that a frame claims: that its source, and
// the target of an NA, are at an Ethernet address. An NA without a Target Link-Layer Address
// option claims nothing for its target, since receivers learn no address from it (RFC 4861,
// section 7.2.5); the answer to the registration of an address has none (RFC 8505, section
// 5.5). The station is nil where no station can have the Ethernet source.
func (t *Table) observeClaims(l *link, s *station, e *schemas.Event, now int64) {
	source, sender := e.Inet6.Source, e.Ethernet.Source
	var sources, targets []schemas.LinkLayer // of the options that receivers learn from
	if opt := e.ND.Opt; opt != nil {
		sources, targets = opt.SourceLinkLayer, opt.TargetLinkLayer
	}
	switch nd := e.ND; {
	case nd.NS != nil && source.IsUnspecified():
		t.observeProbe(l, s, e, now)
	case nd.NA != nil:
		target := nd.NA.TargetAddress
		if !t.answersAnother(l, e, now) {
			t.observeAnswer(l, s, target, sender, now)
		}
		// If there are several, some receivers use the first and some the last.
		for i := range targets {
			t.claim(l, s, e, target, targets[i].Address, now)
		}
		if source != target || len(targets) == 0 {
			t.claim(l, s, e, source, sender, now)
		}
	case nd.RD != nil:
		t.claim(l, s, e, source, sender, now)
		// The target may be on another link, so only a neighbour is judged.
		if l.neighbours.Get(nd.RD.TargetAddress.As16()) != nil {
			for i := range targets {
				if targets[i].Address != sender {
					t.claim(l, s, e, nd.RD.TargetAddress, targets[i].Address, now)
				}
			}
		}
	case len(sources) == 0:
		t.claim(l, s, e, source, sender, now)
	default:
		for i := range sources {
			t.claim(l, s, e, source, sources[i].Address, now)
		}
	}
}

// claim judges and remembers one binding that a frame claims.
func (t *Table) claim(l *link, s *station, e *schemas.Event, addr netip.Addr, ethernet schemas.MAC, now int64) {
	if !router.Unicast(addr) || ethernet.IsMulticast() || ethernet == (schemas.MAC{}) {
		return
	}
	key, mac := addr.As16(), ethernet.Uint64()
	// Several stations may answer for an anycast address, without the override flag and from
	// addresses of their own (RFC 4861, section 7.2.7). So does a proxy for a station on
	// another link.
	na := e.ND.NA
	weak := na != nil && addr == na.TargetAddress && !na.Flag.Override && addr != e.Inet6.Source
	if weak && fromHost(e) {
		return // this host's own answer for a station behind another interface
	}
	out := schemas.LinkClaim{Address: addr, Ethernet: ethernet}
	i := l.neighbours.Find(key)
	var n *neighbour
	if i != pool.None {
		n = l.neighbours.At(i)
	}
	if n == nil || n.tentative {
		out.Expected = n != nil && n.bindings[0].mac == mac || na != nil && addr == na.TargetAddress && !t.out.Unsolicited
		if n == nil {
			class := l.neighbours.Classify(now)
			n = l.neighbours.At(l.neighbours.Insert(key, class))
			t.out.Flood = t.out.Flood || class == pool.Flooded
		}
		*n = neighbour{count: 1, before: noBinding, anycast: weak, own: fromHost(e)}
		n.bindings[0] = binding{mac, now, now}
		out.New = true
		out.Early = s != nil && !t.sender.New && now-s.first < recently && now >= s.first
		if s != nil && s.own == 0 && ethernet == e.Ethernet.Source {
			s.own = hashAddr(key)
		}
		t.report(out, 0)
		return
	}
	settled := l.neighbours.Settled(i)
	flood := l.neighbours.SeenAt(i, n.first(), now)
	previous := n.bindings[n.speaker]
	contested := n.hear(&out, mac, weak, now, now-int64(t.cfg.ClaimTimeout))
	if fromHost(e) {
		n.own = true
		n.believe(n.speaker) // the host knows its own addresses
		return
	}
	if contested {
		out.Settled = settled
		t.out.Flood, t.real = t.out.Flood || flood, t.real || !flood
		t.contest(l, s, e, &out, n, previous, now)
	}
	if out.Contested || out.Disputed || out.Adopted {
		t.report(out, previous.mac)
	}
}

// contest adds details to a claim that contradicts the previous binding.
func (t *Table) contest(l *link, s *station, e *schemas.Event, out *schemas.LinkClaim, n *neighbour, previous binding, now int64) {
	out.Contested = true
	out.Own = n.own
	na := e.ND.NA
	out.Unasked = na != nil && na.Flag.Override && t.out.Unsolicited && out.Address == na.TargetAddress
	mac := out.Ethernet.Uint64()
	// Routers take over from each other.
	out.Router = (l.routers.IsAddress(out.Address) || l.routers.HasMAC(previous.mac)) && !l.routers.HasMAC(mac)
	if s == nil || n.bindings[n.owner].mac == mac && !out.Adopted {
		return // it defends its own address
	}
	address := hashAddr(out.Address.As16())
	out.Spoofed = s.own != 0 && s.own != address
	// A node that takes over the service addresses of others does nothing wrong (RFC 4861,
	// section 7.2.6): their former holders are gone, and had addresses of their own too.
	holder := l.stations.Get(previous.mac)
	defended := (out.FlipFlop || out.Reused) && now-previous.last <= fight
	if !defended && (holder == nil || holder.own != address) {
		return
	}
	if now-s.takenAt > repeatWindow || now < s.takenAt {
		s.taken = [2]uint32{}
	}
	s.takenAt = now
	switch from := hash(previous.mac, 0); {
	case s.taken[0] == 0:
		s.taken[0] = from
	case s.taken[0] != from:
		s.taken[1] = from
	}
	out.Serial = s.taken[1] != 0
}

// fight is how soon a station that is present defends its address, at most.
const fight = 5 * second

// report adds a claim to the result for the event.
func (t *Table) report(out schemas.LinkClaim, previous uint64) {
	if len(t.claims) == len(t.prior) {
		return
	}
	if previous != 0 && previous != out.Ethernet.Uint64() {
		p := &t.prior[len(t.claims)]
		*p = schemas.MACOf(previous)
		out.Previous = p
	}
	t.claims = append(t.claims, out)
}
