package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/ndmon/ndmon/pinger/port"
	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	// hopLimit keeps an echo on its link: a router that answers solicitations for
	// the target as a proxy (RFC 4389) does not forward it, because that could
	// make another relay probe, and so on.
	hopLimit = 1
	// tunnelHopLimit lets a router at the other end of a tunnel forward an echo to the
	// hosts on its links, and back into the tunnel no more than once.
	tunnelHopLimit = 2

	// An echo request is its header (RFC 4443, section 4.1), a word by which an
	// administrator recognises it in a capture, and the cookie.
	headerLen = 8
	cookieAt  = headerLen + len(echoTag)
	echoLen   = cookieAt + 8
	echoTag   = "nd-ping\x00"
)

// Kind is a kind of ICMPv6 socket, as a network of icmp.ListenPacket.
type Kind string

// A raw socket needs CAP_NET_RAW, a datagram socket no privilege where the sysctl
// net.ipv4.ping_group_range allows it.
const (
	Datagram Kind = "udp6"
	Raw      Kind = "ip6:ipv6-icmp"
)

// UsableKind returns the kind of socket that the process may open, preferably Raw.
func UsableKind() (Kind, error) {
	try := func(kind Kind) error {
		c, err := icmp.ListenPacket(string(kind), "::")
		if err == nil {
			c.Close()
		}
		return err
	}
	rawErr := try(Raw)
	if rawErr == nil {
		return Raw, nil
	}
	datagramErr := try(Datagram)
	if datagramErr == nil {
		return Datagram, nil
	}
	return "", fmt.Errorf("cannot send ICMPv6 echoes: raw socket: %w; datagram socket: %w; "+
		"give it CAP_NET_RAW (setcap cap_net_raw+ep FILE, or AmbientCapabilities=CAP_NET_RAW in a systemd unit), "+
		"or add its group to the sysctl net.ipv4.ping_group_range", rawErr, datagramErr)
}

// Receiver gets what comes in on a port.
type Receiver interface {
	Advertised(on *port.Port, a Advertisement)
	Replied(on *port.Port, r EchoReply)
	// Stray counts a message that is malformed, or neither.
	Stray()
}

// EchoReply is an echo reply that may answer one of our requests.
type EchoReply struct {
	From   netip.Addr
	Seq    uint16
	Cookie uint64
}

// Echo is an ICMPv6 socket that sends echo requests out of one port, and receives the
// replies that come in on it. It is bound to the port's
// address and interface, so that a request leaves through no other interface whatever
// the routes are, and a reply is received from no other. IPV6_PKTINFO is not enough:
// with a source address in it the kernel takes the interface as a preference, and
// sends the request out of the master if no route leads through the slave.
//
// Several goroutines may send while another one receives.
type Echo struct {
	conn *ipv6.PacketConn
	raw  syscall.RawConn // of conn
	on   *port.Port
	// id is the identifier of a raw socket's requests. A datagram socket has one
	// from the kernel, which fills it in and delivers no others.
	id uint16
	// failed is set when receiving has failed.
	failed atomic.Bool

	// What is sent, kept to allocate nothing.
	sending sync.Mutex
	request [echoLen]byte
	to      unix.RawSockaddrInet6
}

// OpenEcho opens a socket for a port, on the calling thread. Its send buffer holds as
// many requests as may wait for the kernel to find their neighbours.
func OpenEcho(kind Kind, on *port.Port, waiting int) (*Echo, error) {
	source := on.Source
	if source.IsLinkLocalUnicast() {
		// Not the name: package net caches the indexes of names for up to a
		// minute, and an interface that was made again has another one.
		source = source.WithZone(strconv.Itoa(on.Index))
	}
	conn, err := icmp.ListenPacket(string(kind), source.String())
	if err != nil {
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	c := &Echo{conn: conn.IPv6PacketConn(), on: on}
	if err := c.configure(kind, waiting); err != nil {
		c.Close()
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	c.to.Family = unix.AF_INET6
	c.request[0] = byte(ipv6.ICMPTypeEchoRequest)
	copy(c.request[headerLen:], echoTag)
	return c, nil
}

// Close closes the socket, which ends Receive.
func (c *Echo) Close() error { return c.conn.Close() }

// Serves reports whether the socket works and is the one that a port needs.
func (c *Echo) Serves(p *port.Port) bool {
	return c.on.Index == p.Index && c.on.Source == p.Source && !c.failed.Load()
}

func (c *Echo) configure(kind Kind, waiting int) error {
	if kind == Raw {
		c.id = uint16(rand.Uint32())
		if err := c.filter(); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	hops := hopLimit
	if !c.on.ND {
		hops = tunnelHopLimit
	}
	if err := c.conn.SetHopLimit(hops); err != nil {
		return fmt.Errorf("hop limit: %w", err)
	}
	var err error
	if c.raw, err = c.conn.PacketConn.(syscall.Conn).SyscallConn(); err != nil {
		return err
	}
	var bindErr error
	err = c.raw.Control(func(fd uintptr) {
		bindErr = unix.BindToDevice(int(fd), c.on.Name)
		// A request counts against the send buffer, with the kernel's overhead,
		// until its neighbour is found or given up. More than net.core.wmem_max
		// needs CAP_NET_ADMIN. Without it the buffer is smaller, and a request
		// that does not fit fails.
		const truesize = 1024
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, waiting*truesize) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, waiting*truesize)
		}
	})
	if err == nil && bindErr != nil && bindErr != unix.EPERM {
		err = fmt.Errorf("SO_BINDTODEVICE %s: %w", c.on.Name, bindErr)
	}
	return err
}

// filter delivers our own echo replies only. Without it a raw socket gets a copy of every
// ICMPv6 message.
func (c *Echo) filter() error {
	var types ipv6.ICMPFilter
	types.SetAll(true)
	types.Accept(ipv6.ICMPTypeEchoReply)
	if err := c.conn.SetICMPFilter(&types); err != nil {
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
	return c.conn.SetBPF(program)
}

// Send passes an echo request to the kernel, which fills in the checksum. It never
// waits.
//
// A request with cookie 0 only makes the kernel discover the target. It has another
// identifier, so that its reply is not received.
func (c *Echo) Send(target netip.Addr, seq uint16, cookie uint64) error {
	id := c.id
	if cookie == 0 {
		id = ^id
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	binary.BigEndian.PutUint16(c.request[4:], id)
	binary.BigEndian.PutUint16(c.request[6:], seq)
	binary.BigEndian.PutUint64(c.request[cookieAt:], cookie)
	c.to.Addr = target.As16()
	var err error
	closed := c.raw.Write(func(fd uintptr) bool {
		_, err = repeat(func() (uintptr, uintptr, unix.Errno) {
			return unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&c.request[0])), uintptr(len(c.request)), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&c.to)), unix.SizeofSockaddrInet6)
		})
		return true
	})
	return cmp.Or(closed, err)
}

// inbox holds the messages that one system call receives.
type inbox struct {
	messages [maxBatch][maxReceived]byte
	from     [maxBatch]unix.RawSockaddrInet6
	vectors  [maxBatch]unix.Iovec
	headers  [maxBatch]mmsghdr
}

// maxReceived is the longest message that is read, in bytes: more than an echo reply has.
const maxReceived = 2 * echoLen

// Receive passes what comes in to a receiver until the socket is closed, and returns
// nil then. When receiving fails, it closes the socket and returns the error.
//
// The kernel has checked checksum, destination and interface. On a raw socket the filter
// has checked that it is an echo reply with our identifier.
func (c *Echo) Receive(to Receiver) error {
	in := new(inbox)
	var count int
	var err error
	read := func(fd uintptr) bool {
		for i := range in.headers { // the kernel has changed the lengths
			in.headers[i].point(&in.vectors[i], in.messages[i][:], unsafe.Pointer(&in.from[i]), unix.SizeofSockaddrInet6)
		}
		count, err = transfer(unix.SYS_RECVMMSG, fd, in.headers[:])
		return err != unix.EAGAIN
	}
	for {
		switch err := cmp.Or(c.raw.Read(read), err); {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			c.failed.Store(true)
			return errors.Join(err, c.Close())
		}
		for i := range count {
			message := in.messages[i][:in.headers[i].length]
			if reply, ok := parseReply(netip.AddrFrom16(in.from[i].Addr), message); ok {
				to.Replied(c.on, reply)
			} else {
				to.Stray()
			}
		}
	}
}

// parseReply parses an ICMPv6 message; ok is false if it does not reply to a request
// of ours.
func parseReply(from netip.Addr, b []byte) (reply EchoReply, ok bool) {
	if len(b) != echoLen || b[0] != byte(ipv6.ICMPTypeEchoReply) {
		return reply, false
	}
	return EchoReply{From: from, Seq: binary.BigEndian.Uint16(b[6:]), Cookie: binary.BigEndian.Uint64(b[cookieAt:])}, true
}
