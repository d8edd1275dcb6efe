package schemas

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// The values of the member "type" of the four messages.
const (
	TypeEvent  = "nd.event.v1"
	TypeAlert  = "nd.alert.v1"
	TypeRelay  = "nd.relay.v1"
	TypeResult = "nd.result.v1"
)

// The values of Event.Direction. Frames of a capture file are In.
const (
	In  = "in"  // received by the host
	Out = "out" // sent by the host
)

// Event is one captured frame, decoded: the message nd.event.v1 on
// nd.events.<host>.<interface>.<kind>, and a line of a batch. Members that are not in the frame are
// absent: nil, or the zero value if the member has omitempty.
//
// An event with Lost counts frames that the sensor dropped, one with Sensor or Pinger
// is a heartbeat, and one with Conflict is a pinger's report of an address on two
// links. These describe no frame.
type Event struct {
	Type string `json:"type" enum:"nd.event.v1"`
	// ID is unique. An event that is published again keeps it.
	ID string `json:"id"`
	// Time is when the frame was captured, in UTC.
	Time time.Time `json:"time"`
	// Host and Interface are where the frame was captured, as plain names.
	Host      string `json:"host" doc:"name of the host whose sensor captured the frame" example:"r1"`
	Interface string `json:"interface" doc:"name of the interface that the frame was captured on" example:"eth0"`
	Direction string `json:"direction" doc:"in for a frame that the host received, out for one that it sent (packet type of the kernel)" enum:"in,out" example:"out"`
	Forwarded bool   `json:"forwarded,omitempty" doc:"the host sent the frame for another station: the Ethernet source is not an address of the host, as on a bridge port or with a container or virtual machine behind the interface"`
	Master    bool   `json:"master,omitempty" doc:"the frame was captured on a master interface, whose solicitations are relayed"`
	Proxy     bool   `json:"proxy,omitempty" doc:"the frame was captured on an interface on which the host answers for hosts behind its other interfaces (ndmon --proxy, SENSOR_PROXIES)"`

	Ethernet *Ethernet `json:"ethernet,omitempty"`
	Inet6    *Inet6    `json:"inet6,omitempty"`
	ICMP6    *ICMP6    `json:"icmp6,omitempty"`
	ND       *ND       `json:"nd,omitempty"`

	// Fault is nil for a frame without faults.
	Fault *Fault `json:"fault,omitempty" doc:"the frame has a fault"`
	// Link is set by ruled.
	Link *Link `json:"link,omitempty"`

	Lost     *Lost      `json:"lost,omitempty"`
	Sensor   *Heartbeat `json:"sensor,omitempty"`
	Pinger   *Heartbeat `json:"pinger,omitempty"`
	Conflict *Conflict  `json:"conflict,omitempty" doc:"the event is no frame but a conflict that the pinger found: an address is in use on the event's interface and was also found on another one of the host"`

	// Frame is the captured frame, starting with its Ethernet header.
	Frame []byte `json:"frame,omitempty"`
}

var eventCodec = wire.NewCodec[Event]()

// AppendJSON appends the event as JSON, as encoding/json writes it without HTML
// escaping, but about five times as fast. It does not allocate when b has room.
func (e *Event) AppendJSON(b []byte) []byte { return eventCodec.Append(b, e) }

// ParseJSON reads an event. It requires every member that is not optional,
// refuses a member that comes twice, compares names exactly, and checks
// enumerations and the limits of numbers. It skips unknown members.
//
// It overwrites the event and reuses its memory, so nothing that was read from
// the event before may be used after. It keeps no reference to data.
func (e *Event) ParseJSON(data []byte) error { return eventCodec.Parse(data, e) }

// SetID sets the ID without a copy. The event must not be used after id changes.
func (e *Event) SetID(id []byte) { e.ID = wire.View(id) }

// Ethernet is the Ethernet header with its VLAN tags.
type Ethernet struct {
	Source      MAC `json:"source" doc:"Ethernet source address" ndpmon:"true"`
	Destination MAC `json:"destination" doc:"Ethernet destination address" ndpmon:"true"`
	// SourceMulticast is true if Source has the I/G bit. No station has such an
	// address, so the frame was forged.
	SourceMulticast bool `json:"sourcemulticast,omitempty" doc:"the Ethernet source address is a multicast or broadcast address"`
	// VLAN and InnerVLAN are those of the first and the second tag, from outside;
	// nil without the tag.
	VLAN      *uint16 `json:"vlan,omitempty" doc:"IEEE 802.1Q VLAN identifier of the outermost tag, 0 to 4095" max:"4095" example:"12"`
	InnerVLAN *uint16 `json:"innervlan,omitempty" doc:"IEEE 802.1Q VLAN identifier of the second tag, 0 to 4095, as in IEEE 802.1ad (QinQ)" max:"4095" example:"100"`
}

// Inet6 is the IPv6 header (RFC 8200, section 3) with its extension headers.
type Inet6 struct {
	Source      netip.Addr `json:"source" doc:"IPv6 source address" ndpmon:"true"`
	Destination netip.Addr `json:"destination" doc:"IPv6 destination address" ndpmon:"true"`
	Payload     uint16     `json:"payload" doc:"payload length in the IPv6 header, in bytes" ndpmon:"true" example:"32"`
	NextHeader  uint8      `json:"nextheader" doc:"next header in the IPv6 header; not 58 (ICMPv6) if an extension header follows" ndpmon:"true" example:"58"`
	HopLimit    uint8      `json:"hoplimit" doc:"hop limit; 255 in every valid ND message (RFC 4861)" ndpmon:"true" example:"255"`
	// Extension lists the first 256 extension headers in order.
	Extension []Extension `json:"extension,omitempty" doc:"the packet has IPv6 extension headers"`
	Fragment  *Fragment   `json:"fragment,omitempty" doc:"the packet is a fragment; ND must not be fragmented (RFC 6980)"`
}

// Extension is one IPv6 extension header.
type Extension struct {
	Header uint8 `json:"header" doc:"protocol number of an extension header: 0 hop-by-hop, 43 routing, 44 fragment, 60 destination options" example:"60"`
}

// Fragment is the IPv6 fragment header (RFC 8200, section 4.5).
type Fragment struct {
	ID     uint32 `json:"id" doc:"identification in the fragment header"`
	Offset uint16 `json:"offset" doc:"offset of the fragment, in bytes"`
	More   bool   `json:"more,omitempty" doc:"more fragments follow"`
}

// ICMP6 is the header of the ICMPv6 message (RFC 4443, section 2.1).
type ICMP6 struct {
	Type uint8 `json:"type" doc:"ICMPv6 type: 133 RS, 134 RA, 135 NS, 136 NA, 137 Redirect" ndpmon:"true" example:"135"`
	Code uint8 `json:"code" doc:"ICMPv6 code; 0 in every valid ND message (RFC 4861)" ndpmon:"true" example:"0"`
}

// ND is the Neighbor Discovery message (RFC 4861). At most one of RS, RA, NS,
// NA and RD is set. A malformed message has what could be decoded of it.
type ND struct {
	RS *RS `json:"rs,omitempty" doc:"the message is a Router Solicitation" ndpmon:"true"`
	RA *RA `json:"ra,omitempty" doc:"the message is a Router Advertisement" ndpmon:"true"`
	NS *NS `json:"ns,omitempty" doc:"the message is a Neighbor Solicitation" ndpmon:"true"`
	NA *NA `json:"na,omitempty" doc:"the message is a Neighbor Advertisement" ndpmon:"true"`
	RD *RD `json:"rd,omitempty" doc:"the message is a Redirect" ndpmon:"true"`

	Opt *Options `json:"opt,omitempty"`

	Truncated bool `json:"truncated,omitempty" doc:"the capture has only the beginning of the message; this is not a fault of the sender"`
	// Malformed describes the faults for people. Fault.Discarded reports whether
	// receivers discard the message.
	Malformed string `json:"malformed,omitempty" doc:"the message is cut short, has a bad option, code or checksum, or is a later fragment that may complete a hidden ND message" field:"presence"`
}

// Fault lists the faults of a frame. The sensor finds them in the frame alone, without knowledge of
// the link. Receivers discard a message with some of them; a message with others has its effect.
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

// Link compares an event with what ruled has learned of the link: which addresses
// and stations are new, which bindings changed, and how an RA differs from those
// of the configured or learned routers. ruled sets it before it evaluates rules
// and publishes it in alerts. It refuses an event from a sensor that has it.
type Link struct {
	Configured bool `json:"configured,omitempty" doc:"the configuration lists the routers of this link, so that any other is wrong; without it, routers are learned"`
	// Bogon needs a configured or, if there is none, a learned prefix.
	Bogon       bool `json:"bogon,omitempty" doc:"the source address is outside every prefix of the link (NDPMon: bogon): a forged or misconfigured sender"`
	Unsolicited bool `json:"unsolicited,omitempty" doc:"NA without an NS for its target in the last 10 seconds, and not after duplicate address detection of the sender: it poisons caches, or announces that an address has moved"`

	Unanswered bool `json:"unanswered,omitempty" doc:"NS for an unknown address, after more than 100 such NS without an answer in the last 10 seconds: a scan of the prefix, from the link or, if a router solicits, from outside (RFC 6583)"`
	Flood      bool `json:"flood,omitempty" doc:"the station, or an address of the frame, was first seen in a flood of new ones that still continues: it may be invented"`

	Station *LinkStation `json:"station,omitempty"`
	Claim   []LinkClaim  `json:"claim,omitempty"`
	DAD     *LinkDAD     `json:"dad,omitempty" doc:"the frame answers duplicate address detection: the address that another station tests is in use, or the sender says so (a genuine conflict, or dos-new-ip6)"`
	Router  *LinkRouter  `json:"router,omitempty" doc:"the sender is, or speaks for, a router, and one of the fields below applies"`
	RA      *LinkRA      `json:"ra,omitempty" doc:"the RA of a router of the link differs from its configured or learned parameters"`
}

// LinkStation is the station that sent the frame, by its Ethernet source.
type LinkStation struct {
	New      bool `json:"new,omitempty" doc:"Ethernet source seen on the link for the first time (NDPMon: new station)"`
	Returned bool `json:"returned,omitempty" doc:"station that returns after a silence of at least RULED_SILENCE (NDPMon: new activity)"`
	// Vendor is empty for locally administered addresses.
	Vendor        string `json:"vendor,omitempty" doc:"vendor of the station, by its Ethernet source" example:"Cisco Systems, Inc"`
	UnknownVendor bool   `json:"unknownvendor,omitempty" doc:"globally administered Ethernet source without a known vendor (NDPMon: unknown mac vendor): a forged address, or one newer than the table"`
}

// LinkClaim is one binding of an address to a station that the frame announces,
// if one of its bool fields applies.
type LinkClaim struct {
	Address  netip.Addr `json:"address" doc:"address that the frame binds to a station: the source of the packet, or the target of an NA or Redirect"`
	Ethernet MAC        `json:"ethernet" doc:"Ethernet address that the frame binds it to"`
	Previous *MAC       `json:"previous,omitempty" doc:"Ethernet address of the latest other binding of the address"`

	New       bool `json:"new,omitempty" doc:"address seen on the link for the first time (NDPMon: new IP, new lla)"`
	Early     bool `json:"early,omitempty" doc:"new address of a station that was first seen less than a minute ago: it is just starting"`
	Expected  bool `json:"expected,omitempty" doc:"new address after duplicate address detection by the station, or after a solicitation for it"`
	Settled   bool `json:"settled,omitempty" doc:"contested address that was seen here more than once, and not in a flood of new ones: it is not invented"`
	Own       bool `json:"own,omitempty" doc:"contested address of the host whose sensor captured the frame"`
	Changed   bool `json:"changed,omitempty" doc:"address bound to another station for the first time (NDPMon: changed ethernet address, wrong couple MAC/LLA): neighbour spoofing (parasite6, fake_advertise6), or a station that changed its Ethernet address"`
	FlipFlop  bool `json:"flipflop,omitempty" doc:"address bound again to the station before the latest one (NDPMon: flip flop): spoofing while the owner defends itself, or two stations with one address"`
	Reused    bool `json:"reused,omitempty" doc:"address bound again to a station that had it earlier (NDPMon: reused old ethernet address)"`
	Contested bool `json:"contested,omitempty" doc:"the binding contradicts another one: changed, flipflop or reused"`
	Disputed  bool `json:"disputed,omitempty" doc:"several stations used the address in turn, and each of them was heard within RULED_CLAIM_TIMEOUT"`
	Adopted   bool `json:"adopted,omitempty" doc:"the station that had the address was silent for RULED_CLAIM_TIMEOUT, so the new binding is now accepted"`
	Spoofed   bool `json:"spoofed,omitempty" doc:"contested address bound to a station that has other addresses here (NDPMon: spoofed addresses), so it is not merely a station with a new Ethernet address"`
	Serial    bool `json:"serial,omitempty" doc:"the station announced addresses of two or more others within 10 minutes: parasite6, or a proxy"`
	Router    bool `json:"router,omitempty" doc:"contested address of a configured or learned router of the link: its holder can read all traffic that leaves the link"`
	Unasked   bool `json:"unasked,omitempty" doc:"contested address in an unsolicited NA with the O flag, which overwrites cached bindings (fake_advertise6)"`
}

// LinkDAD is set in a frame that answers duplicate address detection (RFC 4862,
// section 5.4): a station tested an address within the last minute and has not
// used it since, and the frame binds the address to another station.
type LinkDAD struct {
	Target   netip.Addr `json:"target" doc:"address of the frame that another station tests for uniqueness"`
	Prober   MAC        `json:"prober" doc:"station that tests it"`
	Stranger bool       `json:"stranger,omitempty" doc:"the sender was never seen with that address, unlike the owner in a genuine conflict"`
	Again    bool       `json:"again,omitempty" doc:"stranger for the second time within 10 minutes, with the same sender or the same tested station (NDPMon: dad dos): dos-new-ip6"`
}

// LinkRouter compares the sender of an RA, Redirect or NA with the configured or
// learned routers of the link.
type LinkRouter struct {
	New          bool `json:"new,omitempty" doc:"first router heard on a link without configured routers: it is learned"`
	Next         bool `json:"next,omitempty" doc:"another router, heard after all known routers were silent for their lifetimes: it is learned as well"`
	Unknown      bool `json:"unknown,omitempty" doc:"RA or Redirect from a router that is not one of the link's (NDPMon: wrong ipv6 router, wrong router redirect): a rogue router"`
	Stub         bool `json:"stub,omitempty" doc:"unknown router that only connects a stub network, such as a Thread border router: router lifetime 0, SNAC flag, and only unique local prefixes and routes (fc00::/7)"`
	Default      bool `json:"default,omitempty" doc:"unknown router that announces itself as a default router: its router lifetime is not 0, or it has a route to ::/0 or to most of the Internet (RFC 4191), or such an on-link prefix"`
	Rogue        bool `json:"rogue,omitempty" doc:"unknown router that can take over traffic: it announces itself as a default router, DNS servers, search domains, or a prefix of another router; on a link with configured routers, any unknown router that is not a stub"`
	WrongAddress bool `json:"wrongaddress,omitempty" doc:"RA or Redirect from a router's Ethernet address but not from its link-local address (NDPMon: wrong router ip, wrong router redirect ip)"`
	WrongMAC     bool `json:"wrongmac,omitempty" doc:"RA or Redirect from a router's link-local address but not from its Ethernet address (NDPMon: wrong router mac, wrong router redirect mac): another station impersonates the router (kill_router6)"`
	WrongCouple  bool `json:"wrongcouple,omitempty" doc:"RA or Redirect with the Ethernet address of one router and the link-local address of another (NDPMon: wrong couple IP/MAC)"`
	Wrong        bool `json:"wrong,omitempty" doc:"wrongaddress, wrongmac or wrongcouple: the sender has only one of the two addresses of a router of the link"`
	Target       bool `json:"target,omitempty" doc:"Redirect to a next hop that is not a router of the link: redir6, rd6"`
	OffLink      bool `json:"offlink,omitempty" doc:"Redirect that declares an address outside every prefix of the link to be on-link: any station can then receive its traffic"`
	Flag         bool `json:"flag,omitempty" doc:"NA with the R flag from a station that is not a router of the link (NDPMon: NA router flag)"`
	NoFlag       bool `json:"noflag,omitempty" doc:"NA without the R flag for the link-local address of a router: hosts stop using it as a router (RFC 4861, section 7.2.5)"`
}

// LinkRA lists how an RA differs from the configured or, if there are none, from
// the learned parameters of its router.
type LinkRA struct {
	// Change has at most 8 elements. Some differences have no field below.
	Change          []string `json:"change,omitempty" doc:"a difference in words, with the former and the present value" example:"captive portal was uri https://a.example, is uri https://b.example"`
	Stops           bool     `json:"stops,omitempty" doc:"the RA has router lifetime 0, but the router was a default router before: hosts stop using it as one"`
	Unconfigured    bool     `json:"unconfigured,omitempty" doc:"the RA of a configured router differs from its learned parameters in one that is not configured"`
	CurHopLimit     bool     `json:"curhoplimit,omitempty" doc:"the cur hop limit differs"`
	Flags           bool     `json:"flags,omitempty" doc:"the flags differ"`
	Preference      bool     `json:"preference,omitempty" doc:"the preference differs"`
	Lifetime        bool     `json:"lifetime,omitempty" doc:"the router lifetime differs"`
	ReachableTimer  bool     `json:"reachabletimer,omitempty" doc:"the reachable time differs"`
	RetransTimer    bool     `json:"retranstimer,omitempty" doc:"the retransmission timer differs"`
	Params          bool     `json:"params,omitempty" doc:"one of these differs: curhoplimit, flags, preference, lifetime (unless it is 0, as when the router stops), reachabletimer, retranstimer (NDPMon: wrong RA params)"`
	MTU             bool     `json:"mtu,omitempty" doc:"the MTU differs (NDPMon: wrong RA mtu option)"`
	Prefix          bool     `json:"prefix,omitempty" doc:"a prefix is not one of the router (NDPMon: wrong prefix)"`
	PrefixParams    bool     `json:"prefixparams,omitempty" doc:"a prefix of the router has different flags or lifetimes (NDPMon: wrong RA prefix option params)"`
	RDNSS           bool     `json:"rdnss,omitempty" doc:"a DNS server, or its lifetime, is not one of the router (NDPMon: wrong RA RDNSS option)"`
	DNSSL           bool     `json:"dnssl,omitempty" doc:"a search domain, or its lifetime, is not one of the router (NDPMon: wrong RA DNSSL option)"`
	PREF64          bool     `json:"pref64,omitempty" doc:"a NAT64 prefix, or its lifetime, differs from those learned (it cannot be configured)"`
	Option          bool     `json:"option,omitempty" doc:"another option, or its content, differs from those learned (it cannot be configured), such as a captive portal (RFC 8910) or an encrypted DNS server (RFC 9463)"`
	Route           bool     `json:"route,omitempty" doc:"a route is not one of the router (NDPMon: wrong RA Route Info option)"`
	RouteLifetime   bool     `json:"routelifetime,omitempty" doc:"a route of the router has a different lifetime (NDPMon: wrong RA Route Info lifetime)"`
	RoutePreference bool     `json:"routepreference,omitempty" doc:"a route of the router has a different preference (NDPMon: wrong RA Route Info preference)"`
}

// Lost counts frames that a sensor dropped, so that a gap in the events is visible.
type Lost struct {
	// Kernel counts frames that the kernel dropped because the sensor did not read them in time.
	Kernel uint64 `json:"kernel"`
	// Buffer counts events for which the sensor's buffer had no room, as after a
	// long outage of NATS.
	Buffer uint64 `json:"buffer"`
	// Since and Until bound the time in which they were dropped.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// Heartbeat says that a sensor or a pinger runs. ruled alerts when it is missing. It
// belongs to no interface: Event.Interface is empty.
type Heartbeat struct {
	// Started is when the sensor began to capture, or the pinger to receive commands.
	Started time.Time `json:"started"`
	// Interval is the time between two heartbeats, in seconds.
	Interval uint32 `json:"interval" max:"3600"`
	// Before is when the former sensor of the host last captured for certain, if
	// that ended without notice. Only the first heartbeat of a sensor has it.
	Before *time.Time `json:"before,omitempty"`
	// Stopped is true in the last heartbeat before a normal exit.
	Stopped bool `json:"stopped,omitempty"`
}

// Conflict reports that an address answered on two links of one host. It stays in use on
// Event.Interface: a pinger keeps its host route there.
type Conflict struct {
	Address  netip.Addr `json:"address" doc:"address that is on two links"`
	Ethernet *MAC       `json:"ethernet,omitempty" doc:"station that has the address on the event's interface, where it stays in use; absent on a link without Ethernet"`
	Master   bool       `json:"master,omitempty" doc:"the interface where the address stays in use is a master"`
	// OtherInterface is a plain name.
	OtherInterface string `json:"otherinterface" doc:"name of the other interface that the address was found on" example:"eth1"`
	OtherEthernet  *MAC   `json:"otherethernet,omitempty" doc:"station that has the address there, or that wanted to take it; absent on a link without Ethernet"`
	DAD            bool   `json:"dad,omitempty" doc:"the station on the other interface tested the address for uniqueness (RFC 4862, section 5.4), and ndmon denied it because the address is in use (ndmon --dad)"`
}

// Kind is the last token of an event's subject.
type Kind string

// The kinds of events. KindOther is for frames that may be ND but show no ICMPv6
// type, and for events that describe no frame (Event.Lost, Event.Sensor,
// Event.Pinger and Event.Conflict).
const (
	KindRS    Kind = "rs"
	KindRA    Kind = "ra"
	KindNS    Kind = "ns"
	KindNA    Kind = "na"
	KindRD    Kind = "rd"
	KindOther Kind = "other"
)

// Kind returns the event's kind by its ICMPv6 type.
func (e *Event) Kind() Kind {
	if e.ICMP6 == nil {
		return KindOther
	}
	switch e.ICMP6.Type {
	case 133:
		return KindRS
	case 134:
		return KindRA
	case 135:
		return KindNS
	case 136:
		return KindNA
	case 137:
		return KindRD
	}
	return KindOther
}
