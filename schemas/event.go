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
// nd.events.<host>.<interface>.<kind>. Members that are not in the frame are
// absent: nil, or the zero value if the member has omitempty.
//
// An event with Lost counts frames that the sensor dropped, and one with Sensor
// is a heartbeat. These two describe no frame.
type Event struct {
	// Type is TypeEvent.
	Type string `json:"type" enum:"nd.event.v1"`
	// ID is unique. An event that is published again keeps it.
	ID string `json:"id"`
	// Time is when the frame was captured, in UTC.
	Time time.Time `json:"time"`
	// Host and Interface are where the frame was captured, as plain names.
	Host      string `json:"host" doc:"name of the host whose sensor captured the frame" example:"r1"`
	Interface string `json:"interface" doc:"name of the interface that the frame was captured on" example:"eth0"`
	// Direction is In or Out.
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

	Lost   *Lost        `json:"lost,omitempty"`
	Sensor *SensorState `json:"sensor,omitempty"`

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

// Lost counts frames that a sensor dropped, so that a gap in the events is visible.
type Lost struct {
	// Kernel counts frames that the kernel dropped because the sensor did not
	// read them in time.
	Kernel uint64 `json:"kernel"`
	// Buffer counts events for which the sensor's buffer had no room, as after a
	// long outage of NATS.
	Buffer uint64 `json:"buffer"`
	// Since and Until bound the time in which they were dropped.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// SensorState is a heartbeat of a sensor. ruled alerts when it is missing. It
// belongs to no interface: Event.Interface is empty.
type SensorState struct {
	// Started is when the sensor began to capture.
	Started time.Time `json:"started"`
	// Interval is the time between two heartbeats, in seconds.
	Interval uint32 `json:"interval" max:"3600"`
	// Before is when the former sensor of the host last captured for certain, if
	// that ended without notice. Only the first heartbeat has it.
	Before *time.Time `json:"before,omitempty"`
	// Stopped is true in the last heartbeat of a sensor that exits normally.
	Stopped bool `json:"stopped,omitempty"`
}

// Kind is the last token of an event's subject.
type Kind string

// The kinds of events. KindOther is for frames that may be ND but show no ICMPv6
// type, and for events that describe no frame (Event.Lost and Event.Sensor).
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
