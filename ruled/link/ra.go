package link

import (
	"net/netip"
	"slices"

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
	for i := range opt.MTU {
		mtu = opt.MTU[i].MTU
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
		enlist(&r.Routes, r.route(prefix) != nil, RouterRoute{prefix, new(preferenceBits(o.Preference)), new(o.Lifetime)})
	}
	for i := range opt.PREF64 {
		prefix := prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength)
		enlist(&r.PREF64, slices.Contains(r.PREF64, prefix), prefix)
	}
	for i := range opt.Unknown {
		if number := uint16(opt.Unknown[i].Type); !slices.Contains(r.Options, number) {
			r.Options = append(r.Options, number)
		}
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

// refresh takes over the lifetimes of an RA, which run down in some routers'.
func (r *Router) refresh(e *schemas.Event) {
	if e.ND.RA.Lifetime > 0 {
		update(&r.Lifetime, e.ND.RA.Lifetime)
	}
	opt := e.ND.Opt
	if opt == nil {
		return
	}
	for i := range opt.PrefixInfo {
		p := &opt.PrefixInfo[i]
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
		if known := r.route(prefixOf(opt.RouteInfo[i].Prefix, opt.RouteInfo[i].PrefixLength)); known != nil {
			update(&known.Lifetime, opt.RouteInfo[i].Lifetime)
		}
	}
}

// update sets a value that may have been copied: not in place.
func update[T comparable](known **T, v T) {
	if *known == nil || **known != v {
		*known = &v
	}
}

// clone returns a copy that stays as it is.
func (r Router) clone() Router {
	r.Addresses = slices.Clone(r.Addresses)
	r.Prefixes, r.RDNSS = slices.Clone(r.Prefixes), slices.Clone(r.RDNSS)
	r.DNSSL, r.Routes = slices.Clone(r.DNSSL), slices.Clone(r.Routes)
	r.PREF64, r.Options = slices.Clone(r.PREF64), slices.Clone(r.Options)
	return r
}

// merge adds what another RA of the router says. A router whose RAs do not agree
// is volatile. What it says when it stops is not what it is.
func (r *Router) merge(other Router, e *schemas.Event) {
	if *other.Lifetime == 0 && *r.Lifetime != 0 {
		return
	}
	stopped := *r.Lifetime == 0
	if d := r.differs(e, exactly); !stopped && (d.Params || d.MTU || d.PrefixParams) {
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
	for _, p := range other.PREF64 {
		enlist(&r.PREF64, slices.Contains(r.PREF64, p), p)
	}
	for _, o := range other.Options {
		if !slices.Contains(r.Options, o) {
			r.Options = append(r.Options, o)
		}
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

// one returns the first element that is the one, or nil.
func one[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// exactly has lifetimes compared with those that are configured.
const exactly = -1

// slack is how much more than the time that has passed a lifetime may have run
// down, in seconds.
const slack = 10

// jumps reports whether a lifetime of which so many seconds should be left is
// taken back, or given for ever.
func jumps(left, sent int64) bool {
	const infinity = 1<<32 - 1
	switch sent {
	case 0:
		return left > 1
	case infinity:
		return left < infinity-infinity/2
	}
	return sent < left-slack
}

// differs says how an RA differs from what is known of its router. What was
// learned was heard some nanoseconds before: lifetimes may have grown since, or
// run down with the time, as those of a delegated prefix do, but not jumped.
func (r *Router) differs(e *schemas.Event, since int64) (d schemas.LinkRA) {
	ra, opt := e.ND.RA, e.ND.Opt
	// A router that stops takes back what it has said (RFC 4861, section 6.2.5).
	stops := ra.Lifetime == 0
	configured := since == exactly
	lifetime := func(known *uint32, sent uint32) bool {
		if configured {
			return differ(known, sent) && !(stops && sent == 0)
		}
		return !stops && known != nil && jumps(int64(*known)-since/second, int64(sent))
	}
	if !r.Volatile {
		flags := raFlags(ra)
		d.CurHopLimit = differ(r.CurHopLimit, ra.CurHopLimit)
		d.Flags = r.Flags != nil && (*r.Flags^flags)&^preferenceMask&decodedFlags != 0
		d.Preference = r.Flags != nil && (*r.Flags^flags)&preferenceMask != 0
		if configured {
			d.Lifetime = differ(r.Lifetime, ra.Lifetime)
		} else if r.Lifetime != nil {
			d.Lifetime = lifetime(new(uint32(*r.Lifetime)), uint32(ra.Lifetime))
		}
		d.ReachableTimer = differ(r.ReachableTimer, ra.ReachableTimer)
		d.RetransTimer = differ(r.RetransTimer, ra.RetransTimer)
		d.Params = d.CurHopLimit || d.Flags || d.Preference || d.Lifetime && !stops || d.ReachableTimer || d.RetransTimer
	}
	if opt == nil {
		return d
	}
	for i := range opt.MTU {
		d.MTU = d.MTU || !r.Volatile && differ(r.MTU, opt.MTU[i].MTU)
	}
	for i := range opt.PrefixInfo {
		p := &opt.PrefixInfo[i]
		switch known := r.prefix(prefixOf(p.Prefix, p.PrefixLength)); {
		case known == nil:
			d.Prefix = true
		case !r.Volatile && (differ(known.Flags, prefixFlags(p)) || lifetime(known.Valid, p.ValidLifetime) || lifetime(known.Preferred, p.PreferredLifetime)):
			d.PrefixParams = true
		}
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			known := r.dns(a)
			d.RDNSS = d.RDNSS || known == nil || lifetime(known.Lifetime, opt.RDNSS[i].Lifetime)
		}
	}
	for i := range opt.DNSSL {
		for _, name := range opt.DNSSL[i].Domain {
			known := r.domain(name)
			d.DNSSL = d.DNSSL || known == nil || lifetime(known.Lifetime, opt.DNSSL[i].Lifetime)
		}
	}
	for i := range opt.RouteInfo {
		o := &opt.RouteInfo[i]
		known := r.route(prefixOf(o.Prefix, o.PrefixLength))
		if known == nil {
			d.Route = true
			continue
		}
		d.RouteLifetime = d.RouteLifetime || lifetime(known.Lifetime, o.Lifetime)
		d.RoutePreference = d.RoutePreference || differ(known.Flags, preferenceBits(o.Preference))
	}
	if configured {
		return d // of what a configuration does not tell
	}
	for i := range opt.PREF64 {
		d.PREF64 = d.PREF64 || !slices.Contains(r.PREF64, prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength))
	}
	for i := range opt.Unknown {
		d.Option = d.Option || !slices.Contains(r.Options, uint16(opt.Unknown[i].Type))
	}
	return d
}

// differ reports whether a value that is known is another.
func differ[T comparable](known *T, sent T) bool { return known != nil && *known != sent }

// The bits of an RA's flags (RFC 5175; RFC 4191, section 2.2).
const (
	managedFlag    = 0x80
	otherFlag      = 0x40
	homeAgentFlag  = 0x20
	preferenceMask = 0x18
	proxyFlag      = 0x04
	decodedFlags   = managedFlag | otherFlag | homeAgentFlag | preferenceMask | proxyFlag
)

// raFlags returns the byte of flags and preference of an RA.
func raFlags(ra *schemas.RA) uint8 {
	flags := preferenceBits(ra.Preference)
	for _, f := range []struct {
		on  bool
		bit uint8
	}{{ra.Flag.Managed, managedFlag}, {ra.Flag.Other, otherFlag}, {ra.Flag.HomeAgent, homeAgentFlag}, {ra.Flag.Proxy, proxyFlag}} {
		if f.on {
			flags |= f.bit
		}
	}
	return flags
}

// preferenceBits returns a preference as it is sent (RFC 4191, section 2.1).
func preferenceBits(preference string) uint8 {
	switch preference {
	case schemas.PreferenceHigh:
		return 0x08
	case schemas.PreferenceLow:
		return 0x18
	case schemas.PreferenceReserved:
		return 0x10
	}
	return 0
}

// prefixFlags returns the byte of flags of a prefix (RFC 4861, section 4.6.2;
// RFC 6275, section 7.2).
func prefixFlags(p *schemas.PrefixInfo) uint8 {
	var flags uint8
	if p.Flag.OnLink {
		flags |= 0x80
	}
	if p.Flag.Autoconf {
		flags |= 0x40
	}
	if p.Flag.Router {
		flags |= 0x20
	}
	return flags
}

func prefixOf(addr netip.Addr, bits uint8) netip.Prefix {
	return netip.PrefixFrom(addr, int(bits)).Masked()
}
