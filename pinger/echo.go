package pinger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
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
		"or its group a place in the sysctl net.ipv4.ping_group_range (Linux 5.18 or later)", e.Raw, e.Datagram)
}

// Unwrap returns both errors.
func (e *NoSocketError) Unwrap() []error { return []error{e.Datagram, e.Raw} }

// errNoPktinfo: until Linux 5.18 a datagram ICMPv6 socket takes no notice of
// control messages, so that echoes would leave by any interface.
var errNoPktinfo = errors.New("this kernel ignores IPV6_PKTINFO on it (Linux 5.18 is the first that does not)")

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

// echo is an echo request to be sent.
type echo struct {
	slave  *slave
	target netip.Addr
	seq    uint16
	cookie uint64
	// err is why the kernel did not take it.
	err error
}

// echoReply is an echo reply that may answer one of our requests.
type echoReply struct {
	from    netip.Addr
	ifindex int
	seq     uint16
	cookie  uint64
}

// echoConn is the socket for echoes. Its send and receive may run at the same
// time, each in one goroutine.
type echoConn struct {
	*ipv6.PacketConn
	raw bool
	// id is the identifier of our echoes. A datagram socket has one from the
	// kernel, which puts it in and passes up no others.
	id uint16

	messages []ipv6.Message
	received [1500]byte
}

// openEcho opens a datagram socket if that is allowed, else a raw one, with room
// for the requests that wait for the kernel to find the neighbour. If neither is
// allowed the error is a *NoSocketError.
func openEcho(waiting int) (*echoConn, error) {
	c, datagramErr := openDatagram()
	if datagramErr != nil {
		var rawErr error
		if c, rawErr = openRaw(); rawErr != nil {
			return nil, &NoSocketError{Datagram: datagramErr, Raw: rawErr}
		}
	}
	if err := c.configure(waiting); err != nil {
		c.Close()
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	return c, nil
}

func openDatagram() (*echoConn, error) {
	conn, err := icmp.ListenPacket("udp6", "::")
	if err != nil {
		return nil, err
	}
	c := &echoConn{PacketConn: conn.IPv6PacketConn()}
	// A kernel that heeds control messages finds no interface of this number;
	// one that does not sends an echo to this host, which does no harm.
	nowhere := &slave{index: math.MaxInt32, oob: (&ipv6.ControlMessage{IfIndex: math.MaxInt32}).Marshal()}
	try := []echo{{slave: nowhere, target: netip.IPv6Loopback()}}
	if c.send(try); try[0].err == nil {
		c.Close()
		return nil, errNoPktinfo
	}
	return c, nil
}

func openRaw() (*echoConn, error) {
	conn, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, err
	}
	c := &echoConn{PacketConn: conn.IPv6PacketConn(), raw: true, id: uint16(rand.Uint32())}
	if err := c.filter(); err != nil {
		c.Close()
		return nil, fmt.Errorf("filter: %w", err)
	}
	return c, nil
}

// filter keeps all but our own echo replies out of user space. A raw socket gets
// a copy of every ICMPv6 message otherwise, all of Neighbor Discovery included.
func (c *echoConn) filter() error {
	var types ipv6.ICMPFilter
	types.SetAll(true)
	types.Accept(ipv6.ICMPTypeEchoReply)
	if err := c.SetICMPFilter(&types); err != nil {
		return err
	}
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2}, // the identifier
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.id), SkipFalse: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return c.SetBPF(program)
}

func (c *echoConn) configure(waiting int) error {
	if err := c.SetHopLimit(hopLimit); err != nil {
		return fmt.Errorf("hop limit: %w", err)
	}
	if err := c.SetControlMessage(ipv6.FlagInterface, true); err != nil {
		return fmt.Errorf("IPV6_RECVPKTINFO: %w", err)
	}
	// A request counts against the send buffer, with what the kernel adds to
	// it, until its neighbour is found or given up. Beyond net.core.wmem_max
	// this takes CAP_NET_ADMIN; without it the kernel gives what it may, and
	// what finds no room is an error of that echo.
	const truesize = 1024
	conn, ok := c.PacketConn.PacketConn.(syscall.Conn)
	if !ok {
		return nil
	}
	rawConn, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return rawConn.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, waiting*truesize) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, waiting*truesize)
		}
	})
}

// send hands the echoes to the kernel, as far as possible in one system call,
// and sets err of those that it does not take. It never waits.
func (c *echoConn) send(echoes []echo) {
	for len(c.messages) < len(echoes) {
		c.messages = append(c.messages, c.newMessage())
	}
	for i := range echoes {
		c.fill(&c.messages[i], &echoes[i])
	}
	for at := 0; at < len(echoes); {
		// The kernel goes on to the first message that it cannot send, and
		// says why when that one is the first.
		n, err := c.WriteBatch(c.messages[at:len(echoes)], unix.MSG_DONTWAIT)
		if err != nil {
			echoes[at].err = err
			n = 1
		}
		at += n
	}
}

func (c *echoConn) newMessage() ipv6.Message {
	b := make([]byte, echoLen)
	b[0] = byte(ipv6.ICMPTypeEchoRequest)
	copy(b[headerLen:], echoTag)
	m := ipv6.Message{Buffers: [][]byte{b}}
	if c.raw {
		m.Addr = &net.IPAddr{IP: make(net.IP, net.IPv6len)}
	} else {
		m.Addr = &net.UDPAddr{IP: make(net.IP, net.IPv6len)}
	}
	return m
}

// fill makes m the echo. The kernel puts in the checksum.
func (c *echoConn) fill(m *ipv6.Message, e *echo) {
	b := m.Buffers[0]
	binary.BigEndian.PutUint16(b[4:], c.id)
	binary.BigEndian.PutUint16(b[6:], e.seq)
	binary.BigEndian.PutUint64(b[cookieAt:], e.cookie)
	m.OOB = e.slave.oob
	target := e.target.As16()
	switch addr := m.Addr.(type) {
	case *net.IPAddr:
		copy(addr.IP, target[:])
	case *net.UDPAddr:
		copy(addr.IP, target[:])
	}
}

// receive waits for the next message; ok is false if it is no reply to an echo
// of ours. The kernel has checked the checksum, and a datagram socket's
// identifier.
func (c *echoConn) receive() (reply echoReply, ok bool, err error) {
	b := c.received[:]
	n, cm, from, err := c.ReadFrom(b)
	if err != nil {
		return reply, false, err
	}
	if n != echoLen || b[0] != byte(ipv6.ICMPTypeEchoReply) || cm == nil ||
		c.raw && binary.BigEndian.Uint16(b[4:]) != c.id {
		return reply, false, nil
	}
	switch addr := from.(type) {
	case *net.IPAddr:
		reply.from, _ = netip.AddrFromSlice(addr.IP)
	case *net.UDPAddr:
		reply.from, _ = netip.AddrFromSlice(addr.IP)
	}
	reply.ifindex = cm.IfIndex
	reply.seq = binary.BigEndian.Uint16(b[6:])
	reply.cookie = binary.BigEndian.Uint64(b[cookieAt:])
	return reply, true, nil
}
