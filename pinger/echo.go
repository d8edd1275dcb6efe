package pinger

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// NoSocketError says that the pinger may open neither kind of ICMPv6 socket.
type NoSocketError struct {
	// Datagram and Raw are the errors of the two.
	Datagram, Raw error
}

func (e *NoSocketError) Error() string {
	return fmt.Sprintf("cannot send ICMPv6 echoes: raw socket: %v; datagram socket: %v; "+
		"give it CAP_NET_RAW (setcap cap_net_raw+ep FILE, or AmbientCapabilities=CAP_NET_RAW in a systemd unit), "+
		"or its group a place in the sysctl net.ipv4.ping_group_range", e.Raw, e.Datagram)
}

// Unwrap returns both errors.
func (e *NoSocketError) Unwrap() []error { return []error{e.Datagram, e.Raw} }

const (
	// hopLimit keeps an echo on the link that it was put on: a router that
	// answers solicitations for the target as a proxy (RFC 4389) does not
	// forward it, which could set off another relay, and so on.
	hopLimit = 1

	// An echo is its header (RFC 4443, section 4.1), a word that tells an
	// administrator in a capture who sent it, and the cookie.
	headerLen = 8
	cookieAt  = headerLen + len(echoTag)
	echoLen   = cookieAt + 8
	echoTag   = "nd-ping\x00"
)

// The kinds of sockets: a raw one needs CAP_NET_RAW, a datagram one no privilege
// where the sysctl net.ipv4.ping_group_range allows it. Only a raw one receives
// Neighbor Advertisements.
const (
	datagramSocket = "udp6"
	rawSocket      = "ip6:ipv6-icmp"
)

// usableSocket returns the kind of socket that the pinger may open, preferably
// the raw one. The error is a *NoSocketError.
func usableSocket() (kind string, err error) {
	try := func(kind string) error {
		c, err := icmp.ListenPacket(kind, "::")
		if err == nil {
			c.Close()
		}
		return err
	}
	rawErr := try(rawSocket)
	if rawErr == nil {
		return rawSocket, nil
	}
	datagramErr := try(datagramSocket)
	if datagramErr == nil {
		return datagramSocket, nil
	}
	return "", &NoSocketError{Datagram: datagramErr, Raw: rawErr}
}

// echoConn sends and receives echoes on one slave. Its socket is bound to the
// slave's address and to its interface: an echo leaves by no other interface
// whatever the routes are, and a reply comes in by no other. IPV6_PKTINFO does
// not do: with a source address in it the kernel takes the interface for a wish,
// and where no route goes through it sends the echo out of the master.
//
// One goroutine may send and another one receive.
type echoConn struct {
	*ipv6.PacketConn
	// id is the identifier of the echoes of a raw socket. A datagram socket
	// has one from the kernel, which puts it in and passes up no others.
	id uint16
	// dead is set when receiving has failed.
	dead atomic.Bool

	// What is sent and received, kept to allocate nothing.
	request  [1]ipv6.Message
	reply    [1]ipv6.Message
	received [maxReceived]byte
}

// maxReceived is the longest message that is read. An advertisement with more
// options than that is of no use.
const maxReceived = 256

// openEcho opens a socket for a slave, on the calling thread, with room for as
// many requests as may wait for the kernel to find their neighbours.
func openEcho(kind string, sl *slave, waiting int) (*echoConn, error) {
	source := sl.source
	if source.IsLinkLocalUnicast() {
		// Not the name: net looks that up in what it has known for up to a
		// minute, which is wrong for an interface that was made again.
		source = source.WithZone(strconv.Itoa(sl.index))
	}
	conn, err := icmp.ListenPacket(kind, source.String())
	if err != nil {
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	c := &echoConn{PacketConn: conn.IPv6PacketConn()}
	if err := c.configure(kind, sl.name, waiting); err != nil {
		c.Close()
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	b := make([]byte, echoLen)
	b[0] = byte(ipv6.ICMPTypeEchoRequest)
	binary.BigEndian.PutUint16(b[4:], c.id)
	copy(b[headerLen:], echoTag)
	c.request[0].Buffers = [][]byte{b}
	c.reply[0].Buffers = [][]byte{c.received[:]}
	if kind == rawSocket {
		c.request[0].Addr = &net.IPAddr{IP: make(net.IP, net.IPv6len)}
	} else {
		c.request[0].Addr = &net.UDPAddr{IP: make(net.IP, net.IPv6len)}
	}
	return c, nil
}

func (c *echoConn) configure(kind, ifname string, waiting int) error {
	if kind == rawSocket {
		c.id = uint16(rand.Uint32())
		if err := c.filter(); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	if err := c.SetHopLimit(hopLimit); err != nil {
		return fmt.Errorf("hop limit: %w", err)
	}
	rawConn, err := c.PacketConn.PacketConn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var bindErr error
	err = rawConn.Control(func(fd uintptr) {
		bindErr = unix.BindToDevice(int(fd), ifname)
		// A request counts against the send buffer, with what the kernel adds
		// to it, until its neighbour is found or given up. More than
		// net.core.wmem_max takes CAP_NET_ADMIN. Without it there is what the
		// kernel gives, and what finds no room is an error of that echo.
		const truesize = 1024
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, waiting*truesize) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, waiting*truesize)
		}
	})
	if err == nil && bindErr != nil && bindErr != unix.EPERM {
		err = fmt.Errorf("SO_BINDTODEVICE %s: %w", ifname, bindErr)
	}
	return err
}

// filter keeps all but Neighbor Advertisements and our own echo replies out of user
// space. A raw socket gets a copy of every ICMPv6 message otherwise.
func (c *echoConn) filter() error {
	var types ipv6.ICMPFilter
	types.SetAll(true)
	types.Accept(ipv6.ICMPTypeEchoReply)
	types.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	if err := c.SetICMPFilter(&types); err != nil {
		return err
	}
	// SKF_NET_OFF in linux/filter.h: from there on the offset is that in the IPv6
	// header.
	const network = 0xfff00000
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1}, // the type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ipv6.ICMPTypeNeighborAdvertisement), SkipTrue: 2},
		bpf.LoadAbsolute{Off: 4, Size: 2}, // the identifier
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.id), SkipTrue: 2, SkipFalse: 3},
		bpf.LoadAbsolute{Off: network + 7, Size: 1}, // the hop limit
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndHopLimit, SkipFalse: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return c.SetBPF(program)
}

// send hands an echo request to the kernel, which puts in the checksum. It never
// waits.
func (c *echoConn) send(target netip.Addr, seq uint16, cookie uint64) error {
	m := &c.request[0]
	binary.BigEndian.PutUint16(m.Buffers[0][6:], seq)
	binary.BigEndian.PutUint64(m.Buffers[0][cookieAt:], cookie)
	to := target.As16()
	copy(ip(m.Addr), to[:])
	_, err := c.WriteBatch(c.request[:], unix.MSG_DONTWAIT)
	return err
}

// echoReply is an echo reply that may answer one of our requests.
type echoReply struct {
	from   netip.Addr
	seq    uint16
	cookie uint64
}

// receive waits for the next message and returns it with its source. The kernel has
// checked the checksum, the destination and the interface, and with the filter that
// it is an echo reply with our identifier, or an advertisement with the hop limit
// that says that it was not forwarded.
func (c *echoConn) receive() (from netip.Addr, message []byte, err error) {
	m := &c.reply[0]
	if _, err := c.ReadBatch(c.reply[:], 0); err != nil {
		return from, nil, err
	}
	from, _ = netip.AddrFromSlice(ip(m.Addr))
	return from, c.received[:m.N], nil
}

// parseReply reads an ICMPv6 message; ok is false if it is no reply to an echo of
// ours.
func parseReply(from netip.Addr, b []byte) (reply echoReply, ok bool) {
	if !from.IsValid() || len(b) != echoLen || b[0] != byte(ipv6.ICMPTypeEchoReply) {
		return reply, false
	}
	return echoReply{from: from, seq: binary.BigEndian.Uint16(b[6:]), cookie: binary.BigEndian.Uint64(b[cookieAt:])}, true
}

// ip returns the address in an address of either kind of socket.
func ip(addr net.Addr) net.IP {
	switch addr := addr.(type) {
	case *net.IPAddr:
		return addr.IP
	case *net.UDPAddr:
		return addr.IP
	}
	return nil
}
