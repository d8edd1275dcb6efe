package link

import "github.com/ndmon/ndmon/schemas"

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
