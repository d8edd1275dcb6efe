package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"unsafe"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ND is a packet socket that sends Neighbor Discovery messages without the kernel.
// For each address that the kernel itself solicits it makes an entry in its neighbour
// table, which all network namespaces share, and one more for the multicast group of
// that address, and keeps both for seconds after no host answered. Soliciting through
// this socket takes no entry, so an address scan cannot fill the table.
type ND struct {
	fd      int
	batches sync.Pool // of *batch
}

// OpenND opens the socket in the network namespace of the calling thread. It needs
// CAP_NET_RAW.
func OpenND() (*ND, error) {
	// Without a protocol it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return &ND{fd: fd, batches: sync.Pool{New: newBatch}}, nil
}

// Close closes the socket.
func (s *ND) Close() error { return unix.Close(s.fd) }

// Solicitation is a Neighbor Solicitation for a target that leaves a port: to all, or,
// with an Ethernet address, to that station only (RFC 4861, section 7.2.2).
type Solicitation struct {
	On     *port.Port
	Target netip.Addr
	At     *schemas.MAC
	// Err is why the kernel did not accept it.
	Err error
}

// Solicit sends solicitations. It does not wait.
func (s *ND) Solicit(list []Solicitation) {
	b := s.batches.Get().(*batch)
	defer s.batches.Put(b)
	for ; len(list) > 0; list = list[min(maxBatch, len(list)):] {
		some := list[:min(maxBatch, len(list))]
		for i := range some {
			to := &some[i]
			m := message{kind: ipv6.ICMPTypeNeighborSolicitation, source: to.On.Source, fromMAC: to.On.MAC, target: to.Target, option: optSourceLinkLayer}
			if to.At != nil {
				m.destination, m.toMAC = to.Target, *to.At
			} else {
				m.destination, m.toMAC = solicitedNode(to.Target)
			}
			b.put(i, to.On, &m)
		}
		for first := 0; first < len(some); first++ {
			var sent int
			sent, some[first].Err = transfer(unix.SYS_SENDMMSG, uintptr(s.fd), b.headers[first:len(some)])
			first += max(0, sent-1) // the next one, also after one that was refused
		}
	}
}

// Advertise tells a requester that the target is reached through this host (RFC 4861,
// section 7.2.8). One without a unicast address stands for all stations on the link: the
// answer to duplicate address detection (section 7.2.4), or an announcement (section
// 7.2.6). Without override, the target's own advertisement takes precedence. It does not
// wait.
func (s *ND) Advertise(to port.Requester, target netip.Addr, override bool) error {
	b := s.batches.Get().(*batch)
	defer s.batches.Put(b)
	m := message{kind: ipv6.ICMPTypeNeighborAdvertisement, flags: flagSolicited, source: to.On.Source, fromMAC: to.On.MAC,
		destination: to.Addr, toMAC: to.MAC, target: target, option: optTargetLinkLayer}
	if !to.Addr.IsValid() || to.Addr.IsUnspecified() {
		m.flags, m.destination, m.toMAC = 0, netip.IPv6LinkLocalAllNodes(), schemas.MAC{0x33, 0x33, 0, 0, 0, 1}
	}
	if override {
		m.flags |= flagOverride
	}
	b.put(0, to.On, &m)
	_, err := transfer(unix.SYS_SENDMMSG, uintptr(s.fd), b.headers[:1])
	return err
}

// Send sends an ICMPv6 message of Neighbor Discovery from a port's own addresses, and
// fills in its checksum. It does not wait. The error is unix.EMSGSIZE if the message is
// larger than the MTU of the link.
func (s *ND) Send(on *port.Port, to netip.Addr, toMAC schemas.MAC, message []byte) error {
	f := make([]byte, ethernetLen+ipv6Len, ethernetLen+ipv6Len+len(message))
	putHeaders(f, toMAC, on.MAC, on.Source, to, len(message))
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:], checksum(on.Source.As16(), to.As16(), message))
	return unix.Sendto(s.fd, append(f, message...), unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IPV6), Ifindex: on.Index})
}

// GroupMAC returns the Ethernet address of a multicast group (RFC 2464, section 7).
func GroupMAC(group netip.Addr) schemas.MAC {
	b := group.As16()
	return schemas.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// maxBatch is the number of frames that are sent with one system call at most.
const maxBatch = 16

// batch holds frames, and what sendmmsg(2) needs to send them.
type batch struct {
	frames  [maxBatch]frame
	ports   [maxBatch]unix.RawSockaddrLinklayer
	vectors [maxBatch]unix.Iovec
	headers [maxBatch]mmsghdr
}

func newBatch() any {
	b := new(batch)
	for i := range b.frames {
		b.ports[i].Family, b.ports[i].Protocol = unix.AF_PACKET, htons(unix.ETH_P_IPV6)
		b.headers[i].point(&b.vectors[i], b.frames[i][:], unsafe.Pointer(&b.ports[i]), unix.SizeofSockaddrLinklayer)
	}
	return b
}

func (b *batch) put(i int, on *port.Port, m *message) {
	b.frames[i].put(m)
	b.ports[i].Ifindex = int32(on.Index)
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

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
	nd := f[ethernetLen+ipv6Len:]
	putHeaders(f[:], m.toMAC, m.fromMAC, m.source, m.destination, ndLen)
	src, dst, target := m.source.As16(), m.destination.As16(), m.target.As16()

	nd[0], nd[1] = byte(m.kind), 0
	nd[2], nd[3] = 0, 0
	nd[4] = m.flags
	copy(nd[8:], target[:])
	nd[24], nd[25] = m.option, 1
	copy(nd[26:], m.fromMAC[:])
	binary.BigEndian.PutUint16(nd[2:], checksum(src, dst, nd))
}

// putHeaders puts the Ethernet and the IPv6 header of an ND message.
func putHeaders(f []byte, toMAC, fromMAC schemas.MAC, source, destination netip.Addr, length int) {
	ip, src, dst := f[ethernetLen:][:ipv6Len], source.As16(), destination.As16()
	copy(f[0:], toMAC[:])
	copy(f[6:], fromMAC[:])
	binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IPV6)
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], uint16(length))
	ip[6], ip[7] = unix.IPPROTO_ICMPV6, ndHopLimit
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])
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
