package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Listener is a packet socket that receives the Neighbor Advertisements, and if requested
// other messages, that come in on one port. It receives them before the kernel processes them, so no firewall, reverse-path
// filter or route of this host hides a target that answers.
type Listener struct {
	file *os.File
	raw  syscall.RawConn // of file
	on   *port.Port
	also Also
	// failed is set when receiving has failed, closed by Close.
	failed, closed atomic.Bool
}

// Also receives what a Listener receives besides Neighbor Advertisements. What is nil is not
// received.
type Also struct {
	// Routers is called with Router Advertisements.
	Routers func(on *port.Port, a RouterAdvertisement)
	// Solicited is called with a requester and the target that it solicits. There is none
	// for duplicate address detection.
	Solicited func(from port.Requester, target netip.Addr)
}

// OpenListener opens the socket for a port with ND, in the network namespace of the calling
// thread. It needs CAP_NET_RAW.
func OpenListener(on *port.Port, also Also) (*Listener, error) {
	// Without a protocol it receives nothing until it is bound, when its filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	l := &Listener{file: os.NewFile(uintptr(fd), "packet socket"), on: on, also: also}
	if err := l.configure(fd); err != nil {
		l.Close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return l, nil
}

func (l *Listener) configure(fd int) (err error) {
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return err
	}
	program, err := bpf.Assemble(listenFilter(l.also))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	// A socket for this protocol gets no copy of outgoing frames.
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IPV6), Ifindex: l.on.Index})
}

// listenFilter passes messages to this host that were not forwarded: Neighbor
// Advertisements, and what else is received.
func listenFilter(also Also) []bpf.Instruction {
	advertisement := uint32(ipv6.ICMPTypeNeighborAdvertisement)
	routers, solicitations := advertisement, advertisement
	if also.Routers != nil {
		routers = uint32(ipv6.ICMPTypeRouterAdvertisement)
	}
	if also.Solicited != nil {
		solicitations = uint32(ipv6.ICMPTypeNeighborSolicitation)
	}
	return []bpf.Instruction{
		// Not those for other stations (PACKET_OTHERHOST), which a promiscuous interface
		// receives too, those of a VLAN that has no interface, and our own that the kernel
		// loops back.
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 11},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 9},
		bpf.LoadAbsolute{Off: ethernetLen + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 7},
		bpf.LoadAbsolute{Off: ethernetLen + 7, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndHopLimit, SkipFalse: 5},
		bpf.LoadAbsolute{Off: ethernetLen + ipv6Len, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: advertisement, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: routers, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: solicitations, SkipFalse: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	}
}

// Close closes the socket, which ends Receive.
func (l *Listener) Close() error {
	l.closed.Store(true)
	return l.file.Close()
}

// Serves reports whether the socket works and is the one that a port needs.
func (l *Listener) Serves(p *port.Port) bool {
	return l.on.Index == p.Index && l.on.Source == p.Source && l.on.MAC == p.MAC && !l.failed.Load() && l.bound()
}

// The longest frames that are read, in bytes. A Neighbor Advertisement with more options
// than that is useless. A Router Advertisement is not fragmented (RFC 6980), and larger
// packets than those of jumbo frames do not occur.
const (
	maxNeighbourFrame = 512
	maxRouterFrame    = 9216
)

// frames holds the frames that one system call receives.
type frames struct {
	data    [maxBatch][]byte
	vectors [maxBatch]unix.Iovec
	headers [maxBatch]mmsghdr
}

func newFrames(size int) *frames {
	f := new(frames)
	memory := make([]byte, maxBatch*size) // only what is written to takes memory
	for i := range f.data {
		f.data[i] = memory[i*size:][:size]
	}
	return f
}

// Receive passes what comes in to a receiver until the socket is closed, and returns nil
// then. When receiving fails, it closes the socket and returns the error.
func (l *Listener) Receive(to Receiver) error {
	size := maxNeighbourFrame
	if l.also.Routers != nil {
		size = maxRouterFrame
	}
	in := newFrames(size)
	var count int
	var err error
	read := func(fd uintptr) bool {
		for i := range in.headers { // the kernel has changed the lengths
			in.headers[i].point(&in.vectors[i], in.data[i], nil, 0)
		}
		count, err = transfer(unix.SYS_RECVMMSG, fd, in.headers[:])
		return err != unix.EAGAIN
	}
	for {
		switch err := cmp.Or(l.raw.Read(read), err); {
		case l.closed.Load():
			return nil
		case err == unix.ENETDOWN:
			continue // the interface went down; the socket receives again when it is up
		case err != nil:
			l.failed.Store(true)
			return errors.Join(err, l.Close())
		}
		for i := range count {
			l.received(in.data[i][:in.headers[i].length], to)
		}
	}
}

// received passes a frame that passed the filter to its receiver.
func (l *Listener) received(b []byte, to Receiver) {
	switch ipv6.ICMPType(b[ethernetLen+ipv6Len]) {
	case ipv6.ICMPTypeRouterAdvertisement:
		if a, ok := parseRouterFrame(b); ok {
			l.also.Routers(l.on, a)
			return
		}
	case ipv6.ICMPTypeNeighborSolicitation:
		if from, target, ok := parseSolicitation(b); ok {
			from.On = l.on
			l.also.Solicited(from, target)
			return
		}
	default:
		if a, ok := parseFrame(b); ok {
			to.Advertised(l.on, a)
			return
		}
	}
	to.Stray()
}

// bound reports whether the socket is still bound to its interface, which it is not after
// that was removed.
func (l *Listener) bound() (bound bool) {
	_ = l.raw.Control(func(fd uintptr) {
		name, _ := unix.Getsockname(int(fd))
		at, ok := name.(*unix.SockaddrLinklayer)
		bound = ok && at.Ifindex == l.on.Index
	})
	return bound
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
	// Source and Ethernet are the sender's addresses.
	Source   netip.Addr
	Ethernet schemas.MAC
}

// parseFrame parses a frame that passed listenFilter; ok is false for what a receiver must
// discard (RFC 4861, section 7.1.2).
func parseFrame(b []byte) (a Advertisement, ok bool) {
	message, ok := payload(b)
	if !ok {
		return a, false
	}
	if a, ok = parseAdvertisement(message); !ok {
		return a, false
	}
	ip := b[ethernetLen:]
	const multicast = 0xff // the first byte of such an address
	a.Source, a.Ethernet = netip.AddrFrom16([16]byte(ip[8:24])), schemas.MAC(b[6:12])
	return a, !a.Source.IsMulticast() && !a.Source.IsUnspecified() && !(a.Solicited && ip[24] == multicast)
}

// RouterAdvertisement is a Router Advertisement that came in on a port.
type RouterAdvertisement struct {
	// Source and Ethernet are the sender's addresses. Source is link-local.
	Source   netip.Addr
	Ethernet schemas.MAC
	// Message is the ICMPv6 message; its checksum and the lengths of its options are
	// valid. It is overwritten when the receiver returns.
	Message []byte
}

// neighbourHeadLen is the length of a Neighbor Solicitation or Advertisement without
// options, in bytes (RFC 4861, sections 4.3 and 4.4).
const neighbourHeadLen = 24

// routerHeadLen is the length of a Router Advertisement without options, in bytes (RFC
// 4861, section 4.2).
const routerHeadLen = 16

// parseRouterFrame parses a frame that passed listenFilter; ok is false for what a
// receiver must discard (RFC 4861, section 6.1.2).
func parseRouterFrame(b []byte) (a RouterAdvertisement, ok bool) {
	message, ok := payload(b)
	if !ok || len(message) < routerHeadLen || message[0] != byte(ipv6.ICMPTypeRouterAdvertisement) || message[1] != 0 {
		return a, false
	}
	for options := message[routerHeadLen:]; len(options) > 0; options = options[int(options[1])*8:] {
		if options[1] == 0 || int(options[1])*8 > len(options) { // there are multiples of 8 bytes
			return a, false
		}
	}
	a = RouterAdvertisement{Source: netip.AddrFrom16([16]byte(b[ethernetLen+8:])), Ethernet: schemas.MAC(b[6:12]), Message: message}
	return a, a.Source.IsLinkLocalUnicast()
}

// parseSolicitation parses a frame that passed listenFilter; ok is false for duplicate
// address detection, and for what a receiver must discard (RFC 4861, section 7.1.1).
func parseSolicitation(b []byte) (from port.Requester, target netip.Addr, ok bool) {
	message, ok := payload(b)
	if !ok || len(message) < neighbourHeadLen || message[1] != 0 {
		return from, target, false
	}
	target = netip.AddrFrom16([16]byte(message[8:]))
	from = port.Requester{Addr: netip.AddrFrom16([16]byte(b[ethernetLen+8:])), MAC: schemas.MAC(b[6:12])}
	return from, target, !from.Addr.IsUnspecified() && !from.Addr.IsMulticast() && !target.IsMulticast()
}

// payload returns the ICMPv6 message of an Ethernet frame without extension headers; ok is
// false if it is not complete or its checksum is wrong.
func payload(b []byte) (message []byte, ok bool) {
	if len(b) < ethernetLen+ipv6Len || b[ethernetLen]>>4 != 6 {
		return nil, false
	}
	ip, rest := b[ethernetLen:][:ipv6Len], b[ethernetLen+ipv6Len:]
	length := int(binary.BigEndian.Uint16(ip[4:]))
	// Ethernet pads short frames. An ND message is a multiple of 8 bytes long.
	if length > len(rest) || length%8 != 0 {
		return nil, false
	}
	message = rest[:length]
	// The sum over a message with its checksum is 0 (RFC 1071).
	return message, checksum([16]byte(ip[8:]), [16]byte(ip[24:]), message) == 0
}

// parseAdvertisement parses an ICMPv6 message; ok is false for what a receiver must
// discard.
func parseAdvertisement(b []byte) (a Advertisement, ok bool) {
	if len(b) < neighbourHeadLen || b[0] != byte(ipv6.ICMPTypeNeighborAdvertisement) || b[1] != 0 {
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
	for options := b[neighbourHeadLen:]; len(options) > 0; {
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
