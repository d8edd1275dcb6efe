package schemas

// Fault is what is wrong with a frame, each fault a member. A frame in order has
// none. The sensor finds them in the frame alone, without knowing the link.
//
// Discarded tells those for which receivers discard the message from those
// that are in a message which has its effect all the same.
type Fault struct {
	// Discarded is for the conditions of RFC 4861, sections 6.1.1, 6.1.2, 7.1.1,
	// 7.1.2 and 8.1, and for what IPv6 itself refuses: receivers believe nothing
	// of the message. RFC 6980 has them ignore fragments too, but not all do: see
	// the field inet6.fragment.
	Discarded bool `json:"discarded,omitempty" doc:"receivers discard the message, so it changes nothing on the link; without it, a message with a fault has its effect"`

	Checksum     bool `json:"checksum,omitempty" doc:"the ICMPv6 checksum is wrong: a broken sender, or a fuzzer; receivers discard the message"`
	Code         bool `json:"code,omitempty" doc:"the ICMPv6 code is not 0; receivers discard the message"`
	Length       bool `json:"length,omitempty" doc:"the packet or the message is cut short; receivers discard it, unless the rest is in another fragment"`
	BadOption    bool `json:"badoption,omitempty" doc:"an option has length 0, runs past the end, or has a size or content that its type does not have: a fuzzer, or an attack on the receiver's parser. Receivers take what is good in the message, unless fault.optionlength"`
	OptionLength bool `json:"optionlength,omitempty" doc:"an option has length 0 or runs past the end; receivers discard the message"`
	Version      bool `json:"version,omitempty" doc:"the version in the IPv6 header is not 6; receivers discard the message"`
	ZeroPayload  bool `json:"zeropayload,omitempty" doc:"the payload length in the IPv6 header is 0 and a hop-by-hop options header follows, as in a jumbogram: Linux takes the packet"`
	HopLimit     bool `json:"hoplimit,omitempty" doc:"the hop limit is not 255: the message was sent from behind a router; receivers discard it"`
	Source       bool `json:"source,omitempty" doc:"source address that the message must not have: an RA or Redirect not from a link-local address, an NA from ::, anything from a multicast or loopback address; receivers discard all but the NA"`
	Target       bool `json:"target,omitempty" doc:"target that the message must not have: multicast, :: or loopback, or in a Redirect neither link-local nor the destination itself; receivers discard it, or have no use for it"`
	Unspecified  bool `json:"unspecified,omitempty" doc:"solicitation from :: with a Source Link-Layer Address option, or an NS from :: not sent to a solicited-node address; receivers discard it"`
	Solicited    bool `json:"solicited,omitempty" doc:"NA to a multicast address with the S flag, which only an answer to one neighbour has; receivers discard it"`

	Destination         bool `json:"destination,omitempty" doc:"destination that the message never has: an RS not to all routers, an RA to a group that is not all nodes, an NA to a group that is neither all nodes nor all routers (RFC 9131), a Redirect to a group, an NS to a unicast address that is not its target"`
	SolicitedNode       bool `json:"solicitednode,omitempty" doc:"NS to a multicast group that is not the solicited-node address of its target, as fake_solicitate6 and scanners send it to make everybody listen"`
	EthernetDestination bool `json:"ethernetdestination,omitempty" doc:"Ethernet destination that does not belong to the IPv6 destination: a unicast packet in a multicast frame, or the group address of another group (RFC 2464)"`
	EthernetMismatch    bool `json:"ethernetmismatch,omitempty" doc:"link-layer address option with another address than the Ethernet source of the frame (NDPMon: ethernet mismatch): the sender speaks for somebody else, or hides"`
	LinkLayer           bool `json:"linklayer,omitempty" doc:"link-layer address option with an address that no station has: all zeros, multicast or broadcast; whoever believes it floods or loses its traffic"`
	EUI64               bool `json:"eui64,omitempty" doc:"source address made from an Ethernet address (modified EUI-64) that is not the frame's Ethernet source: a forged sender, or a station that changed its Ethernet address"`
	EUI64Bit            bool `json:"eui64bit,omitempty" doc:"source address made from the frame's Ethernet source as modified EUI-64, but without inverting the universal/local bit: no system does so, the SI6 toolkit's ns6 and rd6 do"`
	NotAllowed          bool `json:"notallowed,omitempty" doc:"option that this type of message does not have, such as a prefix in an NS"`
	Repeated            bool `json:"repeated,omitempty" doc:"option that a message has only once is in it several times with differing values: receivers disagree which one holds"`
	Override            bool `json:"override,omitempty" doc:"NA with the O flag but without a Target Link-Layer Address option (NDPMon: NA Override flag; RFC 4861, section 7.2.4)"`
	ProxyOverride       bool `json:"proxyoverride,omitempty" doc:"NA with the O flag whose source is not its target (NDPMon: NA Override flag): a proxy or an anycast answer must not override (RFC 4861, sections 7.2.7 and 7.2.8), but some routers answer so for their own addresses"`
	TargetMismatch      bool `json:"targetmismatch,omitempty" doc:"NA from one link-local address for another one (NDPMon: NA LLA mismatch)"`
	Encapsulation       bool `json:"encapsulation,omitempty" doc:"IPv6 in LLC/SNAP (RFC 1042), or behind two VLAN tags of which one is only a priority (identifier 0): a way to get past the filters of switches (CVE-2021-27853)"`

	Prefix           bool `json:"prefix,omitempty" doc:"RA with a prefix that cannot be: link-local or multicast, or with bits set behind its length and no R flag"`
	PrefixLength     bool `json:"prefixlength,omitempty" doc:"RA with a prefix for autoconfiguration (A flag) that is not 64 bits long: hosts ignore it"`
	PrefixLifetime   bool `json:"prefixlifetime,omitempty" doc:"RA with a prefix whose preferred lifetime is longer than its valid lifetime (NDPMon: wrong RA prefix option lifetimes); hosts ignore it"`
	Preference       bool `json:"preference,omitempty" doc:"RA or route with the reserved preference, or a preference in an RA with lifetime 0 (RFC 4191, section 2.2); radvd does the latter when it stops"`
	ReachableTimer   bool `json:"reachabletimer,omitempty" doc:"RA with a reachable time of more than an hour, which no router may send (RFC 4861, section 6.2.1): the SI6 toolkit's ra6"`
	MTU              bool `json:"mtu,omitempty" doc:"RA with an MTU below 1280, the least that IPv6 works with; hosts ignore it"`
	DNS              bool `json:"dns,omitempty" doc:"RA with a DNS server at a multicast, loopback or unspecified address"`
	DNSName          bool `json:"dnsname,omitempty" doc:"domain name with a character that no host name has, such as a space, a line feed or one that means something to a shell (CVE-2025-14558): in a DNS search list, an encrypted DNS server or a provisioning domain"`
	URI              bool `json:"uri,omitempty" doc:"captive portal with a character that no URI has (RFC 3986)"`
	Route            bool `json:"route,omitempty" doc:"RA with a route to a link-local or multicast prefix"`
	RedirectedHeader bool `json:"redirectedheader,omitempty" doc:"Redirect whose Redirected Header option holds another packet than one from its receiver to its destination: whoever sent it did not forward that packet"`
}

// Discard reports whether receivers discard the message, so that it changes
// nothing on the link. A nil Fault is that of a message in order.
func (f *Fault) Discard() bool { return f != nil && f.Discarded }
