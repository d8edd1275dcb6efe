package link

import (
	"net/netip"
	"slices"
	"time"

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
	// stopped is true after an RA with lifetime 0 of a router that had another.
	stopped bool
	// stub is true for one that was learned as a stub router (see isStub): where
	// only such are known, others are no strangers.
	stub bool
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

// known reports whether any router but stub routers is known, so that another is
// unknown.
func (r *routers) known() bool {
	return r.isConfigured() || slices.ContainsFunc(r.learned, func(l learned) bool { return !l.stub })
}

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

// observeRouter judges what a frame says as, or of, a router. Of the host itself,
// RAs are remembered.
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
	if t.ra.Stops || len(t.ra.Change) > 0 {
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

// observeRA judges and remembers an RA.
func (t *Table) observeRA(r *routers, e *schemas.Event, now int64) {
	// Of a frame that is not whole, or that most receivers ignore (RFC 6980), nothing
	// is learned.
	whole := !e.ND.Truncated && e.Inet6.Fragment == nil
	i := r.indexLearned(e)
	switch {
	case t.cfg.Learn:
		if whole {
			r.learn(e, now, t.cfg.ClaimTimeout, true)
		}
	case own(e):
		r.learn(e, now, t.cfg.ClaimTimeout, false)
	case r.isConfigured():
		t.observeConfigured(r, i, e, now, whole)
	case i >= 0:
		known := &r.learned[i]
		t.ra = t.compare(r, known, &t.nothing, e, now, whole)
		if known.stub && !r.isStub(e) {
			t.stranger(r, e) // it wants to be more than it was
		}
	default:
		t.observeUnknown(r, e, now, whole)
	}
}

// observeConfigured judges an RA on a link whose routers are configured. What the
// configuration does not tell of a router is learned, at its place i unless that
// is negative.
func (t *Table) observeConfigured(r *routers, i int, e *schemas.Event, now int64, whole bool) {
	router := t.sentBy(r, e)
	switch {
	case router == nil:
		if t.router.Unknown {
			t.stranger(r, e)
		}
		return
	case i >= 0:
		said := t.compare(r, &r.learned[i], router, e, now, whole)
		t.ra = t.exactly(router, e)
		t.ra.PREF64, t.ra.Option = said.PREF64, said.Option
		t.ra.Unconfigured = len(said.Change) > 0
		t.ra.Change = append(t.ra.Change, said.Change...)
		t.ra.Change = t.ra.Change[:min(len(t.ra.Change), maxChanges)]
	default:
		t.ra = t.exactly(router, e)
		if whole {
			r.learn(e, now, t.cfg.ClaimTimeout, false)
		}
	}
}

// exactly says how an RA differs from what is configured of its router.
func (t *Table) exactly(router *Router, e *schemas.Event) schemas.LinkRA {
	c := &t.comparison
	c.begin(router, &t.nothing, exactly, false)
	c.run(e)
	return c.d
}

// observeUnknown judges an RA of a router that was not learned, on a link where
// nothing is configured: the first router is the link's own, whatever is odd
// about it.
func (t *Table) observeUnknown(r *routers, e *schemas.Event, now int64, whole bool) {
	t.sentBy(r, e)
	switch first := !r.known(); {
	case t.router.Wrong:
	case r.isStub(e):
		t.router.Unknown, t.router.Stub = true, true
		if whole {
			r.learn(e, now, t.cfg.ClaimTimeout, false)
		}
	case first && whole:
		t.router = schemas.LinkRouter{New: true}
		r.learn(e, now, t.cfg.ClaimTimeout, false)
	case first:
		t.router.Unknown = false
	case whole && r.silent(now):
		t.router = schemas.LinkRouter{Next: true}
		r.learn(e, now, t.cfg.ClaimTimeout, false)
	default:
		t.stranger(r, e)
	}
}

// compare says how an RA differs from what was learned of its router, but for
// what is configured of it, and takes over what it may.
func (t *Table) compare(r *routers, known *learned, configured *Router, e *schemas.Event, now int64, whole bool) schemas.LinkRA {
	c := &t.comparison
	c.begin(&known.Router, configured, max(now-known.heard, 0), known.heard == known.since && !known.stub)
	c.run(e)
	d := c.d
	switch {
	case len(d.Change) == 0:
		known.refresh(e, c.sent)
		known.last = now
	case whole && now >= known.since && now-known.since <= burst && !c.changed:
		known.merge(profile(e), e)
		r.gather()
		d = schemas.LinkRA{Stops: d.Stops}
	case whole && !d.Stops && (known.stopped || now-known.last > int64(t.cfg.ClaimTimeout)):
		// It has begun again, or has not said what was learned for long enough: what
		// it says now is reported once, and stands.
		*known = known.again(e, now)
		r.gather()
	}
	known.hear(e, now, t.cfg.ClaimTimeout)
	known.stopped = d.Stops
	return d
}

// again returns a router that is learned from a new RA of it.
func (l learned) again(e *schemas.Event, now int64) learned {
	return learned{Router: profile(e), since: now, last: now, heard: now, until: l.until, stub: l.stub}
}

// silent reports whether hosts have stopped using every router that was learned,
// for none has been heard for its lifetime. An RA with lifetime 0 of a router that
// had another does not count: it may be anybody's. Stub routers do not count.
func (r *routers) silent(now int64) bool {
	return !slices.ContainsFunc(r.learned, func(l learned) bool { return !l.stub && now <= l.until })
}

// hear notes that the router was heard. One that is no default router is taken to
// be there for a time.
func (l *learned) hear(e *schemas.Event, now int64, otherwise time.Duration) {
	l.heard = now
	if lifetime := int64(e.ND.RA.Lifetime) * second; lifetime > 0 {
		l.until = now + lifetime
	} else if *l.Lifetime == 0 {
		l.until = now + int64(otherwise)
	}
}

// learn takes an RA for what its router is. With merge, it adds to what is known,
// and no router makes way for another.
func (r *routers) learn(e *schemas.Event, now int64, otherwise time.Duration, merge bool) {
	i := r.indexLearned(e)
	switch {
	case i >= 0 && merge:
		r.learned[i].merge(profile(e), e)
	case i < 0 && merge && len(r.learned) == maxLearned:
		return
	case i < 0 && len(r.learned) < maxLearned:
		i = len(r.learned)
		r.learned = append(r.learned, learned{Router: profile(e), since: now, last: now, stub: r.isStub(e)})
	case i < 0:
		i = r.leastNeeded()
		r.learned[i] = learned{Router: profile(e), since: now, last: now, stub: r.isStub(e)}
	default:
		r.learned[i] = r.learned[i].again(e, now)
	}
	r.learned[i].hear(e, now, otherwise)
	r.gather()
}

// leastNeeded returns the learned router that makes way for another: of the stub
// routers, and then of all, the one longest silent.
func (r *routers) leastNeeded() int {
	least := 0
	for i := range r.learned {
		one, other := &r.learned[i], &r.learned[least]
		if one.stub && !other.stub || one.stub == other.stub && one.heard < other.heard {
			least = i
		}
	}
	return least
}

// indexLearned returns the place of the sender among the learned routers, or -1.
func (r *routers) indexLearned(e *schemas.Event) int {
	return slices.IndexFunc(r.learned, func(l learned) bool { return l.MAC == e.Ethernet.Source && l.LinkLocal == e.Inet6.Source })
}
