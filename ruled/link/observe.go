package link

import (
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// Observe sets e.Link to what is remarkable about the event, or to nil, and remembers the
// event. e.Link is valid until the next call.
//
// A frame that receivers discard changes nothing on the link, so Observe remembers nothing of it.
func (t *Table) Observe(e *schemas.Event) {
	e.Link = nil
	if e.Lost != nil || e.Sensor != nil || e.Conflict != nil || e.Ethernet == nil || e.Inet6 == nil || e.ICMP6 == nil || e.ND == nil {
		return
	}
	now := e.Time.UnixNano()
	l := t.link(e, now)
	t.out = schemas.Link{Configured: l.routers.IsConfigured()}
	t.claims, t.real = t.claims[:0], false
	switch {
	case discarded(e):
	case e.ND.Truncated:
		// The sender is complete, but not the message.
		t.out.Router, t.out.RA = t.judge.Observe(&l.routers, e, now, fromHost(e))
	default:
		s := t.observeStation(l, e, now)
		t.observeSolicitation(l, e, now)
		t.observeClaims(l, s, e, now)
		t.out.Router, t.out.RA = t.judge.Observe(&l.routers, e, now, fromHost(e))
		t.out.Bogon = l.routers.Bogon(e.Inet6.Source)
		t.out.Flood = t.out.Flood && !t.real
	}
	t.out.Claim = t.remarkable()
	if fromHost(e) { // the host itself is neither new nor an attacker
		t.out = schemas.Link{Configured: t.out.Configured, Unanswered: t.out.Unanswered}
	}
	if something(&t.out) {
		e.Link = &t.out
	}
}

// remarkable returns the claims to report. If one contradicts another, those that are merely new are left out.
func (t *Table) remarkable() []schemas.LinkClaim {
	contested := func(c schemas.LinkClaim) bool { return c.Contested }
	if slices.ContainsFunc(t.claims, contested) {
		return slices.DeleteFunc(t.claims, func(c schemas.LinkClaim) bool { return !c.Contested })
	}
	return t.claims
}

func something(l *schemas.Link) bool {
	return l.Configured || l.Bogon || l.Unsolicited || l.Unanswered || l.Flood || l.Station != nil || len(l.Claim) > 0 || l.DAD != nil || l.Router != nil || l.RA != nil
}

func discarded(e *schemas.Event) bool {
	return e.Fault.Discard() || e.ND.RS == nil && e.ND.RA == nil && e.ND.NS == nil && e.ND.NA == nil && e.ND.RD == nil
}

// observeStation notes the sender. It returns nil for an Ethernet source that no station can have.
func (t *Table) observeStation(l *link, e *schemas.Event, now int64) *station {
	mac := e.Ethernet.Source
	if mac.IsMulticast() || mac == (schemas.MAC{}) {
		return nil
	}
	t.sender = schemas.LinkStation{}
	if t.cfg.Vendor != nil {
		t.sender.Vendor = t.cfg.Vendor(mac)
	}
	key := mac.Uint64()
	i := l.stations.Find(key)
	known := i != pool.None
	if !known {
		class := l.stations.Classify(now)
		i = l.stations.Insert(key, class)
		t.out.Flood = class == pool.Flooded
	}
	s := l.stations.At(i)
	if !known {
		s.first, s.last = now, now
		t.sender.New = true
		t.sender.UnknownVendor = t.cfg.Vendor != nil && t.sender.Vendor == "" && !mac.IsLocal()
	} else {
		t.sender.Returned = now-s.last > int64(t.cfg.Silence)
		s.last = now
		t.out.Flood = l.stations.SeenAt(i, s.first, now)
	}
	if t.sender != (schemas.LinkStation{}) {
		t.out.Station = &t.sender
	}
	return s
}

// observeSolicitation remembers the target of an NS, and notes an NA that no NS asked for.
// A station may announce an address that it has tested itself (RFC 4861, section 7.2.6).
func (t *Table) observeSolicitation(l *link, e *schemas.Event, now int64) {
	switch {
	case e.ND.NS != nil:
		to := target{l.number, e.ND.NS.TargetAddress.As16()}
		a, again := t.asked.enter(&l.asked, to, now)
		if !again {
			n := l.neighbours.Get(to.addr)
			// On a slave, the pinger looks for hosts that may be behind another slave.
			relayed := fromHost(e) && e.Proxy && !e.Master
			*a = asked{open: (n == nil || n.tentative) && !e.Inet6.Source.IsUnspecified() && !relayed}
			l.search.ask(a.open, now)
		}
		a.at, a.who = now, e.Ethernet.Source.Uint64()
		t.out.Unanswered = a.open && l.search.open > maxOpen
	case e.ND.NA != nil:
		to := target{l.number, e.ND.NA.TargetAddress.As16()}
		sender := e.Ethernet.Source.Uint64()
		a := t.asked.get(&l.asked, to, now)
		if a != nil && a.open {
			a.open = false
			l.search.open = max(l.search.open-1, 0) // it may have been solicited before since
		}
		// A station that solicits its own answer proves nothing.
		t.out.Unsolicited = (a == nil || a.who == sender) && !t.tested(l, to, sender, now)
	}
}

// tested reports whether a station has tested an address for uniqueness within dadWindow,
// and no other station has claimed the address.
func (t *Table) tested(l *link, to target, mac uint64, now int64) bool {
	if l.probed.Len() == 0 {
		return false
	}
	if p := t.probed.get(&l.probed, to, now); p == nil || p.who != mac {
		return false
	}
	n := l.neighbours.Get(to.addr)
	return n == nil || n.count == 1 && n.bindings[0].mac == mac
}

// observeClaims judges and remembers the bindings that a frame claims: that its source, and the target of an NA, are at
// an Ethernet address. An NA without a Target Link-Layer Address option claims nothing for its target, since receivers
// learn no address from it (RFC 4861, section 7.2.5); the answer to the registration of an address has none (RFC 8505,
// section 5.5). The station is nil where no station can have the Ethernet source.
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
	// Several stations may answer for an anycast address, without the override flag and from addresses of
	// their own (RFC 4861, section 7.2.7). So does a proxy for a station on another link.
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
			i = l.neighbours.Insert(key, class)
			n = l.neighbours.At(i)
			t.out.Flood = t.out.Flood || class == pool.Flooded
		}
		held := n.bindings[0].spell // a tentative one
		begins := n.bindings[0].mac != mac
		*n = neighbour{count: 1, before: noBinding, anycast: weak, own: fromHost(e)}
		n.bindings[0] = binding{mac, now, now, held}
		t.record(l, i, begins, false, howHeard(e.ND))
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
	lapsed := now - int64(t.cfg.ClaimTimeout)
	at := n.find(mac)
	begins := at == noBinding || n.bindings[at].last < lapsed
	t.conclude(l, i, lapsed)
	contested := n.hear(&out, mac, weak, now, lapsed)
	t.record(l, i, begins, contested && !out.Adopted, howHeard(e.ND))
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

// observeProbe remembers an address that is tested for uniqueness. Another station that tests
// the same address at the same time denies it too (RFC 4862, section 5.4.3), unless the
// test is looped back, with its nonce (RFC 7527). A later frame finds an owner.
func (t *Table) observeProbe(l *link, s *station, e *schemas.Event, now int64) {
	addr, prober := e.ND.NS.TargetAddress, e.Ethernet.Source
	if !router.Unicast(addr) {
		return
	}
	key, mac, nonce := addr.As16(), prober.Uint64(), nonceOf(e)
	to := target{l.number, key}
	switch p := t.probed.get(&l.probed, to, now); {
	case p == nil || p.who == mac:
	case nonce != 0 && nonce == p.nonce:
		return
	case now-p.at < 2*second && p.at <= now:
		t.deny(l, s, addr, prober, p.who, now)
	}
	t.probed.put(&l.probed, to, asked{at: now, who: mac, nonce: nonce})
	if l.neighbours.Get(key) == nil {
		i := l.neighbours.Insert(key, l.neighbours.Classify(now))
		*l.neighbours.At(i) = neighbour{count: 1, before: noBinding, tentative: true, bindings: [maxBindings]binding{{mac: mac, first: now, last: now}}}
		t.record(l, i, true, false, heardDAD)
	}
}

// nonceOf returns the first nonce of a message, as a hash, or 0.
func nonceOf(e *schemas.Event) uint32 {
	if e.ND.Opt == nil || len(e.ND.Opt.Nonce) == 0 {
		return 0
	}
	var high, low uint64
	for _, digit := range []byte(e.ND.Opt.Nonce[0].Value) {
		high, low = high<<4|low>>60, low<<4^uint64(digit)
	}
	return hash(high, low)
}

// answersAnother reports whether an NA goes to a station that is not testing its target. A
// station that tests takes an NA at any of its own addresses as a denial.
func (t *Table) answersAnother(l *link, e *schemas.Event, now int64) bool {
	to := e.Inet6.Destination
	if to.IsMulticast() {
		return false
	}
	p := t.probed.get(&l.probed, target{l.number, e.ND.NA.TargetAddress.As16()}, now)
	if p == nil || p.who == e.Ethernet.Destination.Uint64() {
		return false
	}
	n := l.neighbours.Get(to.As16())
	return n != nil && n.find(p.who) == noBinding
}

// observeAnswer notes an NA for an address that another station tests and has not used since.
func (t *Table) observeAnswer(l *link, s *station, addr netip.Addr, sender schemas.MAC, now int64) {
	p := t.probed.get(&l.probed, target{l.number, addr.As16()}, now)
	if p == nil || p.who == sender.Uint64() {
		return
	}
	if n := l.neighbours.Get(addr.As16()); n != nil && !n.tentative {
		if at := n.find(p.who); at != noBinding && n.bindings[at].last >= p.at {
			return
		}
	}
	t.deny(l, s, addr, sender, p.who, now)
}

// deny reports that a station denies another a tested address.
func (t *Table) deny(l *link, s *station, addr netip.Addr, sender schemas.MAC, prober uint64, now int64) {
	t.dad = schemas.LinkDAD{Target: addr, Prober: schemas.MACOf(prober)}
	t.out.DAD = &t.dad
	n := l.neighbours.Get(addr.As16())
	if n != nil && n.find(sender.Uint64()) != noBinding {
		return // a real conflict: the station used the address before
	}
	t.dad.Stranger = true
	denied := hashAddr(addr.As16())
	if s != nil && s.denies.another(denied, now) {
		t.dad.Again = true
	}
	if of := l.stations.Get(prober); of != nil && of.denied.another(denied, now) {
		t.dad.Again = true
	}
}
