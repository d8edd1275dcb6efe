package schemas

// Fault lists the faults of a frame. The sensor finds them in the frame alone,
// without knowledge of the link. Receivers discard a message with some of them; a
// message with others has its effect.
type Fault struct {
	// Discarded is true if a condition of RFC 4861, sections 6.1.1, 6.1.2, 7.1.1,
	// 7.1.2 or 8.1, or of IPv6 itself does not hold. RFC 6980 requires receivers to
	// ignore fragments too, but not all do: see the field inet6.fragment.
	Discarded bool `json:"discarded,omitempty" doc:"receivers discard the message, so it changes nothing on the link; without this, a message with a fault has its effect"`

	Checksum     bool `json:"checksum,omitempty" doc:"the ICMPv6 checksum is wrong: a broken sender, or a fuzzer; receivers discard the message"`
	Code         bool `json:"code,omitempty" doc:"the ICMPv6 code is not 0; receivers discard the message"`
	Length       bool `json:"length,omitempty" doc:"the packet or the message is too short; receivers discard it, unless the rest is in another fragment"`
	BadOption    bool `json:"badoption,omitempty" doc:"an option has length 0, runs past the end, or has a size or content that is wrong for its type: a fuzzer, or an attack on the parser of the receiver. Receivers use the rest of the message, unless fault.optionlength"`
	OptionLength bool `json:"optionlength,omitempty" doc:"an option has length 0 or runs past the end; receivers discard the message"`
	Version      bool `json:"version,omitempty" doc:"the version in the IPv6 header is not 6; receivers discard the message"`
	ZeroPayload  bool `json:"zeropayload,omitempty" doc:"the payload length in the IPv6 header is 0 and a hop-by-hop options header follows, as in a jumbogram: Linux accepts the packet"`
	HopLimit     bool `json:"hoplimit,omitempty" doc:"the hop limit is not 255: the message was sent from behind a router; receivers discard it"`
	Source       bool `json:"source,omitempty" doc:"source address that the message must not have: an RA or Redirect not from a link-local address, an NA from ::, any message from a multicast or loopback address; receivers discard all except the NA"`
	Target       bool `json:"target,omitempty" doc:"target that the message must not have: multicast, :: or loopback, or in a Redirect neither link-local nor the destination itself; receivers discard or ignore it"`
	Unspecified  bool `json:"unspecified,omitempty" doc:"solicitation from :: with a Source Link-Layer Address option, or an NS from :: not sent to a solicited-node address; receivers discard it"`
	Solicited    bool `json:"solicited,omitempty" doc:"NA to a multicast address with the S flag, which only a unicast answer may have; receivers discard it"`

	Destination         bool `json:"destination,omitempty" doc:"destination that is wrong for the message: an RS not to all routers, an RA to a group that is not all nodes, an NA to a group that is neither all nodes nor all routers (RFC 9131), a Redirect to a group, an NS to a unicast address that is not its target"`
	SolicitedNode       bool `json:"solicitednode,omitempty" doc:"NS to a multicast group that is not the solicited-node address of its target, as fake_solicitate6 and scanners send it to reach all hosts"`
	EthernetDestination bool `json:"ethernetdestination,omitempty" doc:"Ethernet destination that does not match the IPv6 destination: a unicast packet in a multicast frame, or the address of another group (RFC 2464)"`
	EthernetMismatch    bool `json:"ethernetmismatch,omitempty" doc:"link-layer address option with another address than the Ethernet source of the frame (NDPMon: ethernet mismatch): the sender speaks for another station, or hides"`
	LinkLayer           bool `json:"linklayer,omitempty" doc:"link-layer address option with an address that no station has: all zeros, multicast or broadcast; a receiver that uses it floods or loses its traffic"`
	EUI64               bool `json:"eui64,omitempty" doc:"source address with the modified EUI-64 of an Ethernet address that is not the Ethernet source: a forged sender, or a station that changed its Ethernet address"`
	EUI64Bit            bool `json:"eui64bit,omitempty" doc:"source address with the EUI-64 of the Ethernet source, but without the inverted universal/local bit: no host does this, but ns6 and rd6 of the SI6 toolkit do"`
	NotAllowed          bool `json:"notallowed,omitempty" doc:"option that is not allowed in this type of message, such as a prefix in an NS"`
	Repeated            bool `json:"repeated,omitempty" doc:"option that is allowed only once occurs several times with different values: receivers disagree which one to use"`
	Override            bool `json:"override,omitempty" doc:"NA with the O flag but without a Target Link-Layer Address option (NDPMon: NA Override flag; RFC 4861, section 7.2.4)"`
	ProxyOverride       bool `json:"proxyoverride,omitempty" doc:"NA with the O flag whose source is not its target (NDPMon: NA Override flag): a proxy or an anycast host must not set it (RFC 4861, sections 7.2.7 and 7.2.8), but some routers do for their own addresses"`
	TargetMismatch      bool `json:"targetmismatch,omitempty" doc:"NA from one link-local address for another one (NDPMon: NA LLA mismatch)"`
	Encapsulation       bool `json:"encapsulation,omitempty" doc:"IPv6 in LLC/SNAP (RFC 1042), or after two VLAN tags one of which is a priority tag (identifier 0): this evades the filters of switches (CVE-2021-27853)"`

	Prefix           bool `json:"prefix,omitempty" doc:"RA with an invalid prefix: link-local or multicast, or with bits set after its length and without the R flag"`
	PrefixLength     bool `json:"prefixlength,omitempty" doc:"RA with a prefix for autoconfiguration (A flag) that is not 64 bits long: hosts ignore it"`
	PrefixLifetime   bool `json:"prefixlifetime,omitempty" doc:"RA with a prefix whose preferred lifetime is longer than its valid lifetime (NDPMon: wrong RA prefix option lifetimes); hosts ignore it"`
	Preference       bool `json:"preference,omitempty" doc:"RA or route with the reserved preference, or a preference in an RA with lifetime 0 (RFC 4191, section 2.2), as radvd sends it when it stops"`
	ReachableTimer   bool `json:"reachabletimer,omitempty" doc:"RA with a reachable time of more than an hour, which is not allowed (RFC 4861, section 6.2.1): ra6 of the SI6 toolkit"`
	MTU              bool `json:"mtu,omitempty" doc:"RA with an MTU below 1280, the minimum of IPv6; hosts ignore it"`
	DNS              bool `json:"dns,omitempty" doc:"RA with a DNS server at a multicast, loopback or unspecified address"`
	DNSName          bool `json:"dnsname,omitempty" doc:"domain name with a character that is not allowed in host names, such as a space, a line feed or a shell metacharacter (CVE-2025-14558), in a DNS search list, an encrypted DNS server or a provisioning domain"`
	URI              bool `json:"uri,omitempty" doc:"captive portal with a character that is not allowed in URIs (RFC 3986)"`
	Route            bool `json:"route,omitempty" doc:"RA with a route to a link-local or multicast prefix"`
	RedirectedHeader bool `json:"redirectedheader,omitempty" doc:"Redirect whose Redirected Header option does not contain a packet from its receiver to its destination: the sender did not forward such a packet"`
}

// Discard reports whether receivers discard the message, so that it changes
// nothing on the link. A nil Fault means no faults.
func (f *Fault) Discard() bool { return f != nil && f.Discarded }
