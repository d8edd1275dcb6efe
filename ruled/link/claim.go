package link

import (
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
)

// binding is what is known of an address on a link: who has claimed it.
type binding struct {
	claims [maxClaims]claim
	count  uint8
	// owner is the claim that is believed, speaker the one that was heard last,
	// before the one that was heard before it.
	owner, speaker, before uint8
	// disputed is true once the claims have alternated.
	disputed bool
	// anycast is true while the address is known only from answers that several
	// stations may give.
	anycast bool
	// tentative is true while a station has only tested whether it is free.
	tentative bool
}

// claim is a station's claim of an address.
type claim struct {
	mac         uint64
	first, last int64
}

// maxClaims is how many stations' claims of one address are kept. Of more, the
// one that is heard least recently is forgotten, never the owner's.
const maxClaims = 4

// noClaim stands for no claim in binding.before.
const noClaim = maxClaims

// first returns when the address was seen first.
func (b *binding) first() int64 {
	first := b.claims[0].first
	for _, c := range b.claims[1:b.count] {
		first = min(first, c.first)
	}
	return first
}

// find returns the place of a station's claim, or noClaim.
func (b *binding) find(mac uint64) uint8 {
	for i := range b.count {
		if b.claims[i].mac == mac {
			return i
		}
	}
	return noClaim
}

// forget forgets the claims that were last heard before a time, but for the
// owner's and that of one station.
func (b *binding) forget(before int64, but uint64) {
	for i := b.count; i > 0; i-- {
		if at := i - 1; at != b.owner && b.claims[at].mac != but && b.claims[at].last < before {
			b.remove(at)
		}
	}
	if b.count == 1 {
		b.disputed = false
	}
}

func (b *binding) remove(at uint8) {
	copy(b.claims[at:], b.claims[at+1:b.count])
	b.count--
	shift := func(i *uint8, gone uint8) {
		switch {
		case *i == at:
			*i = gone
		case *i > at && *i != noClaim:
			*i--
		}
	}
	shift(&b.owner, 0)
	shift(&b.before, noClaim)
	shift(&b.speaker, b.owner)
}

// quietest returns the claim that was heard least recently, the owner's aside.
func (b *binding) quietest() uint8 {
	quietest := uint8(noClaim)
	for i := range b.count {
		if i != b.owner && (quietest == noClaim || b.claims[i].last < b.claims[quietest].last) {
			quietest = i
		}
	}
	return quietest
}

// observeClaims judges and remembers the claims that a frame makes: that its
// source, and the target of an NA, are at an Ethernet address.
func (t *Table) observeClaims(l *link, s *station, e *schemas.Event, now int64) {
	source, sender := e.Inet6.Source, e.Ethernet.Source
	told := sender // what the receivers take for the source's address
	if opt := e.ND.Opt; opt != nil && len(opt.SourceLinkLayer) > 0 && e.ND.NA == nil && e.ND.RD == nil {
		told = opt.SourceLinkLayer[0].Address
	}
	if opt := e.ND.Opt; opt != nil && len(opt.TargetLinkLayer) > 0 && (e.ND.NA != nil || e.ND.RD != nil) {
		told = opt.TargetLinkLayer[0].Address
	}
	switch nd := e.ND; {
	case nd.NS != nil && source.IsUnspecified():
		t.observeProbe(l, s, nd.NS.TargetAddress, sender, now)
	case nd.NA != nil:
		if e.Inet6.Destination.IsMulticast() { // who tests an address has none to answer to
			t.observeAnswer(l, s, nd.NA.TargetAddress, sender, now)
		}
		t.claim(l, s, e, nd.NA.TargetAddress, told, now)
		if source != nd.NA.TargetAddress {
			t.claim(l, s, e, source, sender, now)
		}
	case nd.RD != nil:
		t.claim(l, s, e, source, sender, now)
		// The target may be far from here, so only one that is known is judged.
		if told != sender && l.bindings.get(nd.RD.TargetAddress.As16()) != nil {
			t.claim(l, s, e, nd.RD.TargetAddress, told, now)
		}
	default:
		t.claim(l, s, e, source, told, now)
	}
}

// claim judges and remembers one claim of a frame.
func (t *Table) claim(l *link, s *station, e *schemas.Event, addr netip.Addr, told schemas.MAC, now int64) {
	if s == nil || !unicast(addr) || told.IsMulticast() || told == (schemas.MAC{}) {
		return
	}
	key, mac := addr.As16(), told.Uint64()
	// Several stations may answer for an anycast address, without overriding
	// each other and from addresses of their own (RFC 4861, section 7.2.7). So
	// does a proxy for a station elsewhere.
	na := e.ND.NA
	weak := na != nil && addr == na.TargetAddress && !na.Flag.Override && addr != e.Inet6.Source
	if weak && e.Proxy && e.Direction == schemas.Out {
		return // this host's own answer for a station behind another interface
	}
	out := schemas.LinkClaim{Address: addr, Ethernet: told}
	b := l.bindings.get(key)
	if b == nil || b.tentative {
		if b == nil {
			b = l.bindings.add(key, now)
		}
		*b = binding{count: 1, before: noClaim, anycast: weak}
		b.claims[0] = claim{mac, now, now}
		out.New = true
		if s.own == 0 && told == e.Ethernet.Source {
			s.own = hashAddr(key)
		}
		t.report(out, 0)
		return
	}
	l.bindings.seen(key, b.first(), now)
	previous := b.claims[b.speaker].mac
	if b.hear(&out, mac, weak, now, now-int64(t.cfg.ClaimTimeout)) {
		t.contest(l, s, e, &out, b, previous, now)
	}
	if out.Contested || out.Disputed || out.Adopted {
		t.report(out, previous)
	}
}

// hear notes that a station claims the address, and reports whether that
// contradicts another's claim. What was not heard since the time lapsed is
// forgotten.
func (b *binding) hear(out *schemas.LinkClaim, mac uint64, weak bool, now, lapsed int64) (contested bool) {
	b.forget(lapsed, mac)
	at := b.find(mac)
	anycast := b.anycast && weak
	b.anycast = anycast
	if at == noClaim {
		if b.count == maxClaims {
			b.remove(b.quietest())
		}
		at = b.count
		b.count++
		b.claims[at] = claim{mac: mac, first: now}
		out.Changed = !anycast
	} else if at != b.speaker && !anycast {
		out.FlipFlop = at == b.before
		out.Reused = at != b.before
		b.disputed = true
	}
	b.claims[at].last = now
	if at != b.speaker {
		b.before, b.speaker = b.speaker, at
	}
	// The owner is believed until it has been silent for long.
	if at != b.owner && b.claims[b.owner].last < lapsed {
		former := b.owner
		b.owner = at
		b.remove(former)
		out.Adopted = true
		b.disputed = b.disputed && b.count > 1
	}
	out.Disputed = b.disputed
	return out.Changed || out.FlipFlop || out.Reused
}

// contest says more of a claim that contradicts another.
func (t *Table) contest(l *link, s *station, e *schemas.Event, out *schemas.LinkClaim, b *binding, previous uint64, now int64) {
	out.Contested = true
	na := e.ND.NA
	out.Unasked = na != nil && na.Flag.Override && t.out.Unsolicited && out.Address == na.TargetAddress
	mac := out.Ethernet.Uint64()
	// Routers take over from each other.
	out.Router = (l.routers.address(out.Address) || l.routers.hasMAC(previous)) && !l.routers.hasMAC(mac)
	if b.claims[b.owner].mac == mac && !out.Adopted {
		return // it defends what it has
	}
	out.Spoofed = s.own != 0 && s.own != hashAddr(out.Address.As16())
	if now-s.takenAt > repeatWindow || now < s.takenAt {
		s.taken = [2]uint32{}
	}
	s.takenAt = now
	switch from := hash(previous, 0); {
	case s.taken[0] == 0:
		s.taken[0] = from
	case s.taken[0] != from:
		s.taken[1] = from
	}
	out.Serial = s.taken[1] != 0
}

// report adds a claim to what is said of the event.
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

// observeProbe remembers an address that is tested for uniqueness. Another
// station that tests the same at the same time denies it too (RFC 4862, section
// 5.4.3); what comes later finds an owner.
func (t *Table) observeProbe(l *link, s *station, addr netip.Addr, prober schemas.MAC, now int64) {
	if s == nil || !unicast(addr) {
		return
	}
	key, mac := addr.As16(), prober.Uint64()
	to := target{l.number, key}
	if p, ok := t.probed.get(to, now); ok && p.who != mac && now-p.at < 2*second && p.at <= now {
		t.deny(l, s, addr, prober, p.who, now)
	}
	t.probed.put(&l.probed, to, asked{now, mac})
	if l.bindings.get(key) == nil {
		*l.bindings.add(key, now) = binding{count: 1, before: noClaim, tentative: true, claims: [maxClaims]claim{{mac, now, now}}}
	}
}

// observeAnswer notes an NA for an address that another station is testing, and
// has not used since.
func (t *Table) observeAnswer(l *link, s *station, addr netip.Addr, sender schemas.MAC, now int64) {
	p, ok := t.probed.get(target{l.number, addr.As16()}, now)
	if !ok || p.who == sender.Uint64() {
		return
	}
	if b := l.bindings.get(addr.As16()); b != nil && !b.tentative {
		if at := b.find(p.who); at != noClaim && b.claims[at].last >= p.at {
			return
		}
	}
	t.deny(l, s, addr, sender, p.who, now)
}

// deny says that a station denies another a tested address.
func (t *Table) deny(l *link, s *station, addr netip.Addr, sender schemas.MAC, prober uint64, now int64) {
	t.dad = schemas.LinkDAD{Target: addr, Prober: schemas.MACOf(prober)}
	t.out.DAD = &t.dad
	b := l.bindings.get(addr.As16())
	if b != nil && b.find(sender.Uint64()) != noClaim {
		return // a genuine conflict: it has had the address before
	}
	t.dad.Stranger = true
	denied := hashAddr(addr.As16())
	if s != nil && s.denies.another(denied, now) {
		t.dad.Again = true
	}
	if of := l.stations.get(prober); of != nil && of.denied.another(denied, now) {
		t.dad.Again = true
	}
}
