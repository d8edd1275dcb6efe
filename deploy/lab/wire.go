package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Message is an ICMPv6 message in an Ethernet frame. Its fields are sent unchecked.
type Message struct {
	EthernetSource, EthernetDestination net.HardwareAddr
	// VLAN is the identifier in an IEEE 802.1Q tag, 0 for no tag.
	VLAN                uint16
	Source, Destination netip.Addr
	HopLimit            uint8
	Type, Code          uint8
	// Body follows the checksum: flags, addresses and options.
	Body []byte
}

// Frame returns the message as a frame with a correct checksum.
func (m Message) Frame() []byte {
	ethernet := &layers.Ethernet{SrcMAC: m.EthernetSource, DstMAC: m.EthernetDestination, EthernetType: layers.EthernetTypeIPv6}
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: m.HopLimit,
		SrcIP: m.Source.AsSlice(), DstIP: m.Destination.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(m.Type, m.Code)}
	icmp.SetNetworkLayerForChecksum(ip) // it refuses other layers only
	frame := []gopacket.SerializableLayer{ethernet, ip, icmp, gopacket.Payload(m.Body)}
	if m.VLAN != 0 {
		ethernet.EthernetType = layers.EthernetTypeDot1Q
		tag := &layers.Dot1Q{VLANIdentifier: m.VLAN, Type: layers.EthernetTypeIPv6}
		frame = []gopacket.SerializableLayer{ethernet, tag, ip, icmp, gopacket.Payload(m.Body)}
	}
	return serialize(frame...)
}

// serialize panics if a message cannot be encoded, for example with an invalid
// address, because that is a mistake in the test.
func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(fmt.Sprintf("serialize a frame: %v", err))
	}
	return b.Bytes()
}

// The groups of all nodes and of all routers on the link.
var (
	AllNodes   = netip.MustParseAddr("ff02::1")
	AllRouters = netip.MustParseAddr("ff02::2")
)

// MulticastMAC returns the Ethernet address of an IPv6 group (RFC 2464, section
// 7).
func MulticastMAC(group netip.Addr) net.HardwareAddr {
	a := group.As16()
	return net.HardwareAddr{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// SolicitedNode returns the group in which an address is solicited (RFC 4291,
// section 2.7.1).
func SolicitedNode(target netip.Addr) netip.Addr {
	a := target.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
}

// message returns a message to a group with the hop limit that Neighbor
// Discovery asks for.
func message(mac net.HardwareAddr, source, group netip.Addr, kind uint8, body gopacket.SerializableLayer) Message {
	return Message{
		EthernetSource: mac, EthernetDestination: MulticastMAC(group),
		Source: source, Destination: group, HopLimit: 255, Type: kind, Body: serialize(body),
	}
}

func linkLayerAddress(kind layers.ICMPv6Opt, mac net.HardwareAddr) layers.ICMPv6Options {
	return layers.ICMPv6Options{{Type: kind, Data: mac}}
}

// Solicitation returns a Neighbor Solicitation for target as a host sends it,
// with its link-layer address unless source is unspecified (RFC 4861, section
// 4.3).
func Solicitation(mac net.HardwareAddr, source, target netip.Addr) Message {
	body := &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice()}
	if !source.IsUnspecified() {
		body.Options = linkLayerAddress(layers.ICMPv6OptSourceAddress, mac)
	}
	return message(mac, source, SolicitedNode(target), layers.ICMPv6TypeNeighborSolicitation, body)
}

// Advertisement returns an unsolicited Neighbor Advertisement to all nodes that
// overrides their neighbour cache entries (RFC 4861, section 4.4).
func Advertisement(mac net.HardwareAddr, source, target netip.Addr) Message {
	const override = 0x20
	return message(mac, source, AllNodes, layers.ICMPv6TypeNeighborAdvertisement, &layers.ICMPv6NeighborAdvertisement{
		Flags: override, TargetAddress: target.AsSlice(), Options: linkLayerAddress(layers.ICMPv6OptTargetAddress, mac),
	})
}

// RouterSolicitation returns a Router Solicitation as a host sends it (RFC 4861,
// section 4.1).
func RouterSolicitation(mac net.HardwareAddr, source netip.Addr) Message {
	return message(mac, source, AllRouters, layers.ICMPv6TypeRouterSolicitation,
		&layers.ICMPv6RouterSolicitation{Options: linkLayerAddress(layers.ICMPv6OptSourceAddress, mac)})
}

// RouterAdvertisement returns a Router Advertisement to all nodes without
// options; lifetime is in seconds (RFC 4861, section 4.2).
func RouterAdvertisement(mac net.HardwareAddr, source netip.Addr, lifetime uint16) Message {
	return message(mac, source, AllNodes, layers.ICMPv6TypeRouterAdvertisement,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: lifetime})
}

// PrefixInformation returns the option of a Router Advertisement that announces
// a prefix for on-link determination and autoconfiguration, for a day (RFC 4861,
// section 4.6.2).
func PrefixInformation(prefix netip.Prefix) []byte {
	const onLink, autonomous, day = 0x80, 0x40, 86400
	option := []byte{3, 4, byte(prefix.Bits()), onLink | autonomous}
	for _, n := range []uint32{day, day, 0} {
		option = binary.BigEndian.AppendUint32(option, n)
	}
	return append(option, prefix.Masked().Addr().AsSlice()...)
}

// LinkLocal returns the link-local address that a station derives from its
// Ethernet address (RFC 4291, appendix A).
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	const local = 2
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: mac[0] ^ local, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// Wire sends whole Ethernet frames on an interface and records those that pass. Only
// Write may be called from several goroutines.
type Wire struct {
	Sender
	n    *Namespace
	seen []byte
}

// Frame is a frame that a Wire has recorded.
type Frame struct {
	// Data is the frame from the Ethernet header on, without a VLAN tag that the
	// interface has removed.
	Data []byte
	// Out is true for a frame that this side has sent.
	Out bool
}

// Wire opens an interface. It records the frames that pass from now on.
func (n *Namespace) Wire(name string) *Wire {
	n.t.Helper()
	w := &Wire{Sender{index: n.Index(name), name: name}, n, make([]byte, 1<<16)}
	const all = unix.ETH_P_ALL
	var err error
	n.Do(func() {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all<<8&0xff00 | all>>8, Ifindex: w.index})
		}
	})
	n.must(err, "open the wire at %s", name)
	n.t.Cleanup(func() { w.Close() })
	return w
}

// Send puts frames on the wire.
func (w *Wire) Send(frames ...[]byte) {
	w.n.t.Helper()
	for _, frame := range frames {
		_, err := w.Write(frame)
		w.n.must(err, "send")
	}
}

// Send puts frames on the wire behind an interface, without watching it.
func (n *Namespace) Send(name string, frames ...[]byte) {
	n.t.Helper()
	s := n.Sender(name)
	defer s.Close()
	for _, frame := range frames {
		_, err := s.Write(frame)
		n.must(err, "send")
	}
}

// Sender opens an interface of the namespace to send on it. The caller closes it.
func (n *Namespace) Sender(name string) *Sender {
	n.t.Helper()
	var s *Sender
	var err error
	n.Do(func() { s, err = NewSender(name) })
	n.must(err, "open a sender")
	return s
}

// Sender sends frames on an interface. It returns errors, so programs can use it.
type Sender struct {
	fd, index int
	name      string
}

// NewSender opens an interface of the network namespace that the program is in.
// It needs CAP_NET_RAW.
func NewSender(name string) (*Sender, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return &Sender{fd, i.Index, name}, nil
}

// Write puts one frame on the wire.
func (s *Sender) Write(frame []byte) (int, error) {
	if err := unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.index}); err != nil {
		return 0, fmt.Errorf("send a frame on %s: %w", s.name, err)
	}
	return len(frame), nil
}

// Close closes the interface.
func (s *Sender) Close() error { return unix.Close(s.fd) }

// Frames returns the frames that have passed since the last call. A veth pair
// delivers frames immediately, so frames sent before the call are among them. It
// fails the test if the kernel dropped any.
func (w *Wire) Frames() []Frame {
	w.n.t.Helper()
	var frames []Frame
	for {
		size, from, err := unix.Recvfrom(w.fd, w.seen, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		w.n.must(err, "see the frames on %s", w.name)
		out := from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING
		frames = append(frames, Frame{append([]byte(nil), w.seen[:size]...), out})
	}
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	w.n.must(err, "count the frames on %s", w.name)
	if stats.Drops > 0 {
		w.n.t.Fatalf("namespace %s: %d frames on %s were not seen", w.n.name, stats.Drops, w.name)
	}
	return frames
}

// EchoRequest is an ICMPv6 echo request in a frame.
type EchoRequest struct {
	Source, Target netip.Addr
	HopLimit       uint8
}

// EchoRequests returns the echo requests among the frames that a Wire has
// received.
func EchoRequests(frames []Frame) []EchoRequest {
	var echoes []EchoRequest
	each(frames, layers.LayerTypeICMPv6Echo, func(ip *layers.IPv6, icmp *layers.ICMPv6, _ gopacket.Layer) {
		if icmp.TypeCode.Type() == layers.ICMPv6TypeEchoRequest {
			echoes = append(echoes, EchoRequest{addressOf(ip.SrcIP), addressOf(ip.DstIP), ip.HopLimit})
		}
	})
	return echoes
}

// Solicited returns the targets of the Neighbor Solicitations among the frames
// that a Wire has received.
func Solicited(frames []Frame) []netip.Addr {
	var targets []netip.Addr
	each(frames, layers.LayerTypeICMPv6NeighborSolicitation, func(_ *layers.IPv6, _ *layers.ICMPv6, l gopacket.Layer) {
		targets = append(targets, addressOf(l.(*layers.ICMPv6NeighborSolicitation).TargetAddress))
	})
	return targets
}

// each calls f for the received frames whose ICMPv6 message is of a type.
func each(frames []Frame, kind gopacket.LayerType, f func(*layers.IPv6, *layers.ICMPv6, gopacket.Layer)) {
	for _, frame := range frames {
		packet := gopacket.NewPacket(frame.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
		if l := packet.Layer(kind); l != nil && !frame.Out {
			f(packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6), packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6), l)
		}
	}
}

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}
