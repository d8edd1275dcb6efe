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

// Values of Event.Direction.
const (
	// In is a frame that the host received, or one from a capture file.
	In = "in"
	// Out is a frame that the host sent.
	Out = "out"
)

// Event is one captured frame, decoded: the message nd.event.v1 on
// nd.events.<host>.<interface>.<kind>. Members that were not in the frame are
// absent (nil, or the zero value where the member says omitempty).
//
// An event with Lost set stands for no frame at all but for frames that the
// sensor had to drop, one with Sensor set for the sensor itself.
type Event struct {
	// Type is TypeEvent.
	Type string `json:"type" enum:"nd.event.v1"`
	// ID is unique to the event; an event that is published again keeps it.
	ID string `json:"id"`
	// Time is when the frame was captured, in UTC.
	Time time.Time `json:"time"`
	// Host and Interface say where the frame was captured, as plain names.
	Host      string `json:"host" doc:"name of the host whose sensor captured the frame" example:"r1"`
	Interface string `json:"interface" doc:"name of the interface that the frame was captured on" example:"eth0"`
	// Direction is In or Out.
	Direction string `json:"direction" doc:"in, or out for a frame that the host sent (the kernel's packet type)" enum:"in,out" example:"out"`
	// Forwarded is true for a frame that the host sent in the name of another
	// station; see the doc tag.
	Forwarded bool `json:"forwarded,omitempty" doc:"the host sent the frame for another station: the Ethernet source is none of the host's own addresses, as on a bridge port, or with a container or virtual machine behind the interface"`
	// Master is true on an interface whose solicitations are relayed.
	Master bool `json:"master,omitempty" doc:"the frame was captured on a master interface"`
	// Proxy is true on an interface on which the host answers for hosts behind its
	// other interfaces.
	Proxy bool `json:"proxy,omitempty" doc:"the frame was captured on an interface on which the host answers for hosts behind its other ones (ndmon --proxy, SENSOR_PROXIES)"`

	Ethernet *Ethernet `json:"ethernet,omitempty"`
	Inet6    *Inet6    `json:"inet6,omitempty"`
	ICMP6    *ICMP6    `json:"icmp6,omitempty"`
	ND       *ND       `json:"nd,omitempty"`

	// Fault is nil for a frame in order.
	Fault *Fault `json:"fault,omitempty" doc:"something is wrong with the frame"`
	// Link is ruled's.
	Link *Link `json:"link,omitempty"`

	Lost *Lost `json:"lost,omitempty"`
	// Sensor makes the event a heartbeat.
	Sensor *SensorState `json:"sensor,omitempty"`

	// Frame is the frame as captured, from its Ethernet header on.
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
	// SourceMulticast is true when Source has the I/G bit: no station has such
	// an address, so the frame was forged.
	SourceMulticast bool `json:"sourcemulticast,omitempty" doc:"the Ethernet source address is a multicast or broadcast address"`
	// VLAN is the IEEE 802.1Q VLAN identifier, 0 to 4095, of the outermost tag;
	// nil without a tag.
	VLAN *uint16 `json:"vlan,omitempty" doc:"IEEE 802.1Q VLAN identifier, 0 to 4095, of a tagged frame: that of the outermost tag" max:"4095" example:"12"`
	// InnerVLAN is that of the second tag, counting from outside; nil without one.
	InnerVLAN *uint16 `json:"innervlan,omitempty" doc:"IEEE 802.1Q VLAN identifier, 0 to 4095, of the second tag, as IEEE 802.1ad (QinQ) puts one into another" max:"4095" example:"100"`
}

// Inet6 is the IPv6 header (RFC 8200, section 3) and what follows it before
// ICMPv6.
type Inet6 struct {
	Source      netip.Addr `json:"source" doc:"IPv6 source address" ndpmon:"true"`
	Destination netip.Addr `json:"destination" doc:"IPv6 destination address" ndpmon:"true"`
	Payload     uint16     `json:"payload" doc:"payload length in the IPv6 header, in bytes" ndpmon:"true" example:"32"`
	NextHeader  uint8      `json:"nextheader" doc:"next header in the IPv6 header: not 58 when extension headers come first" ndpmon:"true" example:"58"`
	HopLimit    uint8      `json:"hoplimit" doc:"hop limit; 255 in every valid ND message (RFC 4861)" ndpmon:"true" example:"255"`
	// Extension lists the first 256 extension headers in their order.
	Extension []Extension `json:"extension,omitempty" doc:"the message stands behind IPv6 extension headers"`
	Fragment  *Fragment   `json:"fragment,omitempty" doc:"the frame is a fragment, which ND must never be (RFC 6980)"`
}

// Extension is one IPv6 extension header.
type Extension struct {
	Header uint8 `json:"header" doc:"protocol number of an extension header: 0 hop-by-hop, 43 routing, 44 fragment, 60 destination options" example:"60"`
}

// Fragment is the IPv6 fragment header (RFC 8200, section 4.5).
type Fragment struct {
	ID uint32 `json:"id" doc:"identification in the fragment header"`
	// Offset is in bytes.
	Offset uint16 `json:"offset" doc:"offset of the fragment, in bytes"`
	More   bool   `json:"more,omitempty" doc:"more fragments follow"`
}

// ICMP6 is the head of the ICMPv6 message (RFC 4443, section 2.1).
type ICMP6 struct {
	Type uint8 `json:"type" doc:"ICMPv6 type: 133 RS, 134 RA, 135 NS, 136 NA, 137 Redirect" ndpmon:"true" example:"135"`
	Code uint8 `json:"code" doc:"ICMPv6 code; 0 in every valid ND message (RFC 4861)" ndpmon:"true" example:"0"`
}

// ND is the Neighbor Discovery message (RFC 4861). At most one of RS, RA, NS,
// NA and RD is set; what could be decoded of a malformed message is set too.
type ND struct {
	RS *RS `json:"rs,omitempty" doc:"the message is a Router Solicitation" ndpmon:"true"`
	RA *RA `json:"ra,omitempty" doc:"the message is a Router Advertisement" ndpmon:"true"`
	NS *NS `json:"ns,omitempty" doc:"the message is a Neighbor Solicitation" ndpmon:"true"`
	NA *NA `json:"na,omitempty" doc:"the message is a Neighbor Advertisement" ndpmon:"true"`
	RD *RD `json:"rd,omitempty" doc:"the message is a Redirect" ndpmon:"true"`

	Opt *Options `json:"opt,omitempty"`

	// Truncated is true when only the capture has cut the message short: nothing
	// is known of what is behind.
	Truncated bool `json:"truncated,omitempty" doc:"the capture holds only the beginning of the message; this is no fault of the sender"`
	// Malformed says, for a person, what is wrong with a message;
	// Fault.Discarded tells whether receivers discard it.
	Malformed string `json:"malformed,omitempty" doc:"the frame claims to be ND but is truncated, or has a bad option, code or checksum, or it is a later fragment that may complete a hidden ND message" field:"presence"`
}

// RS is a Router Solicitation (RFC 4861, section 4.1).
type RS struct{}

// RA is a Router Advertisement (RFC 4861, section 4.2).
type RA struct {
	CurHopLimit uint8   `json:"curhoplimit" doc:"Cur Hop Limit of the RA; 0 is unspecified" ndpmon:"true" example:"64"`
	Flag        RAFlags `json:"flag"`
	// Preference is the default router preference (RFC 4191, section 2.2).
	Preference string `json:"preference" doc:"default router preference of the RA (RFC 4191)" enum:"low,medium,high,reserved" example:"medium"`
	// Lifetime is in seconds.
	Lifetime uint16 `json:"lifetime" doc:"router lifetime of the RA, in seconds; 0: not a default router" ndpmon:"true" lifetime:"true" example:"1800"`
	// ReachableTimer is in milliseconds.
	ReachableTimer uint32 `json:"reachabletimer" doc:"reachable time of the RA, in milliseconds; 0 is unspecified" ndpmon:"true" example:"30000"`
	// RetransTimer is in milliseconds.
	RetransTimer uint32 `json:"retranstimer" doc:"retransmission timer of the RA, in milliseconds; 0 is unspecified" ndpmon:"true" example:"1000"`
}

// RAFlags are the flags of a Router Advertisement (RFC 5175).
type RAFlags struct {
	Managed   bool `json:"managed,omitempty" bit:"0x80,M" doc:"M flag of the RA: addresses by DHCPv6" ndpmon:"true"`
	Other     bool `json:"other,omitempty" bit:"0x40,O" doc:"O flag of the RA: other configuration by DHCPv6" ndpmon:"true"`
	HomeAgent bool `json:"homeagent,omitempty" bit:"0x20,H" doc:"H flag of the RA: the router is a Mobile IPv6 home agent (RFC 6275)" ndpmon:"true"`
	Proxy     bool `json:"proxy,omitempty" bit:"0x04,P" doc:"P flag of the RA: it was proxied (RFC 4389)"`
	SNAC      bool `json:"snac,omitempty" bit:"0x02,SNAC" doc:"SNAC router flag of the RA: a stub router, such as a Thread border router (draft-ietf-6man-snac-router-ra-flag)"`
	Reserved  bool `json:"reserved,omitempty" bit:"0x01,reserved" doc:"the last bit of the RA's flags, which is reserved, is set"`
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
	TargetAddress      netip.Addr `json:"targetaddress" doc:"better first hop that the Redirect names" ndpmon:"true"`
	DestinationAddress netip.Addr `json:"destinationaddress" doc:"destination that is redirected" ndpmon:"true"`
}

// Options are the options of the message, each in the order of the frame; the
// list of an option that was not in the frame is empty.
type Options struct {
	SourceLinkLayer  []LinkLayer        `json:"sourcelinklayer,omitempty" doc:"the message has a Source Link-Layer Address option" ndpmon:"true"`
	TargetLinkLayer  []LinkLayer        `json:"targetlinklayer,omitempty" doc:"the message has a Target Link-Layer Address option" ndpmon:"true"`
	PrefixInfo       []PrefixInfo       `json:"prefixinfo,omitempty" doc:"the message has a Prefix Information option" ndpmon:"true"`
	RedirectedHeader []RedirectedHeader `json:"redirectedheader,omitempty" doc:"the message has a Redirected Header option"`
	MTU              []MTU              `json:"mtu,omitempty" doc:"the message has an MTU option" ndpmon:"true"`
	Nonce            []Nonce            `json:"nonce,omitempty" doc:"the message has a Nonce option (RFC 3971)"`
	RouteInfo        []RouteInfo        `json:"routeinfo,omitempty" doc:"the message has a Route Information option (RFC 4191)"`
	RDNSS            []RDNSS            `json:"rdnss,omitempty" doc:"the message has a Recursive DNS Server option (RFC 8106)"`
	DNSSL            []DNSSL            `json:"dnssl,omitempty" doc:"the message has a DNS Search List option (RFC 8106)"`
	PREF64           []PREF64           `json:"pref64,omitempty" doc:"the message has a PREF64 option (RFC 8781)"`

	AdvInterval       []AdvInterval       `json:"advinterval,omitempty" doc:"the message has an Advertisement Interval option (RFC 6275)"`
	HomeAgent         []HomeAgent         `json:"homeagent,omitempty" doc:"the message has a Home Agent Information option (RFC 6275)"`
	CGA               []CGA               `json:"cga,omitempty" doc:"the message has a CGA option (RFC 3971)"`
	RSA               []RSA               `json:"rsa,omitempty" doc:"the message has an RSA Signature option (RFC 3971)"`
	Timestamp         []Timestamp         `json:"timestamp,omitempty" doc:"the message has a Timestamp option (RFC 3971)"`
	TrustAnchor       []TrustAnchor       `json:"trustanchor,omitempty" doc:"the message has a Trust Anchor option (RFC 3971)"`
	Certificate       []Certificate       `json:"certificate,omitempty" doc:"the message has a Certificate option (RFC 3971)"`
	AddressPrefix     []AddressPrefix     `json:"addressprefix,omitempty" doc:"the message has an IP Address/Prefix option (RFC 5568)"`
	NAAck             []NAAck             `json:"naack,omitempty" doc:"the message has a Neighbor Advertisement Acknowledgment option (RFC 5568)"`
	PvD               []PvD               `json:"pvd,omitempty" doc:"the message has a PvD option (RFC 8801): hosts that know provisioning domains read the options in it, others do not"`
	FlagsExtension    []FlagsExtension    `json:"flagsextension,omitempty" doc:"the message has an RA Flags Extension option (RFC 5175)"`
	Registration      []Registration      `json:"registration,omitempty" doc:"the message has an Address Registration option, plain (RFC 6775) or extended (RFC 8505)"`
	Context           []Context           `json:"context,omitempty" doc:"the message has a 6LoWPAN Context option (RFC 6775)"`
	BorderRouter      []BorderRouter      `json:"borderrouter,omitempty" doc:"the message has an Authoritative Border Router option (RFC 6775)"`
	CaptivePortal     []CaptivePortal     `json:"captiveportal,omitempty" doc:"the message has a Captive-Portal option (RFC 8910)"`
	CryptoID          []CryptoID          `json:"cryptoid,omitempty" doc:"the message has a Crypto-ID Parameters option (RFC 8928)"`
	NDPSignature      []NDPSignature      `json:"ndpsignature,omitempty" doc:"the message has an NDP Signature option (RFC 8928)"`
	ResourceDirectory []ResourceDirectory `json:"resourcedirectory,omitempty" doc:"the message has a Resource Directory Address option (RFC 9176)"`
	EncryptedDNS      []EncryptedDNS      `json:"encrypteddns,omitempty" doc:"the message has an Encrypted DNS option (RFC 9463)"`

	Unknown []UnknownOption `json:"unknown,omitempty" doc:"the message has an option that is not decoded"`
}

// LinkLayer is a Source or Target Link-Layer Address option (RFC 4861, section
// 4.6.1).
type LinkLayer struct {
	Address MAC `json:"address" doc:"Ethernet address in the link-layer address option" ndpmon:"true"`
}

// PrefixInfo is a Prefix Information option (RFC 4861, section 4.6.2).
type PrefixInfo struct {
	// Prefix is as it was sent, bits behind PrefixLength included.
	Prefix       netip.Addr      `json:"prefix" doc:"prefix in the Prefix Information option" ndpmon:"true" example:"2001:db8::/32"`
	PrefixLength uint8           `json:"prefixlength" doc:"length of that prefix in bits, 0 to 128" max:"128" example:"64"`
	Flag         PrefixInfoFlags `json:"flag"`
	// ValidLifetime and PreferredLifetime are in seconds; 4294967295 is infinity.
	ValidLifetime     uint32 `json:"validlifetime" doc:"valid lifetime of that prefix, in seconds; 4294967295 is infinity" ndpmon:"true" lifetime:"true" example:"86400"`
	PreferredLifetime uint32 `json:"preferredlifetime" doc:"preferred lifetime of that prefix, in seconds; 4294967295 is infinity" ndpmon:"true" lifetime:"true" example:"14400"`
}

// PrefixInfoFlags are the flags of a Prefix Information option.
type PrefixInfoFlags struct {
	OnLink   bool `json:"onlink,omitempty" bit:"0x80,L" doc:"L flag: the prefix is on link" ndpmon:"true"`
	Autoconf bool `json:"autoconf,omitempty" bit:"0x40,A" doc:"A flag: hosts make addresses from the prefix" ndpmon:"true"`
	Router   bool `json:"router,omitempty" bit:"0x20,R" doc:"R flag: the prefix holds the router's whole address (RFC 6275)"`
	// PDPreferred is the P flag.
	PDPreferred bool `json:"pdpreferred,omitempty" bit:"0x10,P" doc:"P flag: hosts get a prefix of their own by DHCPv6 rather than an address (RFC 9762)"`
	// Reserved are the last four bits.
	Reserved uint8 `json:"reserved,omitempty" bit:"0x0f" doc:"reserved bits of the prefix's flags, 1 to 15" max:"15"`
}

// RedirectedHeader is a Redirected Header option (RFC 4861, section 4.6.3): the
// start of the packet that caused the Redirect.
type RedirectedHeader struct {
	Source      netip.Addr `json:"source" doc:"IPv6 source address of the packet that was redirected"`
	Destination netip.Addr `json:"destination" doc:"IPv6 destination address of the packet that was redirected"`
	NextHeader  uint8      `json:"nextheader" doc:"next header of the packet that was redirected" example:"6"`
	// Echo is nil unless that packet is an ICMPv6 echo request or reply right
	// behind the IPv6 header.
	Echo *Echo `json:"echo,omitempty"`
}

// Echo is an ICMPv6 echo request or reply (RFC 4443, section 4).
type Echo struct {
	Identifier uint16 `json:"identifier" doc:"identifier of the ping that was redirected; redir6 of thc-ipv6 provokes its Redirects with 64206 (0xface)" example:"64206"`
	Sequence   uint16 `json:"sequence" doc:"sequence number of the ping that was redirected" example:"1"`
}

// MTU is an MTU option (RFC 4861, section 4.6.4).
type MTU struct {
	// MTU is in bytes.
	MTU uint32 `json:"mtu" doc:"MTU in the MTU option, in bytes" ndpmon:"true" example:"1500"`
}

// Nonce is a Nonce option (RFC 3971, section 5.3.2; RFC 7527).
type Nonce struct {
	// Value is in lower-case hexadecimal.
	Value string `json:"value" doc:"the nonce in hexadecimal" example:"0123456789ab"`
}

// RouteInfo is a Route Information option (RFC 4191, section 2.3).
type RouteInfo struct {
	Prefix       netip.Addr `json:"prefix" doc:"prefix in the Route Information option" example:"2001:db8::/32"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of that prefix in bits, 0 to 128" max:"128" example:"48"`
	Preference   string     `json:"preference" doc:"preference of that route" enum:"low,medium,high,reserved" example:"medium"`
	// Reserved are the bits of the flags other than the preference.
	Reserved uint8 `json:"reserved,omitempty" doc:"reserved bits of the route's flags"`
	// Lifetime is in seconds; 4294967295 is infinity.
	Lifetime uint32 `json:"lifetime" doc:"lifetime of that route, in seconds; 4294967295 is infinity" lifetime:"true" example:"1800"`
}

// RDNSS is a Recursive DNS Server option (RFC 8106, section 5.1).
type RDNSS struct {
	// Lifetime is in seconds; 4294967295 is infinity.
	Lifetime uint32       `json:"lifetime" doc:"lifetime of the DNS servers, in seconds; 4294967295 is infinity" lifetime:"true" example:"900"`
	Address  []netip.Addr `json:"address" doc:"address of a recursive DNS server"`
}

// DNSSL is a DNS Search List option (RFC 8106, section 5.2).
type DNSSL struct {
	// Lifetime is in seconds; 4294967295 is infinity.
	Lifetime uint32   `json:"lifetime" doc:"lifetime of the DNS search list, in seconds; 4294967295 is infinity" lifetime:"true" example:"900"`
	Domain   []string `json:"domain" doc:"domain in the DNS search list, without the final dot" example:"example.org"`
}

// PREF64 is a PREF64 option (RFC 8781, section 4).
type PREF64 struct {
	Prefix       netip.Addr `json:"prefix" doc:"NAT64 prefix in the PREF64 option" example:"64:ff9b::"`
	PrefixLength uint8      `json:"prefixlength" doc:"length of that prefix in bits: 32, 40, 48, 56, 64 or 96" max:"128" example:"96"`
	// Lifetime is in seconds, at most 65528.
	Lifetime uint16 `json:"lifetime" doc:"lifetime of that prefix, in seconds" lifetime:"true" example:"1800"`
}

// Lost counts frames that a sensor dropped, so that a gap in the events is an
// event itself.
type Lost struct {
	// Kernel counts frames that the kernel dropped because the sensor did not
	// read them in time.
	Kernel uint64 `json:"kernel"`
	// Buffer counts events that found the sensor's buffer full, as it is after
	// NATS has been away for long.
	Buffer uint64 `json:"buffer"`
	// Since and Until are the time in which they were dropped.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// SensorState is a heartbeat: it says that a sensor is watching, so that a sensor
// that is not is an alert. It belongs to no interface: Event.Interface is empty.
type SensorState struct {
	// Started is when the sensor began to watch.
	Started time.Time `json:"started"`
	// Interval is the time between two heartbeats, in seconds.
	Interval uint32 `json:"interval" max:"3600"`
	// Before is until when a sensor that ended without notice surely watched
	// before this one, where the host knows that. It is in the first heartbeat.
	Before *time.Time `json:"before,omitempty"`
	// Stopped is true in the last heartbeat of a sensor that ends in order.
	Stopped bool `json:"stopped,omitempty"`
}

// Kind is the last token of an event's subject.
type Kind string

// The kinds of events. Other is what claims to be ND, or may hide it, and shows
// no ICMPv6 type, and what is no frame (see Event.Lost and Event.Sensor).
const (
	KindRS    Kind = "rs"
	KindRA    Kind = "ra"
	KindNS    Kind = "ns"
	KindNA    Kind = "na"
	KindRD    Kind = "rd"
	KindOther Kind = "other"
)

// Kind returns the event's kind, by its ICMPv6 type.
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
