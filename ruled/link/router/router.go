// Package router has the routers of a link: what is configured or was learned of them, and
// how what a frame says differs from that.
package router

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const second = int64(time.Second)

// Link is the routers of a link, or of every link.
type Link struct {
	// Host and Interface name the link; an empty one stands for all.
	Host      string `json:"host,omitempty"`
	Interface string `json:"interface,omitempty"`
	// VLAN narrows it to frames with that tag, or without one if it is 0; nil is with any or none.
	VLAN    *uint16  `json:"vlan,omitempty"`
	Routers []Router `json:"routers"`
}

// Router describes a router of a link and its advertisements, configured or learned. Nil members are not compared. The
// parameters, and the lifetimes and flags of prefixes, are compared only unless Volatile.
type Router struct {
	MAC       schemas.MAC `json:"ethernet"`
	LinkLocal netip.Addr  `json:"address"`
	// Addresses are its others on the link.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Volatile  bool         `json:"volatile,omitempty"`

	CurHopLimit *uint8 `json:"curhoplimit,omitempty"`
	// Flags is the byte of flags and preference (RFC 4861, section 4.2; RFC 4191, section 2.2).
	Flags *uint8 `json:"flags,omitempty"`
	// Lifetime is in seconds.
	Lifetime *uint16 `json:"lifetime,omitempty"`
	// ReachableTimer and RetransTimer are in milliseconds.
	ReachableTimer *uint32 `json:"reachabletimer,omitempty"`
	RetransTimer   *uint32 `json:"retranstimer,omitempty"`
	// MTU is in bytes; 0 for none in the RA.
	MTU *uint32 `json:"mtu,omitempty"`

	Prefixes []Prefix `json:"prefixes,omitempty"`
	RDNSS    []DNS    `json:"rdnss,omitempty"`
	DNSSL    []Domain `json:"dnssl,omitempty"`
	Routes   []Route  `json:"routes,omitempty"`
	// NAT64 (RFC 8781) and Others, the options that have no list here, have no place
	// in NDPMon's configuration. They are learned of configured routers too.
	NAT64  []NAT64  `json:"nat64,omitempty"`
	Others []Option `json:"others,omitempty"`
}

// NAT64 is a NAT64 prefix that a router announces.
type NAT64 struct {
	Prefix netip.Prefix `json:"prefix"`
	// Lifetime is in seconds.
	Lifetime *uint16 `json:"lifetime,omitempty"`
}

// Option is an option of a router's RAs.
type Option struct {
	Type uint8 `json:"type"`
	// Text is its content without lifetimes, and Lifetimes has those; see schemas.Statement.
	Text      string   `json:"text"`
	Lifetimes []uint64 `json:"lifetimes,omitempty"`
}

// Prefix is a prefix that a router announces.
type Prefix struct {
	Prefix netip.Prefix `json:"prefix"`
	// Flags is the byte of flags (RFC 4861, section 4.6.2): L 128, A 64, R 32.
	Flags *uint8 `json:"flags,omitempty"`
	// Valid and Preferred are in seconds; 4294967295 is infinity.
	Valid     *uint32 `json:"validlifetime,omitempty"`
	Preferred *uint32 `json:"preferredlifetime,omitempty"`
}

// DNS is a DNS server that a router announces.
type DNS struct {
	Address netip.Addr `json:"address"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}

// Domain is a search domain that a router announces.
type Domain struct {
	Domain string `json:"domain"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}

// Route is a route that a router announces.
type Route struct {
	Prefix netip.Prefix `json:"prefix"`
	// Flags is the byte with the preference (RFC 4191, section 2.3): high 8, medium 0, low 24.
	Flags *uint8 `json:"flags,omitempty"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}

// clone returns a copy that stays as it is.
func (r Router) clone() Router {
	r.Addresses = slices.Clone(r.Addresses)
	r.Prefixes, r.RDNSS = slices.Clone(r.Prefixes), slices.Clone(r.RDNSS)
	r.DNSSL, r.Routes = slices.Clone(r.DNSSL), slices.Clone(r.Routes)
	r.NAT64, r.Others = slices.Clone(r.NAT64), slices.Clone(r.Others)
	return r
}

func (r *Router) prefix(p netip.Prefix) *Prefix {
	return one(r.Prefixes, func(known *Prefix) bool { return known.Prefix == p })
}

func (r *Router) dns(a netip.Addr) *DNS {
	return one(r.RDNSS, func(known *DNS) bool { return known.Address == a })
}

func (r *Router) domain(d string) *Domain {
	return one(r.DNSSL, func(known *Domain) bool { return known.Domain == d })
}

func (r *Router) route(p netip.Prefix) *Route {
	return one(r.Routes, func(known *Route) bool { return known.Prefix == p })
}

func (r *Router) nat64(p netip.Prefix) *NAT64 {
	return one(r.NAT64, func(known *NAT64) bool { return known.Prefix == p })
}

func (r *Router) other(number uint8, text string) *Option {
	return one(r.Others, func(known *Option) bool { return known.Type == number && known.Text == text })
}

func one[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// profile returns the router that an RA describes.
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
		enlist(&r.Prefixes, r.prefix(prefix) != nil, Prefix{prefix, new(prefixFlags(p)), new(p.ValidLifetime), new(p.PreferredLifetime)})
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			enlist(&r.RDNSS, r.dns(a) != nil, DNS{a, new(opt.RDNSS[i].Lifetime)})
		}
	}
	for i := range opt.DNSSL {
		for _, d := range opt.DNSSL[i].Domain {
			enlist(&r.DNSSL, r.domain(d) != nil, Domain{d, new(opt.DNSSL[i].Lifetime)})
		}
	}
	for i := range opt.RouteInfo {
		o := &opt.RouteInfo[i]
		prefix := prefixOf(o.Prefix, o.PrefixLength)
		enlist(&r.Routes, r.route(prefix) != nil, Route{prefix, new(routeFlags(o)), new(o.Lifetime)})
	}
	for i := range opt.PREF64 {
		prefix := prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength)
		enlist(&r.NAT64, r.nat64(prefix) != nil, NAT64{prefix, new(opt.PREF64[i].Lifetime)})
	}
	for _, s := range statements(e) {
		enlist(&r.Others, r.other(s.Number, s.Text) != nil, Option{s.Number, s.Text, s.Lifetimes})
	}
	return r
}

// maxListed is how many prefixes, routes and so on of one router are kept.
const maxListed = 128

// enlist adds an element to one of a router's lists, unless it is there already or the list is full.
func enlist[T any](to *[]T, listed bool, v T) {
	if !listed && len(*to) < maxListed {
		*to = append(*to, v)
	}
}

// statements returns what an RA says that has no member of its own in Router: other options, and what it says
// a second time about an MTU, prefix or route. A source link-layer address is among them only if it differs
// from that of the frame: routers may leave it out (RFC 4861, section 4.2).
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

// prefixAgain reports whether an option before this one has the same prefix, perhaps with other values: a router may
// contradict itself. It looks only at the first maxListed options, because a hostile RA has thousands.
func prefixAgain(opt *schemas.Options, i int) bool {
	return i < maxListed && slices.ContainsFunc(opt.PrefixInfo[:i], func(p schemas.PrefixInfo) bool {
		return p.Prefix == opt.PrefixInfo[i].Prefix && p.PrefixLength == opt.PrefixInfo[i].PrefixLength
	})
}

// routeAgain does the same for routes.
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

// differ reports whether a value is known and not the one that was sent.
func differ[T comparable](known *T, sent T) bool { return known != nil && *known != sent }

func raFlags(ra *schemas.RA) uint8 {
	return schemas.AllFlags().RA.Encode(ra.Flag) | schemas.EncodePreference(ra.Preference)
}

func prefixFlags(p *schemas.PrefixInfo) uint8 { return schemas.AllFlags().PrefixInfo.Encode(p.Flag) }

func routeFlags(r *schemas.RouteInfo) uint8 {
	return schemas.EncodePreference(r.Preference) | r.Reserved
}

// raFlagNames names the flags in an octet of an RA, without the preference.
func raFlagNames(octet uint8) string { return flagNames(schemas.AllFlags().RA.Names(octet)) }

func prefixFlagNames(octet uint8) string {
	return flagNames(schemas.AllFlags().PrefixInfo.Names(octet))
}

func flagNames(names []string) string { return cmp.Or(strings.Join(names, " "), "none") }

func prefixOf(addr netip.Addr, bits uint8) netip.Prefix {
	return netip.PrefixFrom(addr, int(bits)).Masked()
}
