package pinger

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// solicitor puts Neighbor Solicitations and Advertisements of ours on the link.
type solicitor interface {
	// solicit asks for a target on a slave's link: whoever has it, or, with an
	// Ethernet address, the station at that one (RFC 4861, section 7.2.2).
	solicit(sl *slave, target netip.Addr, at *schemas.MAC) error
	// advertise tells an asker on a slave's link that the target is reached
	// through this host (RFC 4861, section 7.2.8).
	advertise(sl *slave, target netip.Addr, to asker) error
}

// asker is a station that solicited for a target.
type asker struct {
	on   *slave
	addr netip.Addr
	mac  schemas.MAC
}

// ndSocket sends Neighbor Discovery messages past the kernel's own. The kernel
// makes an entry in its neighbour table, which all network namespaces share, for
// each address that it solicits, and one more for the multicast group of that
// address, and keeps them for seconds after nobody has answered. To look for an
// address this way takes none, so whatever is scanned at the relay, the table
// keeps its room.
//
// One goroutine may send at a time.
type ndSocket struct {
	fd    int
	to    unix.SockaddrLinklayer
	frame [ethernetLen + ipv6Len + ndLen]byte
}

// The lengths of what a frame is made of, in bytes. A solicitation or
// advertisement with one option, the link-layer address, has 32 (RFC 4861,
// sections 4.3, 4.4 and 4.6.1).
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

// openND opens the socket in the network namespace of the calling thread. It
// needs CAP_NET_RAW.
func openND() (*ndSocket, error) {
	// Without a protocol it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return &ndSocket{fd: fd}, nil
}

func (s *ndSocket) Close() error { return unix.Close(s.fd) }

func (s *ndSocket) solicit(sl *slave, target netip.Addr, at *schemas.MAC) error {
	if at != nil {
		return s.send(sl, *at, target, ipv6.ICMPTypeNeighborSolicitation, 0, target, optSourceLinkLayer)
	}
	group := solicitedNode(target)
	b := group.As16()
	return s.send(sl, schemas.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}, group, ipv6.ICMPTypeNeighborSolicitation, 0, target, optSourceLinkLayer)
}

func (s *ndSocket) advertise(sl *slave, target netip.Addr, to asker) error {
	// Override stays clear, so that the target's own word goes before ours.
	return s.send(sl, to.mac, to.addr, ipv6.ICMPTypeNeighborAdvertisement, flagSolicited, target, optTargetLinkLayer)
}

// solicitedNode returns the solicited-node multicast address of an address (RFC
// 4291, section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func (s *ndSocket) send(sl *slave, to schemas.MAC, destination netip.Addr, icmpType ipv6.ICMPType, flags byte, target netip.Addr, option byte) error {
	ethernet, ip, nd := s.frame[:ethernetLen], s.frame[ethernetLen:][:ipv6Len], s.frame[ethernetLen+ipv6Len:]
	copy(ethernet[0:], to[:])
	copy(ethernet[6:], sl.mac[:])
	binary.BigEndian.PutUint16(ethernet[12:], unix.ETH_P_IPV6)

	src, dst, tgt := sl.source.As16(), destination.As16(), target.As16()
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], ndLen)
	ip[6], ip[7] = unix.IPPROTO_ICMPV6, ndHopLimit
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])

	nd[0], nd[1] = byte(icmpType), 0
	nd[2], nd[3] = 0, 0
	nd[4] = flags
	copy(nd[8:], tgt[:])
	nd[24], nd[25] = option, 1
	copy(nd[26:], sl.mac[:])
	binary.BigEndian.PutUint16(nd[2:], checksum(src, dst, nd))

	s.to.Protocol = htons(unix.ETH_P_IPV6)
	s.to.Ifindex = sl.index
	return unix.Sendto(s.fd, s.frame[:], unix.MSG_DONTWAIT, &s.to)
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// checksum is that of an ICMPv6 message (RFC 4443, section 2.3; RFC 8200, section
// 8.1). The message has an even number of bytes.
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

// advertisement is a Neighbor Advertisement that came in on a slave.
type advertisement struct {
	target netip.Addr
	// solicited: it answers a solicitation. Without it a station says by itself
	// that it is there.
	solicited bool
	// override is clear where somebody answers for the target (RFC 4861, section
	// 7.2.8), or for an anycast address.
	override bool
	// mac is the target's, nil if it is not said.
	mac *schemas.MAC
}

// parseAdvertisement reads an ICMPv6 message; ok is false for what a receiver must
// discard (RFC 4861, section 7.1.2). The kernel has checked the checksum, the
// socket's filter the hop limit.
func parseAdvertisement(b []byte) (a advertisement, ok bool) {
	const headLen = 24
	if len(b) < headLen || b[0] != byte(ipv6.ICMPTypeNeighborAdvertisement) || b[1] != 0 {
		return a, false
	}
	a = advertisement{
		target:    netip.AddrFrom16([16]byte(b[8:24])),
		solicited: b[4]&flagSolicited != 0,
		override:  b[4]&flagOverride != 0,
	}
	if a.target.IsMulticast() {
		return a, false
	}
	for options := b[headLen:]; len(options) > 0; {
		if len(options) < 2 || options[1] == 0 || int(options[1])*8 > len(options) {
			return a, false
		}
		if options[0] == optTargetLinkLayer && options[1] == 1 && a.mac == nil {
			mac := schemas.MAC(options[2:8])
			a.mac = &mac
		}
		options = options[int(options[1])*8:]
	}
	return a, true
}
