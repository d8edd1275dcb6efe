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

// Configure replaces the configured routers by those of all that are for the link. The VLAN
// is -1 for none.
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

// hasRouter reports whether any router in force is not a stub router. Only then is another router
// unknown.
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

// HasMAC reports whether an Ethernet address, as MAC.Uint64 gives it, belongs to a router in
// force.
func (r *Routers) HasMAC(mac uint64) (found bool) {
	r.each(func(router *Router) bool {
		found = router.MAC.Uint64() == mac
		return !found
	})
	return found
}

// Bogon reports whether an address is outside every prefix of the link. Site-local addresses
// never are, as in NDPMon.
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

// atWork reports whether a link-local address belongs to a router that has not announced
// that it stops.
func (r *Routers) atWork(addr netip.Addr) bool {
	if r.IsConfigured() {
		return slices.ContainsFunc(r.configured, func(c Router) bool { return c.LinkLocal == addr })
	}
	return slices.ContainsFunc(r.learned, func(l learned) bool { return l.LinkLocal == addr && !l.stopped })
}

// silent reports whether hosts have stopped using every learned router, because none was
// heard for its lifetime. An RA with lifetime 0 of a router that had another does not count:
// any station can send it. Stub routers do not count.
func (r *Routers) silent(now int64) bool {
	return !slices.ContainsFunc(r.learned, func(l learned) bool { return !l.stub && now <= l.until })
}

// learn records the router of an RA. With merge, the RA adds to what was learned of the
// router, and no router is dropped for another. Timeout is how long a router without a
// lifetime is expected to be present.
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
