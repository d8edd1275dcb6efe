package wire

import (
	"fmt"
	"net/netip"

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
//
// Its methods must not be called concurrently.
type ND struct {
	fd    int
	to    unix.SockaddrLinklayer
	frame frame
}

// OpenND opens the socket in the network namespace of the calling thread. It needs
// CAP_NET_RAW.
func OpenND() (*ND, error) {
	// Without a protocol it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return &ND{fd: fd}, nil
}

// Close closes the socket.
func (s *ND) Close() error { return unix.Close(s.fd) }

// Solicit sends a Neighbor Solicitation for a target out of a port: to all, or, with an
// Ethernet address, to that station only (RFC 4861, section 7.2.2). It does not wait.
func (s *ND) Solicit(on *port.Port, target netip.Addr, at *schemas.MAC) error {
	m := message{kind: ipv6.ICMPTypeNeighborSolicitation, source: on.Source, fromMAC: on.MAC, target: target, option: optSourceLinkLayer}
	if at != nil {
		m.destination, m.toMAC = target, *at
	} else {
		m.destination, m.toMAC = solicitedNode(target)
	}
	return s.send(on, &m)
}

// Advertise tells a requester that the target is reached through this host (RFC 4861,
// section 7.2.8). It does not wait.
func (s *ND) Advertise(to port.Requester, target netip.Addr) error {
	// Without Override, so that the target's own advertisement takes precedence.
	return s.send(to.On, &message{kind: ipv6.ICMPTypeNeighborAdvertisement, flags: flagSolicited, source: to.On.Source, fromMAC: to.On.MAC,
		destination: to.Addr, toMAC: to.MAC, target: target, option: optTargetLinkLayer})
}

func (s *ND) send(on *port.Port, m *message) error {
	s.frame.put(m)
	s.to.Protocol = htons(unix.ETH_P_IPV6)
	s.to.Ifindex = on.Index
	return unix.Sendto(s.fd, s.frame[:], unix.MSG_DONTWAIT, &s.to)
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }
