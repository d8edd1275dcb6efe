package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Wire sends whole Ethernet frames on an interface and records those that pass. Only
// Write may be called from several goroutines.
type Wire struct {
	n     *Namespace
	name  string
	fd    int
	index int
	seen  []byte
}

// Frame is a frame that a Wire has recorded.
type Frame struct {
	// Data is the frame from the Ethernet header on, without a VLAN tag that the
	// interface has removed.
	Data []byte
	// Out is true for a frame that this side has sent.
	Out bool
}

// Wire opens an interface. It records the frames that pass from now on.
func (n *Namespace) Wire(name string) *Wire {
	n.t.Helper()
	w := &Wire{n: n, name: name, index: n.Index(name), seen: make([]byte, 1<<16)}
	const all = unix.ETH_P_ALL
	var err error
	n.Do(func() {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all<<8&0xff00 | all>>8, Ifindex: w.index})
		}
	})
	n.must(err, "open the wire at %s", name)
	n.t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// Send puts frames on the wire.
func (w *Wire) Send(frames ...[]byte) {
	w.n.t.Helper()
	for _, frame := range frames {
		_, err := w.Write(frame)
		w.n.must(err, "send")
	}
}

// Write puts one frame on the wire. It returns an error where Send ends the test,
// and may be called concurrently with the other methods.
func (w *Wire) Write(frame []byte) (int, error) {
	return (&Sender{w.fd, w.index, w.name}).Write(frame)
}

// Send puts frames on the wire behind an interface, without watching it.
func (n *Namespace) Send(name string, frames ...[]byte) {
	n.t.Helper()
	s := n.Sender(name)
	defer s.Close()
	for _, frame := range frames {
		_, err := s.Write(frame)
		n.must(err, "send")
	}
}

// Sender opens an interface of the namespace to send on it. The caller closes it.
func (n *Namespace) Sender(name string) *Sender {
	n.t.Helper()
	var s *Sender
	var err error
	n.Do(func() { s, err = NewSender(name) })
	n.must(err, "open a sender")
	return s
}

// Sender sends frames on an interface. It returns errors, so programs can use it.
type Sender struct {
	fd, index int
	name      string
}

// NewSender opens an interface of the network namespace that the program is in.
// It needs CAP_NET_RAW.
func NewSender(name string) (*Sender, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return &Sender{fd, i.Index, name}, nil
}

// Write puts one frame on the wire.
func (s *Sender) Write(frame []byte) (int, error) {
	if err := unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.index}); err != nil {
		return 0, fmt.Errorf("send a frame on %s: %w", s.name, err)
	}
	return len(frame), nil
}

// Close closes the interface.
func (s *Sender) Close() error { return unix.Close(s.fd) }

// Frames returns the frames that have passed since the last call. A veth pair
// delivers frames immediately, so frames sent before the call are among them. It
// fails the test if the kernel dropped any.
func (w *Wire) Frames() []Frame {
	w.n.t.Helper()
	var frames []Frame
	for {
		size, from, err := unix.Recvfrom(w.fd, w.seen, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		w.n.must(err, "see the frames on %s", w.name)
		out := from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING
		frames = append(frames, Frame{append([]byte(nil), w.seen[:size]...), out})
	}
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	w.n.must(err, "count the frames on %s", w.name)
	if stats.Drops > 0 {
		w.n.t.Fatalf("namespace %s: %d frames on %s were not seen", w.n.name, stats.Drops, w.name)
	}
	return frames
}

// EchoRequest is an ICMPv6 echo request in a frame.
type EchoRequest struct {
	Source, Target netip.Addr
	HopLimit       uint8
}

// EchoRequests returns the echo requests among the frames that a Wire has
// received.
func EchoRequests(frames []Frame) []EchoRequest {
	var echoes []EchoRequest
	each(frames, layers.LayerTypeICMPv6Echo, func(ip *layers.IPv6, icmp *layers.ICMPv6, _ gopacket.Layer) {
		if icmp.TypeCode.Type() == layers.ICMPv6TypeEchoRequest {
			echoes = append(echoes, EchoRequest{addressOf(ip.SrcIP), addressOf(ip.DstIP), ip.HopLimit})
		}
	})
	return echoes
}

// Solicited returns the targets of the Neighbor Solicitations among the frames
// that a Wire has received.
func Solicited(frames []Frame) []netip.Addr {
	var targets []netip.Addr
	each(frames, layers.LayerTypeICMPv6NeighborSolicitation, func(_ *layers.IPv6, _ *layers.ICMPv6, l gopacket.Layer) {
		targets = append(targets, addressOf(l.(*layers.ICMPv6NeighborSolicitation).TargetAddress))
	})
	return targets
}

// each calls f for the received frames whose ICMPv6 message is of a type.
func each(frames []Frame, kind gopacket.LayerType, f func(*layers.IPv6, *layers.ICMPv6, gopacket.Layer)) {
	for _, frame := range frames {
		packet := gopacket.NewPacket(frame.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
		if l := packet.Layer(kind); l != nil && !frame.Out {
			f(packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6), packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6), l)
		}
	}
}

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}
