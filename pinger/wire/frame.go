package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The lengths of the parts of a frame, in bytes. A solicitation or advertisement with
// one option, the link-layer address, has 32 (RFC 4861, sections 4.3, 4.4 and 4.6.1).
const (
	ethernetLen = 14
	ipv6Len     = 40
	ndLen       = 32
)

// Parts of the two messages (RFC 4861).
const (
	optSourceLinkLayer = 1
	optTargetLinkLayer = 2
	flagSolicited      = 0x40
	flagOverride       = 0x20
	ndHopLimit         = 255
)

// message is a Neighbor Solicitation or Advertisement with a link-layer address.
type message struct {
	kind                ipv6.ICMPType
	flags               byte
	toMAC, fromMAC      schemas.MAC
	source, destination netip.Addr
	target              netip.Addr
	option              byte // which carries fromMAC
}

// frame is a message with its headers.
type frame [ethernetLen + ipv6Len + ndLen]byte

func (f *frame) put(m *message) {
	ethernet, ip, nd := f[:ethernetLen], f[ethernetLen:][:ipv6Len], f[ethernetLen+ipv6Len:]
	copy(ethernet[0:], m.toMAC[:])
	copy(ethernet[6:], m.fromMAC[:])
	binary.BigEndian.PutUint16(ethernet[12:], unix.ETH_P_IPV6)

	src, dst, target := m.source.As16(), m.destination.As16(), m.target.As16()
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], ndLen)
	ip[6], ip[7] = unix.IPPROTO_ICMPV6, ndHopLimit
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])

	nd[0], nd[1] = byte(m.kind), 0
	nd[2], nd[3] = 0, 0
	nd[4] = m.flags
	copy(nd[8:], target[:])
	nd[24], nd[25] = m.option, 1
	copy(nd[26:], m.fromMAC[:])
	binary.BigEndian.PutUint16(nd[2:], checksum(src, dst, nd))
}

// checksum returns the checksum of an ICMPv6 message with an even number of bytes
// (RFC 4443, section 2.3; RFC 8200, section 8.1).
func checksum(source, destination [16]byte, message []byte) uint16 {
	sum := uint32(len(message)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{source[:], destination[:], message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// solicitedNode returns the solicited-node multicast address of an address (RFC 4291,
// section 2.7.1), and the Ethernet address of that group (RFC 2464, section 7).
func solicitedNode(a netip.Addr) (netip.Addr, schemas.MAC) {
	b := a.As16()
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}
	return netip.AddrFrom16(group), schemas.MAC{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// Advertisement is a Neighbor Advertisement that came in on a port.
type Advertisement struct {
	Target netip.Addr
	// Solicited is set in an answer to a solicitation. Without it the station
	// announces itself.
	Solicited bool
	// Override is clear if another station answers for the target (RFC 4861,
	// section 7.2.8), or if the target is an anycast address.
	Override bool
	// MAC is the target's; nil if the message does not contain it.
	MAC *schemas.MAC
}

// parseAdvertisement parses an ICMPv6 message; ok is false for what a receiver must
// discard (RFC 4861, section 7.1.2). The kernel has checked the checksum, the socket's
// filter the hop limit.
func parseAdvertisement(b []byte) (a Advertisement, ok bool) {
	const headLen = 24
	if len(b) < headLen || b[0] != byte(ipv6.ICMPTypeNeighborAdvertisement) || b[1] != 0 {
		return a, false
	}
	a = Advertisement{
		Target:    netip.AddrFrom16([16]byte(b[8:24])),
		Solicited: b[4]&flagSolicited != 0,
		Override:  b[4]&flagOverride != 0,
	}
	if a.Target.IsMulticast() {
		return a, false
	}
	for options := b[headLen:]; len(options) > 0; {
		if len(options) < 2 || options[1] == 0 || int(options[1])*8 > len(options) {
			return a, false
		}
		if options[0] == optTargetLinkLayer && options[1] == 1 && a.MAC == nil {
			mac := schemas.MAC(options[2:8])
			a.MAC = &mac
		}
		options = options[int(options[1])*8:]
	}
	return a, true
}
