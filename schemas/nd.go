package schemas

import "net/netip"

// RS is a Router Solicitation (RFC 4861, section 4.1).
type RS struct{}

// RA is a Router Advertisement (RFC 4861, section 4.2).
type RA struct {
	CurHopLimit    uint8   `json:"curhoplimit" doc:"Cur Hop Limit of the RA; 0 is unspecified" ndpmon:"true" example:"64"`
	Flag           RAFlags `json:"flag"`
	Preference     string  `json:"preference" doc:"default router preference of the RA (RFC 4191)" enum:"low,medium,high,reserved" example:"medium"`
	Lifetime       uint16  `json:"lifetime" doc:"router lifetime of the RA, in seconds; 0 means that it is not a default router" ndpmon:"true" lifetime:"true" example:"1800"`
	ReachableTimer uint32  `json:"reachabletimer" doc:"reachable time of the RA, in milliseconds; 0 is unspecified" ndpmon:"true" example:"30000"`
	RetransTimer   uint32  `json:"retranstimer" doc:"retransmission timer of the RA, in milliseconds; 0 is unspecified" ndpmon:"true" example:"1000"`
}

// RAFlags are the flags of a Router Advertisement (RFC 5175).
type RAFlags struct {
	Managed   bool `json:"managed,omitempty" bit:"0x80,M" doc:"M flag of the RA: addresses by DHCPv6" ndpmon:"true"`
	Other     bool `json:"other,omitempty" bit:"0x40,O" doc:"O flag of the RA: other configuration by DHCPv6" ndpmon:"true"`
	HomeAgent bool `json:"homeagent,omitempty" bit:"0x20,H" doc:"H flag of the RA: the router is a Mobile IPv6 home agent (RFC 6275)" ndpmon:"true"`
	Proxy     bool `json:"proxy,omitempty" bit:"0x04,P" doc:"P flag of the RA: a proxy forwarded it (RFC 4389)"`
	SNAC      bool `json:"snac,omitempty" bit:"0x02,SNAC" doc:"SNAC router flag of the RA: a stub router, such as a Thread border router (draft-ietf-6man-snac-router-ra-flag)"`
	Reserved  bool `json:"reserved,omitempty" bit:"0x01,reserved" doc:"the last bit of the flags of the RA, which is reserved, is set"`
}

// NS is a Neighbor Solicitation (RFC 4861, section 4.3).
type NS struct {
	TargetAddress netip.Addr `json:"targetaddress" doc:"target address of the NS" ndpmon:"true"`
}

// NA is a Neighbor Advertisement (RFC 4861, section 4.4).
type NA struct {
	Flag          NAFlags    `json:"flag"`
	TargetAddress netip.Addr `json:"targetaddress" doc:"target address of the NA" ndpmon:"true"`
}

// NAFlags are the flags of a Neighbor Advertisement.
type NAFlags struct {
	Router    bool `json:"router,omitempty" bit:"0x80,R" doc:"R flag of the NA: the sender is a router" ndpmon:"true"`
	Solicited bool `json:"solicited,omitempty" bit:"0x40,S" doc:"S flag of the NA: it answers a solicitation" ndpmon:"true"`
	Override  bool `json:"override,omitempty" bit:"0x20,O" doc:"O flag of the NA: it replaces a cached link-layer address" ndpmon:"true"`
}

// RD is a Redirect (RFC 4861, section 4.5).
type RD struct {
	TargetAddress      netip.Addr `json:"targetaddress" doc:"target address of the Redirect: the better first hop" ndpmon:"true"`
	DestinationAddress netip.Addr `json:"destinationaddress" doc:"destination address of the Redirect: traffic to it is redirected" ndpmon:"true"`
}
