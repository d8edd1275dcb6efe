package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
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
