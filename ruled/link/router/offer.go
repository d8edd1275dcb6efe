package router

import (
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// offer is what an RA offers: to all hosts or, in a provisioning domain, to those that
// support such domains.
type offer struct {
	ra       *schemas.RA // nil for the parameters of the RA around it
	prefixes []schemas.PrefixInfo
	routes   []schemas.RouteInfo
	rdnss    []schemas.RDNSS
	dnssl    []schemas.DNSSL
	dns      []schemas.EncryptedDNS
}

// appendOffers appends the offers of an RA.
func appendOffers(to []offer, e *schemas.Event) []offer {
	opt := e.ND.Opt
	if opt == nil {
		return append(to, offer{ra: e.ND.RA})
	}
	to = append(to, offer{e.ND.RA, opt.PrefixInfo, opt.RouteInfo, opt.RDNSS, opt.DNSSL, opt.EncryptedDNS})
	for i := range opt.PvD {
		domain := offer{ra: opt.PvD[i].RA}
		if inner := opt.PvD[i].Opt; inner != nil {
			domain = offer{domain.ra, inner.PrefixInfo, inner.RouteInfo, inner.RDNSS, inner.DNSSL, inner.EncryptedDNS}
		}
		to = append(to, domain)
	}
	return to
}

// isDefault reports whether the sender offers itself as a default router, or makes hosts
// look for the whole Internet on the link.
func (o offer) isDefault() bool {
	return o.ra != nil && o.ra.Lifetime > 0 || slices.ContainsFunc(o.routes, IsDefault) ||
		slices.ContainsFunc(o.prefixes, func(p schemas.PrefixInfo) bool {
			return p.Flag.OnLink && p.ValidLifetime > 0 && nearlyAll(prefixOf(p.Prefix, p.PrefixLength))
		})
}

// namesDNS reports whether the offer has DNS servers or search domains to use.
func (o offer) namesDNS() bool {
	return slices.ContainsFunc(o.rdnss, func(r schemas.RDNSS) bool { return r.Lifetime > 0 }) ||
		slices.ContainsFunc(o.dnssl, func(d schemas.DNSSL) bool { return d.Lifetime > 0 }) ||
		slices.ContainsFunc(o.dns, func(d schemas.EncryptedDNS) bool { return d.Lifetime > 0 })
}

// IsDefault reports whether a route is a default route: to ::/0 (RFC 4191, section
// 2.3) or, as one of several, to a large part of the Internet.
func IsDefault(r schemas.RouteInfo) bool {
	return r.Lifetime > 0 && nearlyAll(prefixOf(r.Prefix, r.PrefixLength))
}

// nearlyAll reports whether a prefix is shorter than 8 bits and has global unicast
// addresses in it (2000::/3; RFC 4291, section 2.4): no network has so many of its
// own.
func nearlyAll(p netip.Prefix) bool {
	return p.Bits() < 8 && p.Overlaps(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3))
}

// announced reports whether a prefix, whatever its lifetime, overlaps one that a router in
// force announces. Stub routers count if stubs is true.
func (r *Routers) announced(p *schemas.PrefixInfo, stubs bool) bool {
	prefix := prefixOf(p.Prefix, p.PrefixLength)
	overlaps := func(router *Router) bool {
		return slices.ContainsFunc(router.Prefixes, func(known Prefix) bool { return known.Prefix.Overlaps(prefix) })
	}
	if r.IsConfigured() {
		return slices.ContainsFunc(r.configured, func(c Router) bool { return overlaps(&c) })
	}
	return slices.ContainsFunc(r.learned, func(l learned) bool { return (stubs || !l.stub) && overlaps(&l.Router) })
}

// isStub reports whether an RA is that of a stub router, which connects only a network of its
// own (draft-ietf-snac-simple), such as a Thread border router. Such an RA has the SNAC flag
// and router lifetime 0, and only unique local prefixes and routes (RFC 4193), none of which
// is another router's prefix.
func (r *Routers) isStub(e *schemas.Event) bool {
	ra, opt := e.ND.RA, e.ND.Opt
	if ra.Lifetime != 0 || !ra.Flag.SNAC || e.ND.Truncated {
		return false
	}
	if opt == nil {
		return true
	}
	local := func(a netip.Addr, bits uint8) bool { return a.IsPrivate() && bits >= 7 }
	return len(opt.RDNSS)+len(opt.DNSSL)+len(opt.EncryptedDNS)+len(opt.PvD)+len(opt.PREF64)+len(opt.CaptivePortal) == 0 &&
		!slices.ContainsFunc(opt.PrefixInfo, func(p schemas.PrefixInfo) bool {
			return !local(p.Prefix, p.PrefixLength) || r.announced(&p, false)
		}) &&
		!slices.ContainsFunc(opt.RouteInfo, func(o schemas.RouteInfo) bool { return !local(o.Prefix, o.PrefixLength) })
}
