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
	// own is true for an address of the host that captures here.
	own bool
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

// believe makes a claim the owner's, and the first: so the order is the same after
// a restart, whose state has the owner first.
func (b *binding) believe(at uint8) {
	c := b.claims[at]
	copy(b.claims[1:], b.claims[:at])
	b.claims[0] = c
	b.owner = 0
	for _, place := range []*uint8{&b.speaker, &b.before} {
		switch {
		case *place == at:
			*place = 0
		case *place < at:
			*place++
		}
	}
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
// source, and the target of an NA, are at an Ethernet address. An NA without a
// Target Link-Layer Address option claims nothing for its target, since receivers
// learn no address from it (RFC 4861, section 7.2.5); one in answer to the
// registration of an address is such (RFC 8505, section 5.5). The sender is nil
// where the Ethernet source is none that a station has.
func (t *Table) observeClaims(l *link, s *station, e *schemas.Event, now int64) {
	source, sender := e.Inet6.Source, e.Ethernet.Source
	var sources, targets []schemas.LinkLayer // in the options that receivers learn from
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
		// Of several, some receivers take the first and some the last.
		for i := range targets {
			t.claim(l, s, e, target, targets[i].Address, now)
		}
		if source != target || len(targets) == 0 {
			t.claim(l, s, e, source, sender, now)
		}
	case nd.RD != nil:
		t.claim(l, s, e, source, sender, now)
		// The target may be far from here, so only one that is known is judged.
		if l.bindings.get(nd.RD.TargetAddress.As16()) != nil {
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

// claim judges and remembers one claim of a frame.
func (t *Table) claim(l *link, s *station, e *schemas.Event, addr netip.Addr, told schemas.MAC, now int64) {
	if !unicast(addr) || told.IsMulticast() || told == (schemas.MAC{}) {
		return
	}
	key, mac := addr.As16(), told.Uint64()
	// Several stations may answer for an anycast address, without overriding
	// each other and from addresses of their own (RFC 4861, section 7.2.7). So
	// does a proxy for a station elsewhere.
	na := e.ND.NA
	weak := na != nil && addr == na.TargetAddress && !na.Flag.Override && addr != e.Inet6.Source
	if weak && own(e) {
		return // this host's own answer for a station behind another interface
	}
	out := schemas.LinkClaim{Address: addr, Ethernet: told}
	i := l.bindings.find(key)
	var b *binding
	if i != none {
		b = l.bindings.at(i)
	}
	if b == nil || b.tentative {
		out.Expected = b != nil && b.claims[0].mac == mac || na != nil && addr == na.TargetAddress && !t.out.Unsolicited
		if b == nil {
			class := l.bindings.classify(now)
			b = l.bindings.at(l.bindings.insert(key, class))
			t.out.Flood = t.out.Flood || class == flooded
		}
		*b = binding{count: 1, before: noClaim, anycast: weak, own: own(e)}
		b.claims[0] = claim{mac, now, now}
		out.New = true
		out.Early = s != nil && !t.sender.New && now-s.first < recently && now >= s.first
		if s != nil && s.own == 0 && told == e.Ethernet.Source {
			s.own = hashAddr(key)
		}
		t.report(out, 0)
		return
	}
	settled := l.bindings.settled(i)
	flood := l.bindings.seenAt(i, b.first(), now)
	previous := b.claims[b.speaker]
	contested := b.hear(&out, mac, weak, now, now-int64(t.cfg.ClaimTimeout))
	if own(e) {
		b.own = true
		b.believe(b.speaker) // nothing is surer
		return
	}
	if contested {
		out.Settled = settled
		t.out.Flood, t.real = t.out.Flood || flood, t.real || !flood
		t.contest(l, s, e, &out, b, previous, now)
	}
	if out.Contested || out.Disputed || out.Adopted {
		t.report(out, previous.mac)
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
		former := b.claims[b.owner].mac
		b.believe(at)
		b.remove(b.find(former))
		out.Adopted = true
		b.disputed = b.disputed && b.count > 1
	}
	out.Disputed = b.disputed
	return out.Changed || out.FlipFlop || out.Reused
}

// contest says more of a claim that contradicts another, the previous one.
func (t *Table) contest(l *link, s *station, e *schemas.Event, out *schemas.LinkClaim, b *binding, previous claim, now int64) {
	out.Contested = true
	out.Own = b.own
	na := e.ND.NA
	out.Unasked = na != nil && na.Flag.Override && t.out.Unsolicited && out.Address == na.TargetAddress
	mac := out.Ethernet.Uint64()
	// Routers take over from each other.
	out.Router = (l.routers.address(out.Address) || l.routers.hasMAC(previous.mac)) && !l.routers.hasMAC(mac)
	if s == nil || b.claims[b.owner].mac == mac && !out.Adopted {
		return // it defends what it has
	}
	address := hashAddr(out.Address.As16())
	out.Spoofed = s.own != 0 && s.own != address
	// A node that takes over the service addresses of others does nothing wrong
	// (RFC 4861, section 7.2.6): those are gone, and have had addresses of their
	// own as well.
	holder := l.stations.get(previous.mac)
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

// fight is how soon a station that is there answers the claim of its address.
const fight = 5 * second

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
// 5.4.3), unless it is the same test that comes back, with its nonce (RFC 7527);
// what comes later finds an owner.
func (t *Table) observeProbe(l *link, s *station, e *schemas.Event, now int64) {
	addr, prober := e.ND.NS.TargetAddress, e.Ethernet.Source
	if !unicast(addr) {
		return
	}
	key, mac, nonce := addr.As16(), prober.Uint64(), nonceOf(e)
	to := target{l.number, key}
	switch p := t.probed.get(to, now); {
	case p == nil || p.who == mac:
	case nonce != 0 && nonce == p.nonce:
		return
	case now-p.at < 2*second && p.at <= now:
		t.deny(l, s, addr, prober, p.who, now)
	}
	t.probed.put(&l.probed, to, asked{at: now, who: mac, nonce: nonce})
	if l.bindings.get(key) == nil {
		*l.bindings.add(key, now) = binding{count: 1, before: noClaim, tentative: true, claims: [maxClaims]claim{{mac, now, now}}}
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

// answersAnother reports whether an NA goes to a station that does not test its
// target. One that does takes an NA at any address of its own for a denial.
func (t *Table) answersAnother(l *link, e *schemas.Event, now int64) bool {
	to := e.Inet6.Destination
	if to.IsMulticast() {
		return false
	}
	p := t.probed.get(target{l.number, e.ND.NA.TargetAddress.As16()}, now)
	if p == nil || p.who == e.Ethernet.Destination.Uint64() {
		return false
	}
	b := l.bindings.get(to.As16())
	return b != nil && b.find(p.who) == noClaim
}

// observeAnswer notes an NA for an address that another station is testing, and
// has not used since.
func (t *Table) observeAnswer(l *link, s *station, addr netip.Addr, sender schemas.MAC, now int64) {
	p := t.probed.get(target{l.number, addr.As16()}, now)
	if p == nil || p.who == sender.Uint64() {
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
