package link

import (
	"net/netip"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

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
		*l.neighbours.Add(key, now) = neighbour{count: 1, before: noBinding, tentative: true, bindings: [maxBindings]binding{{mac, now, now}}}
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
