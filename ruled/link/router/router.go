// Package router has the routers of a link: what is configured or was learned of them, and
// how what a frame says differs from that.
package router

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const second = int64(time.Second)

// Link is the routers of a link, or of every link.
type Link struct {
	// Host and Interface name the link; an empty one stands for all.
	Host      string `json:"host,omitempty"`
	Interface string `json:"interface,omitempty"`
	// VLAN narrows it to frames with that tag, or without one if it is 0; nil is
	// with any or none.
	VLAN    *uint16  `json:"vlan,omitempty"`
	Routers []Router `json:"routers"`
}

// Router is what a router of a link is and sends, configured or learned. What is
// nil is not compared. The parameters, and the lifetimes and flags of prefixes,
// are compared only unless Volatile.
type Router struct {
	MAC       schemas.MAC `json:"ethernet"`
	LinkLocal netip.Addr  `json:"address"`
	// Addresses are its others on the link.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Volatile  bool         `json:"volatile,omitempty"`

	CurHopLimit *uint8 `json:"curhoplimit,omitempty"`
	// Flags is the byte of flags and preference (RFC 4861, section 4.2; RFC
	// 4191, section 2.2).
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
	// Text is what it says, and Lifetimes are the lifetimes in it; see
	// schemas.Statement.
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
	// Flags is the byte with the preference (RFC 4191, section 2.3): high 8,
	// medium 0, low 24.
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

// one returns the first element that is the one, or nil.
func one[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}
