package link

import (
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// routers is the routers of one link: those that are configured, or else those
// that were learned.
type routers struct {
	configured []Router
	learned    []learned
	prefixes   []netip.Prefix // of all that are in force
}

// learned is a router that was learned. Times are in Unix nanoseconds.
type learned struct {
	Router
	// since is when it was learned, heard when it was heard last, until when
	// hosts stop using it, last when it said last what was learned of it.
	since, heard, until, last int64
	// stopped is true after an RA with lifetime 0.
	stopped bool
}

// burst is how long after the first RA another one of the router may add to it: a
// router may spread its options over several (RFC 4861, section 6.2.3).
const burst = second

// maxLearned is how many routers of one link are learned, maxListed how many
// prefixes, routes and so on of one of them.
const (
	maxLearned = 64
	maxListed  = 128
)

// configure takes the routers that are configured for a link.
func (r *routers) configure(all []Routers, key linkKey) {
	r.configured = nil
	for _, c := range all {
		if (c.Host == "" || c.Host == key.host) && (c.Interface == "" || c.Interface == key.iface) &&
			(c.VLAN == nil || tagOf(c.VLAN) == key.vlan) {
			r.configured = append(r.configured, c.Routers...)
		}
	}
	r.gather()
}

// gather lists the prefixes of the routers in force.
func (r *routers) gather() {
	r.prefixes = nil
	r.each(func(router *Router) bool {
		for _, p := range router.Prefixes {
			r.prefixes = append(r.prefixes, p.Prefix)
		}
		return true
	})
}

func (r *routers) isConfigured() bool { return len(r.configured) > 0 }

// known reports whether any router is known, so that another is unknown.
func (r *routers) known() bool { return len(r.configured) > 0 || len(r.learned) > 0 }

// each calls visit with each router in force until it returns false.
func (r *routers) each(visit func(*Router) bool) {
	if r.isConfigured() {
		for i := range r.configured {
			if !visit(&r.configured[i]) {
				return
			}
		}
		return
	}
	for i := range r.learned {
		if !visit(&r.learned[i].Router) {
			return
		}
	}
}

// find returns the router with both addresses, and whether there are routers
// with one of them.
func (r *routers) find(mac schemas.MAC, addr netip.Addr) (found *Router, hasMAC, hasAddress bool) {
	r.each(func(router *Router) bool {
		sameMAC, sameAddress := router.MAC == mac, router.LinkLocal == addr
		if sameMAC && sameAddress {
			found = router
		}
		hasMAC = hasMAC || sameMAC
		hasAddress = hasAddress || sameAddress
		return found == nil
	})
	return found, hasMAC, hasAddress
}

// address reports whether an address is a router's.
func (r *routers) address(addr netip.Addr) (found bool) {
	r.each(func(router *Router) bool {
		found = router.LinkLocal == addr || slices.Contains(router.Addresses, addr)
		return !found
	})
	return found
}

// hasMAC reports whether an Ethernet address, as MAC.Uint64 gives it, is a
// router's.
func (r *routers) hasMAC(mac uint64) (found bool) {
	r.each(func(router *Router) bool {
		found = router.MAC.Uint64() == mac
		return !found
	})
	return found
}

// bogon reports whether an address is outside every prefix of the link.
// Site-local addresses are passed over, as NDPMon does.
func (r *routers) bogon(a netip.Addr) bool {
	if len(r.prefixes) == 0 || !unicast(a) || a.IsLinkLocalUnicast() || siteLocal(a) {
		return false
	}
	for _, p := range r.prefixes {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// siteLocal reports whether an address is in fec0::/10 (RFC 3879).
func siteLocal(a netip.Addr) bool {
	octets := a.As16()
	return octets[0] == 0xfe && octets[1]&0xc0 == 0xc0
}

// observeRouter judges what a frame says as, or of, a router.
func (t *Table) observeRouter(l *link, e *schemas.Event, now int64) {
	t.router, t.ra = schemas.LinkRouter{}, schemas.LinkRA{}
	switch r := &l.routers; {
	case e.ND.RA != nil:
		t.observeRA(r, e, now)
	case !r.known():
	case e.ND.RD != nil:
		t.sentBy(r, e)
		rd := e.ND.RD
		t.router.OffLink = rd.TargetAddress == rd.DestinationAddress && r.bogon(rd.DestinationAddress)
		t.router.Target = rd.TargetAddress != rd.DestinationAddress && !r.address(rd.TargetAddress)
	case e.ND.NA != nil:
		na := e.ND.NA
		t.router.Flag = na.Flag.Router && !r.hasMAC(e.Ethernet.Source.Uint64())
		t.router.NoFlag = !na.Flag.Router && r.atWork(na.TargetAddress)
	}
	if t.router != (schemas.LinkRouter{}) {
		t.out.Router = &t.router
	}
	if t.ra != (schemas.LinkRA{}) {
		t.out.RA = &t.ra
	}
}

// atWork reports whether a link-local address is that of a router that has not
// said itself that it stops.
func (r *routers) atWork(addr netip.Addr) bool {
	if r.isConfigured() {
		return slices.ContainsFunc(r.configured, func(c Router) bool { return c.LinkLocal == addr })
	}
	return slices.ContainsFunc(r.learned, func(l learned) bool { return l.LinkLocal == addr && !l.stopped })
}

// sentBy judges the sender of an RA or Redirect, which must be a router.
func (t *Table) sentBy(r *routers, e *schemas.Event) *Router {
	found, hasMAC, hasAddress := r.find(e.Ethernet.Source, e.Inet6.Source)
	if found == nil {
		t.router.WrongCouple = hasMAC && hasAddress
		t.router.WrongAddress = hasMAC && !hasAddress
		t.router.WrongMAC = !hasMAC && hasAddress
		t.router.Wrong = hasMAC || hasAddress
		t.router.Unknown = !t.router.Wrong
	}
	return found
}

func (t *Table) observeRA(r *routers, e *schemas.Event, now int64) {
	// A frame that no proper router sends teaches nothing.
	proper := e.Fault == nil && e.ND.Malformed == "" && len(e.Inet6.Extension) == 0 && e.Inet6.Fragment == nil
	beginning := proper && e.ND.RA.Lifetime > 0
	switch {
	case t.cfg.Learn:
		if proper {
			r.learn(e, now, true)
		}
	case r.isConfigured():
		router := t.sentBy(r, e)
		if router == nil {
			return
		}
		t.ra = router.differs(e, exactly)
		// What a configuration cannot tell is learned.
		if i := r.indexLearned(e); i >= 0 {
			said, _ := t.compare(r, &r.learned[i], e, now, proper)
			t.ra.PREF64, t.ra.Option = said.PREF64, said.Option
		} else if beginning {
			r.learn(e, now, false)
		}
	case r.silent(now):
		if beginning {
			r.learned = r.learned[:0]
			r.learn(e, now, false)
			t.router.New = true
		}
	case t.sentBy(r, e) != nil:
		t.ra, t.router.New = t.compare(r, &r.learned[r.indexLearned(e)], e, now, proper)
	}
}

// compare says how an RA differs from what was learned of its router, or that
// the router has begun anew.
func (t *Table) compare(r *routers, known *learned, e *schemas.Event, now int64, proper bool) (d schemas.LinkRA, anew bool) {
	stops := e.ND.RA.Lifetime == 0
	switch d = known.differs(e, now-known.heard); {
	case d == (schemas.LinkRA{}):
		known.refresh(e)
		known.last = now
	case proper && now >= known.since && now-known.since <= burst && adds(d):
		known.merge(profile(e), e)
		r.gather()
		d = schemas.LinkRA{}
	case proper && !stops && (known.stopped || now-known.last > int64(t.cfg.ClaimTimeout)):
		// It has begun anew, or has not said what was learned for long enough.
		*known = learned{Router: profile(e), since: now, last: now}
		r.gather()
		d, anew = schemas.LinkRA{}, true
	}
	known.hear(e, now)
	known.stopped = stops
	return d, anew
}

// adds reports whether an RA that differs only has options that others have not.
func adds(d schemas.LinkRA) bool {
	return !d.Params && !d.Lifetime && !d.MTU && !d.PrefixParams && !d.RouteLifetime && !d.RoutePreference
}

// silent reports whether hosts have stopped using every router that was learned,
// for none has been heard for its lifetime. An RA with lifetime 0 does not count:
// it may be anybody's.
func (r *routers) silent(now int64) bool {
	for i := range r.learned {
		if now <= r.learned[i].until {
			return false
		}
	}
	return true
}

func (l *learned) hear(e *schemas.Event, now int64) {
	l.heard = now
	if lifetime := int64(e.ND.RA.Lifetime) * second; lifetime > 0 {
		l.until = now + lifetime
	}
}

// learn takes an RA for what its router is. With merge, it adds to what is known.
func (r *routers) learn(e *schemas.Event, now int64, merge bool) {
	i := r.indexLearned(e)
	switch {
	case i < 0 && len(r.learned) < maxLearned:
		r.learned = append(r.learned, learned{Router: profile(e), since: now, last: now})
		i = len(r.learned) - 1
	case i < 0:
		return
	case merge:
		r.learned[i].merge(profile(e), e)
	}
	r.learned[i].hear(e, now)
	r.gather()
}

// indexLearned returns the place of the sender among the learned routers, or -1.
func (r *routers) indexLearned(e *schemas.Event) int {
	return slices.IndexFunc(r.learned, func(l learned) bool { return l.MAC == e.Ethernet.Source && l.LinkLocal == e.Inet6.Source })
}
