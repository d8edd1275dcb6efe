//go:build linux

package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Message is an ICMPv6 message in an Ethernet frame. Whatever it says is sent:
// it need not be right.
type Message struct {
	EthernetSource, EthernetDestination net.HardwareAddr
	// VLAN is the identifier in an IEEE 802.1Q tag, 0 for no tag.
	VLAN                uint16
	Source, Destination netip.Addr
	HopLimit            uint8
	Type, Code          uint8
	// Body is what follows the checksum: flags, addresses and options.
	Body []byte
}

// Frame returns the message as a frame with a correct checksum.
func (m Message) Frame() []byte {
	const icmp6, ipv6, vlan, header = 58, 0x86dd, 0x8100, 40
	icmp := append([]byte{m.Type, m.Code, 0, 0}, m.Body...)
	src, dst := m.Source.As16(), m.Destination.As16()
	pseudo := append(src[:], dst[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(icmp)))
	pseudo = append(pseudo, 0, 0, 0, icmp6)
	binary.BigEndian.PutUint16(icmp[2:], checksum(append(pseudo, icmp...)))

	frame := append(append([]byte{}, m.EthernetDestination...), m.EthernetSource...)
	if m.VLAN != 0 {
		frame = binary.BigEndian.AppendUint16(frame, vlan)
		frame = binary.BigEndian.AppendUint16(frame, m.VLAN)
	}
	frame = binary.BigEndian.AppendUint16(frame, ipv6)
	frame = append(frame, 6<<4, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(icmp)))
	frame = append(frame, icmp6, m.HopLimit)
	frame = append(append(frame, src[:]...), dst[:]...)
	return append(frame, icmp...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
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

// Solicitation returns a Neighbor Solicitation for target as a host sends it,
// with its link-layer address unless source is unspecified (RFC 4861, section
// 4.3).
func Solicitation(mac net.HardwareAddr, source, target netip.Addr) Message {
	group := SolicitedNode(target)
	a := target.As16()
	body := append(make([]byte, 4), a[:]...)
	if !source.IsUnspecified() {
		body = append(append(body, 1, 1), mac...)
	}
	return Message{
		EthernetSource: mac, EthernetDestination: MulticastMAC(group),
		Source: source, Destination: group, HopLimit: 255, Type: 135, Body: body,
	}
}

// Advertisement returns a Neighbor Advertisement to all nodes that nobody asked
// for and that overrides what they know (RFC 4861, section 4.4).
func Advertisement(mac net.HardwareAddr, source, target netip.Addr) Message {
	const override = 0x20
	a := target.As16()
	body := append([]byte{override, 0, 0, 0}, a[:]...)
	body = append(append(body, 2, 1), mac...)
	return Message{
		EthernetSource: mac, EthernetDestination: MulticastMAC(AllNodes),
		Source: source, Destination: AllNodes, HopLimit: 255, Type: 136, Body: body,
	}
}

// RouterSolicitation returns a Router Solicitation as a host sends it (RFC 4861,
// section 4.1).
func RouterSolicitation(mac net.HardwareAddr, source netip.Addr) Message {
	return Message{
		EthernetSource: mac, EthernetDestination: MulticastMAC(AllRouters),
		Source: source, Destination: AllRouters, HopLimit: 255, Type: 133, Body: append([]byte{0, 0, 0, 0, 1, 1}, mac...),
	}
}

// PrefixInformation returns the option of a Router Advertisement that announces
// a prefix for on-link determination and autoconfiguration, for a day (RFC 4861,
// section 4.6.2).
func PrefixInformation(prefix netip.Prefix) []byte {
	const onLink, autonomous, day = 0x80, 0x40, 86400
	option := []byte{3, 4, byte(prefix.Bits()), onLink | autonomous}
	option = binary.BigEndian.AppendUint32(option, day)
	option = binary.BigEndian.AppendUint32(option, day)
	option = append(option, 0, 0, 0, 0)
	return append(option, prefix.Masked().Addr().AsSlice()...)
}

// LinkLocal returns the address that a station makes itself of its Ethernet
// address (RFC 4291, appendix A).
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	const local = 2
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: mac[0] ^ local, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// RouterAdvertisement returns a Router Advertisement to all nodes without
// options; lifetime is in seconds (RFC 4861, section 4.2).
func RouterAdvertisement(mac net.HardwareAddr, source netip.Addr, lifetime uint16) Message {
	body := make([]byte, 12)
	body[0] = 64
	binary.BigEndian.PutUint16(body[2:], lifetime)
	return Message{
		EthernetSource: mac, EthernetDestination: MulticastMAC(AllNodes),
		Source: source, Destination: AllNodes, HopLimit: 255, Type: 134, Body: body,
	}
}
