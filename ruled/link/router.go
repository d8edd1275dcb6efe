package link

import (
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
)

// Routers is the routers of a link, or of every link.
type Routers struct {
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

	Prefixes []RouterPrefix `json:"prefixes,omitempty"`
	RDNSS    []RouterDNS    `json:"rdnss,omitempty"`
	DNSSL    []RouterDomain `json:"dnssl,omitempty"`
	Routes   []RouterRoute  `json:"routes,omitempty"`
	// NAT64 (RFC 8781) and Others, the options that have no list here, have no place
	// in NDPMon's configuration. They are learned of configured routers too.
	NAT64  []RouterNAT64  `json:"nat64,omitempty"`
	Others []RouterOption `json:"others,omitempty"`
}

// RouterNAT64 is a NAT64 prefix that a router announces.
type RouterNAT64 struct {
	Prefix netip.Prefix `json:"prefix"`
	// Lifetime is in seconds.
	Lifetime *uint16 `json:"lifetime,omitempty"`
}

// RouterOption is an option of a router's RAs.
type RouterOption struct {
	Type uint8 `json:"type"`
	// Text is what it says, and Lifetimes are the lifetimes in it; see
	// schemas.Statement.
	Text      string   `json:"text"`
	Lifetimes []uint64 `json:"lifetimes,omitempty"`
}

// RouterPrefix is a prefix that a router announces.
type RouterPrefix struct {
	Prefix netip.Prefix `json:"prefix"`
	// Flags is the byte of flags (RFC 4861, section 4.6.2): L 128, A 64, R 32.
	Flags *uint8 `json:"flags,omitempty"`
	// Valid and Preferred are in seconds; 4294967295 is infinity.
	Valid     *uint32 `json:"validlifetime,omitempty"`
	Preferred *uint32 `json:"preferredlifetime,omitempty"`
}

// RouterDNS is a DNS server that a router announces.
type RouterDNS struct {
	Address netip.Addr `json:"address"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}

// RouterDomain is a search domain that a router announces.
type RouterDomain struct {
	Domain string `json:"domain"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}

// RouterRoute is a route that a router announces.
type RouterRoute struct {
	Prefix netip.Prefix `json:"prefix"`
	// Flags is the byte with the preference (RFC 4191, section 2.3): high 8,
	// medium 0, low 24.
	Flags *uint8 `json:"flags,omitempty"`
	// Lifetime is in seconds.
	Lifetime *uint32 `json:"lifetime,omitempty"`
}
