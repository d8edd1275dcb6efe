package router

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// Routers is the routers of one link. Those in force are the configured ones or, where
// none is configured, those that were learned.
type Routers struct {
	configured []Router
	learned    []learned
	prefixes   []netip.Prefix // of all that are in force
}

// MaxLearned is how many routers of one link are learned at most.
const MaxLearned = 64

// Configure replaces the configured routers by those of all that are for the link. The VLAN is -1 for none.
func (r *Routers) Configure(all []Link, host, iface string, vlan int32) {
	r.configured = nil
	for _, c := range all {
		if (c.Host == "" || c.Host == host) && (c.Interface == "" || c.Interface == iface) &&
			(c.VLAN == nil || Tag(c.VLAN) == vlan) {
			r.configured = append(r.configured, c.Routers...)
		}
	}
	r.gather()
}

// gather lists the prefixes of the routers in force again.
func (r *Routers) gather() {
	r.prefixes = nil
	r.each(func(router *Router) bool {
		for _, p := range router.Prefixes {
			r.prefixes = append(r.prefixes, p.Prefix)
		}
		return true
	})
}

// Tag returns the identifier of a VLAN tag, or -1 for none. A tag with the identifier 0 is
// only a priority (IEEE 802.1Q, section 9.6).
func Tag(identifier *uint16) int32 {
	if identifier == nil || *identifier == 0 {
		return -1
	}
	return int32(*identifier)
}

// IsConfigured reports whether any router is configured.
func (r *Routers) IsConfigured() bool { return len(r.configured) > 0 }

// hasRouter reports whether any router in force is not a stub router. Only then is another router unknown.
func (r *Routers) hasRouter() bool {
	return r.IsConfigured() || slices.ContainsFunc(r.learned, func(l learned) bool { return !l.stub })
}

// each calls visit with each router in force until it returns false.
func (r *Routers) each(visit func(*Router) bool) {
	if r.IsConfigured() {
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

// find returns the router with both addresses, and whether any router has one of them.
func (r *Routers) find(mac schemas.MAC, addr netip.Addr) (found *Router, hasMAC, hasAddress bool) {
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

// IsAddress reports whether an IPv6 address belongs to a router in force.
func (r *Routers) IsAddress(addr netip.Addr) (found bool) {
	r.each(func(router *Router) bool {
		found = router.LinkLocal == addr || slices.Contains(router.Addresses, addr)
		return !found
	})
	return found
}

// HasMAC reports whether an Ethernet address, as MAC.Uint64 gives it, belongs to a router in force.
func (r *Routers) HasMAC(mac uint64) (found bool) {
	r.each(func(router *Router) bool {
		found = router.MAC.Uint64() == mac
		return !found
	})
	return found
}

// Bogon reports whether an address is outside every prefix of the link. Site-local addresses never are, as in NDPMon.
func (r *Routers) Bogon(a netip.Addr) bool {
	if len(r.prefixes) == 0 || !Unicast(a) || a.IsLinkLocalUnicast() || siteLocal(a) {
		return false
	}
	for _, p := range r.prefixes {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Unicast reports whether an address can be that of a station on a link.
func Unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback()
}

// siteLocal reports whether an address is in fec0::/10 (RFC 3879).
func siteLocal(a netip.Addr) bool {
	octets := a.As16()
	return octets[0] == 0xfe && octets[1]&0xc0 == 0xc0
}

// atWork reports whether a link-local address belongs to a router that has not announced that it stops.
func (r *Routers) atWork(addr netip.Addr) bool {
	if r.IsConfigured() {
		return slices.ContainsFunc(r.configured, func(c Router) bool { return c.LinkLocal == addr })
	}
	return slices.ContainsFunc(r.learned, func(l learned) bool { return l.LinkLocal == addr && !l.stopped })
}

// silent reports whether hosts have stopped using every learned router, because none was heard for its lifetime. An RA
// with lifetime 0 of a router that had another does not count: any station can send it. Stub routers do not count.
func (r *Routers) silent(now int64) bool {
	return !slices.ContainsFunc(r.learned, func(l learned) bool { return !l.stub && now <= l.until })
}

// learn records the router of an RA. With merge, the RA adds to what was learned of the router, and no router
// is dropped for another. Timeout is how long a router without a lifetime is expected to be present.
func (r *Routers) learn(e *schemas.Event, now int64, timeout time.Duration, merge, stub bool) {
	i := r.indexLearned(e)
	switch {
	case i >= 0 && merge:
		r.learned[i].merge(profile(e), e)
	case i < 0 && merge && len(r.learned) == MaxLearned:
		return
	case i < 0 && len(r.learned) < MaxLearned:
		i = len(r.learned)
		r.learned = append(r.learned, learned{Router: profile(e), since: now, last: now, stub: stub})
	case i < 0:
		i = r.leastNeeded()
		r.learned[i] = learned{Router: profile(e), since: now, last: now, stub: stub}
	default:
		r.learned[i] = r.learned[i].relearned(e, now)
	}
	r.learned[i].hear(e, now, timeout)
	r.gather()
}

// leastNeeded returns the index of the learned router that is dropped for another: the stub
// router that has been silent for longest or, if there is none, the router that has.
func (r *Routers) leastNeeded() int {
	least := 0
	for i := range r.learned {
		one, other := &r.learned[i], &r.learned[least]
		if one.stub && !other.stub || one.stub == other.stub && one.heard < other.heard {
			least = i
		}
	}
	return least
}

// indexLearned returns the index of the sender among the learned routers, or -1.
func (r *Routers) indexLearned(e *schemas.Event) int {
	return slices.IndexFunc(r.learned, func(l learned) bool { return l.MAC == e.Ethernet.Source && l.LinkLocal == e.Inet6.Source })
}

// State returns a copy of the learned routers.
func (r *Routers) State() []Learned {
	var all []Learned
	for _, l := range r.learned {
		all = append(all, Learned{l.Router.clone(), timeOf(l.since), timeOf(l.heard), timeOf(l.until), timeOf(l.last), l.stopped, l.stub})
	}
	return all
}

// Restore adds learned routers, which State returned.
func (r *Routers) Restore(all []Learned) {
	for _, s := range all {
		r.learned = append(r.learned, learned{
			Router: s.Router, since: s.Since.UnixNano(), heard: s.Heard.UnixNano(),
			until: s.Until.UnixNano(), last: s.LastSeen.UnixNano(), stopped: s.Stopped, stub: s.Stub,
		})
	}
	r.gather()
}

// learned is a router that was learned. Times are in Unix nanoseconds.
type learned struct {
	Router
	// since is when the router was learned, heard when it was heard last, until when hosts
	// stop using it, last when it last said what was learned of it.
	since, heard, until, last int64
	// stopped is true after an RA with lifetime 0 of a router that had another.
	stopped bool
	// stub is true for a router that was learned as a stub router (see isStub). Where only
	// such are learned, another router is not unknown.
	stub bool
}

// Learned is a learned router as it is stored; see the type learned, whose last is LastSeen here.
type Learned struct {
	Router
	Since    time.Time `json:"since"`
	Heard    time.Time `json:"heard"`
	Until    time.Time `json:"until"`
	LastSeen time.Time `json:"lastseen"`
	Stopped  bool      `json:"stopped,omitempty"`
	Stub     bool      `json:"stub,omitempty"`
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// relearned returns the router as a new RA of it says.
func (l learned) relearned(e *schemas.Event, now int64) learned {
	return learned{Router: profile(e), since: now, last: now, heard: now, until: l.until, stub: l.stub}
}

// hear notes that the router was heard. A router that is no default router is expected to be present for the timeout.
func (l *learned) hear(e *schemas.Event, now int64, timeout time.Duration) {
	l.heard = now
	if lifetime := int64(e.ND.RA.Lifetime) * second; lifetime > 0 {
		l.until = now + lifetime
	} else if *l.Lifetime == 0 {
		l.until = now + int64(timeout)
	}
}

// refresh sets the lifetimes to those of an RA with these statements: some routers let them run down.
func (r *Router) refresh(e *schemas.Event, sent []schemas.Statement) {
	if e.ND.RA.Lifetime > 0 {
		update(&r.Lifetime, e.ND.RA.Lifetime)
	}
	opt := e.ND.Opt
	if opt == nil {
		return
	}
	for i := range opt.PrefixInfo {
		p := &opt.PrefixInfo[i]
		if prefixAgain(opt, i) {
			continue
		}
		if known := r.prefix(prefixOf(p.Prefix, p.PrefixLength)); known != nil {
			update(&known.Valid, p.ValidLifetime)
			update(&known.Preferred, p.PreferredLifetime)
		}
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			if known := r.dns(a); known != nil {
				update(&known.Lifetime, opt.RDNSS[i].Lifetime)
			}
		}
	}
	for i := range opt.DNSSL {
		for _, name := range opt.DNSSL[i].Domain {
			if known := r.domain(name); known != nil {
				update(&known.Lifetime, opt.DNSSL[i].Lifetime)
			}
		}
	}
	for i := range opt.RouteInfo {
		if routeAgain(opt, i) {
			continue
		}
		if known := r.route(prefixOf(opt.RouteInfo[i].Prefix, opt.RouteInfo[i].PrefixLength)); known != nil {
			update(&known.Lifetime, opt.RouteInfo[i].Lifetime)
		}
	}
	for i := range opt.PREF64 {
		if known := r.nat64(prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength)); known != nil {
			update(&known.Lifetime, opt.PREF64[i].Lifetime)
		}
	}
	for _, s := range sent {
		if known := r.other(s.Number, s.Text); known != nil {
			known.Lifetimes = s.Lifetimes
		}
	}
}

// update sets a value that may be shared with a copy of the router: not in place.
func update[T comparable](known **T, v T) {
	if *known == nil || **known != v {
		*known = new(v)
	}
}

// merge adds what another RA of the router says. A router whose RAs do not agree is volatile.
// The RA with which it stops adds nothing.
func (r *Router) merge(other Router, e *schemas.Event) {
	if *other.Lifetime == 0 && *r.Lifetime != 0 {
		return
	}
	stopped := *r.Lifetime == 0
	c := comparison{known: r, configured: new(Router), since: exactly}
	if c.run(e); !stopped && (c.d.Params || c.d.MTU || c.d.PrefixParams) {
		r.Volatile = true
	}
	r.CurHopLimit, r.Flags, r.Lifetime = other.CurHopLimit, other.Flags, other.Lifetime
	r.ReachableTimer, r.RetransTimer, r.MTU = other.ReachableTimer, other.RetransTimer, other.MTU
	for _, p := range other.Prefixes {
		known := r.prefix(p.Prefix)
		if known != nil {
			*known = p
		}
		enlist(&r.Prefixes, known != nil, p)
	}
	for _, d := range other.RDNSS {
		enlist(&r.RDNSS, r.dns(d.Address) != nil, d)
	}
	for _, d := range other.DNSSL {
		enlist(&r.DNSSL, r.domain(d.Domain) != nil, d)
	}
	for _, route := range other.Routes {
		enlist(&r.Routes, r.route(route.Prefix) != nil, route)
	}
	for _, n := range other.NAT64 {
		enlist(&r.NAT64, r.nat64(n.Prefix) != nil, n)
	}
	for _, o := range other.Others {
		enlist(&r.Others, r.other(o.Type, o.Text) != nil, o)
	}
}
