package link

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// profile returns what an RA says of its router.
func profile(e *schemas.Event) Router {
	ra := e.ND.RA
	mtu := uint32(0)
	r := Router{
		MAC: e.Ethernet.Source, LinkLocal: e.Inet6.Source,
		CurHopLimit: new(ra.CurHopLimit), Flags: new(raFlags(ra)), Lifetime: new(ra.Lifetime),
		ReachableTimer: new(ra.ReachableTimer), RetransTimer: new(ra.RetransTimer), MTU: &mtu,
	}
	opt := e.ND.Opt
	if opt == nil {
		return r
	}
	if len(opt.MTU) > 0 {
		mtu = opt.MTU[0].MTU
	}
	for i := range opt.PrefixInfo {
		p := &opt.PrefixInfo[i]
		prefix := prefixOf(p.Prefix, p.PrefixLength)
		enlist(&r.Prefixes, r.prefix(prefix) != nil, RouterPrefix{prefix, new(prefixFlags(p)), new(p.ValidLifetime), new(p.PreferredLifetime)})
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			enlist(&r.RDNSS, r.dns(a) != nil, RouterDNS{a, new(opt.RDNSS[i].Lifetime)})
		}
	}
	for i := range opt.DNSSL {
		for _, d := range opt.DNSSL[i].Domain {
			enlist(&r.DNSSL, r.domain(d) != nil, RouterDomain{d, new(opt.DNSSL[i].Lifetime)})
		}
	}
	for i := range opt.RouteInfo {
		o := &opt.RouteInfo[i]
		prefix := prefixOf(o.Prefix, o.PrefixLength)
		enlist(&r.Routes, r.route(prefix) != nil, RouterRoute{prefix, new(routeFlags(o)), new(o.Lifetime)})
	}
	for i := range opt.PREF64 {
		prefix := prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength)
		enlist(&r.NAT64, r.nat64(prefix) != nil, RouterNAT64{prefix, new(opt.PREF64[i].Lifetime)})
	}
	for _, s := range statements(e) {
		enlist(&r.Others, r.other(s.Number, s.Text) != nil, RouterOption{s.Number, s.Text, s.Lifetimes})
	}
	return r
}

// enlist adds an element to one of a router's lists unless it is listed there, or
// there is no room.
func enlist[T any](to *[]T, listed bool, v T) {
	if !listed && len(*to) < maxListed {
		*to = append(*to, v)
	}
}

// refresh takes over the lifetimes of an RA with these statements, which run down
// in some routers'.
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

// update sets a value that may have been copied: not in place.
func update[T comparable](known **T, v T) {
	if *known == nil || **known != v {
		*known = new(v)
	}
}

// clone returns a copy that stays as it is.
func (r Router) clone() Router {
	r.Addresses = slices.Clone(r.Addresses)
	r.Prefixes, r.RDNSS = slices.Clone(r.Prefixes), slices.Clone(r.RDNSS)
	r.DNSSL, r.Routes = slices.Clone(r.DNSSL), slices.Clone(r.Routes)
	r.NAT64, r.Others = slices.Clone(r.NAT64), slices.Clone(r.Others)
	return r
}

// merge adds what another RA of the router says. A router whose RAs do not agree
// is volatile. What it says when it stops is not what it is.
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

func (r *Router) prefix(p netip.Prefix) *RouterPrefix {
	return one(r.Prefixes, func(known *RouterPrefix) bool { return known.Prefix == p })
}

func (r *Router) dns(a netip.Addr) *RouterDNS {
	return one(r.RDNSS, func(known *RouterDNS) bool { return known.Address == a })
}

func (r *Router) domain(d string) *RouterDomain {
	return one(r.DNSSL, func(known *RouterDomain) bool { return known.Domain == d })
}

func (r *Router) route(p netip.Prefix) *RouterRoute {
	return one(r.Routes, func(known *RouterRoute) bool { return known.Prefix == p })
}

func (r *Router) nat64(p netip.Prefix) *RouterNAT64 {
	return one(r.NAT64, func(known *RouterNAT64) bool { return known.Prefix == p })
}

func (r *Router) other(number uint8, text string) *RouterOption {
	return one(r.Others, func(known *RouterOption) bool { return known.Type == number && known.Text == text })
}

// statements returns what of an RA has no list of its own in Router: other options,
// and what it says a second time of an MTU, prefix or route. A source link-layer
// address is among them only if it is not that of the frame: routers may leave it
// out (RFC 4861, section 4.2).
func statements(e *schemas.Event) []schemas.Statement {
	opt := e.ND.Opt
	all := opt.Statements(nil, listed)
	for i := range opt.SourceLinkLayer {
		if address := opt.SourceLinkLayer[i].Address; address != e.Ethernet.Source {
			all = append(all, schemas.Statement{Number: 1, Text: "address " + address.String()})
		}
	}
	for i := range opt.MTU {
		if i > 0 {
			all = append(all, schemas.Statement{Number: 5, Text: fmt.Sprintf("mtu %d again", opt.MTU[i].MTU)})
		}
	}
	for i := range opt.PrefixInfo {
		if p := &opt.PrefixInfo[i]; prefixAgain(opt, i) {
			text := fmt.Sprintf("prefix %v again, flags %s", prefixOf(p.Prefix, p.PrefixLength), prefixFlagNames(prefixFlags(p)))
			all = append(all, schemas.Statement{Number: 3, Text: text, Lifetimes: []uint64{uint64(p.ValidLifetime), uint64(p.PreferredLifetime)}})
		}
	}
	for i := range opt.RouteInfo {
		if o := &opt.RouteInfo[i]; routeAgain(opt, i) {
			text := fmt.Sprintf("route %v again, preference %s", prefixOf(o.Prefix, o.PrefixLength), o.Preference)
			all = append(all, schemas.Statement{Number: 24, Text: text, Lifetimes: []uint64{uint64(o.Lifetime)}})
		}
	}
	return all
}

// prefixAgain reports whether an RA has the prefix of an option before it, maybe
// with other values: a router may contradict itself. It looks at the first maxListed
// alone, as a hostile one has thousands.
func prefixAgain(opt *schemas.Options, i int) bool {
	return i < maxListed && slices.ContainsFunc(opt.PrefixInfo[:i], func(p schemas.PrefixInfo) bool {
		return p.Prefix == opt.PrefixInfo[i].Prefix && p.PrefixLength == opt.PrefixInfo[i].PrefixLength
	})
}

// routeAgain is prefixAgain for routes.
func routeAgain(opt *schemas.Options, i int) bool {
	return i < maxListed && slices.ContainsFunc(opt.RouteInfo[:i], func(o schemas.RouteInfo) bool {
		return o.Prefix == opt.RouteInfo[i].Prefix && o.PrefixLength == opt.RouteInfo[i].PrefixLength
	})
}

// listed reports whether Router has a list for an option.
func listed(member string) bool {
	switch member {
	case "sourcelinklayer", "prefixinfo", "mtu", "routeinfo", "rdnss", "dnssl", "pref64":
		return true
	}
	return false
}

// one returns the first element that is the one, or nil.
func one[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// differ reports whether a value that is known is another.
func differ[T comparable](known *T, sent T) bool { return known != nil && *known != sent }

// raFlags returns the octet of flags and preference of an RA.
func raFlags(ra *schemas.RA) uint8 {
	return schemas.AllFlags().RA.Encode(ra.Flag) | schemas.EncodePreference(ra.Preference)
}

// prefixFlags returns the octet of flags of a prefix.
func prefixFlags(p *schemas.PrefixInfo) uint8 { return schemas.AllFlags().PrefixInfo.Encode(p.Flag) }

// routeFlags returns the octet with the preference of a route.
func routeFlags(r *schemas.RouteInfo) uint8 {
	return schemas.EncodePreference(r.Preference) | r.Reserved
}

// raFlagNames names the flags in an octet of an RA, without the preference.
func raFlagNames(octet uint8) string { return flagNames(schemas.AllFlags().RA.Names(octet)) }

// prefixFlagNames names the flags in an octet of a prefix.
func prefixFlagNames(octet uint8) string {
	return flagNames(schemas.AllFlags().PrefixInfo.Names(octet))
}

func flagNames(names []string) string { return cmp.Or(strings.Join(names, " "), "none") }

func prefixOf(addr netip.Addr, bits uint8) netip.Prefix {
	return netip.PrefixFrom(addr, int(bits)).Masked()
}
