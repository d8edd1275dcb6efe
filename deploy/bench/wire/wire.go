// Package wire sends floods of Neighbor Solicitations on an interface and notes
// when one leaves another: what a benchmark does at full speed. It knows nothing
// of ndmon.
package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// Frame is an Ethernet frame with a Neighbor Solicitation that has a source
// link-layer address option (RFC 4861, section 4.3).
type Frame [Len]byte

// Where the parts of a Frame begin, and its length.
const (
	ip6At    = 14
	icmp6At  = ip6At + 40
	targetAt = icmp6At + 8
	optionAt = targetAt + 16
	Len      = optionAt + 8
)

// NewFrame returns a frame of a station for SetTarget to change.
func NewFrame(mac net.HardwareAddr, source netip.Addr) (f Frame) {
	copy(f[:], lab.Solicitation(mac, source, source).Frame())
	return f
}

// Requester is the source of what a Sender sends.
const Requester = "2001:db8:5::ff"

// NewRequest returns a frame of the requester for Set to change.
func NewRequest() Frame {
	return NewFrame(net.HardwareAddr{2, 0, 0, 0, 0, 0xff}, netip.MustParseAddr(Requester))
}

// SetSource makes it a frame of the station with a number. SetTarget has to follow.
func (f *Frame) SetSource(number uint32) {
	binary.BigEndian.PutUint32(f[8:], number)
	copy(f[optionAt+2:], f[6:12])
	binary.BigEndian.PutUint32(f[icmp6At-20:], number)
}

// Set makes it the frame whose target has a number in a prefix of 96 bits.
func (f *Frame) Set(targets netip.Prefix, number uint32) { f.SetTarget(Numbered(targets, number)) }

// SetTarget changes the target and the checksum itself: a flood has less than a
// microsecond for a frame, and serializing it takes about as long.
func (f *Frame) SetTarget(address netip.Addr) {
	target := address.As16()
	// The solicited-node address, and its Ethernet address, end like the target
	// (RFC 4291, section 2.7.1).
	copy(f[3:6], target[13:])
	copy(f[icmp6At-3:], target[13:])
	copy(f[targetAt:], target[:])
	// The addresses of the pseudo header precede the message. Its length and next
	// header are added (RFC 8200, section 8.1).
	f[icmp6At+2], f[icmp6At+3] = 0, 0
	sum := uint32(Len-icmp6At) + 58
	for at := ip6At + 8; at < Len; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[at:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[icmp6At+2:], ^uint16(sum))
}

// Target returns the target of a solicitation or an advertisement without extension
// headers, which may be longer or shorter than a Frame.
func Target(frame []byte) (target netip.Addr, ok bool) {
	if len(frame) < optionAt {
		return target, false
	}
	return netip.AddrFromSlice(frame[targetAt:optionAt])
}

// Numbered returns the address of a number in a prefix of 96 bits.
func Numbered(p netip.Prefix, number uint32) netip.Addr {
	b := p.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], number)
	return netip.AddrFrom16(b)
}

// Number returns the number of an address that Numbered has returned for the
// prefix.
func Number(p netip.Prefix, a netip.Addr) (number uint32, ok bool) {
	if !p.Contains(a) {
		return 0, false
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[12:]), true
}

// batch is how many frames are sent with one system call at most.
const batch = 64

// Sender sends frames on an interface.
type Sender struct {
	fd      int
	frames  [batch]Frame
	vectors [batch]unix.Iovec
	headers [batch]mmsghdr
}

// mmsghdr is that of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// NewSender opens an interface of a namespace to send on, until the test ends.
func NewSender(t lab.TB, n *lab.Namespace, name string) *Sender {
	t.Helper()
	s := &Sender{}
	var err error
	n.Do(func() { s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	if err == nil {
		t.Cleanup(func() { unix.Close(s.fd) })
		err = unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: n.Index(name)})
	}
	if err != nil {
		t.Fatalf("open a packet socket on %s: %v", name, err)
	}
	for i := range s.frames {
		s.frames[i] = NewRequest()
		s.vectors[i] = unix.Iovec{Base: &s.frames[i][0], Len: Len}
		s.headers[i].header.Iov = &s.vectors[i]
		s.headers[i].header.Iovlen = 1
	}
	return s
}

// send sends the first frames, all of them.
func (s *Sender) send(count int) error {
	for first := 0; first < count; {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.headers[first])), uintptr(count-first), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return fmt.Errorf("send frames: %w", errno)
		default:
			first += int(sent)
		}
	}
	return nil
}

// Flood reports the frames that were sent.
type Flood struct {
	Frames     int
	Begin, End time.Time
	// CPU is the processor time of sending, including the delivery to the
	// receiver's socket.
	CPU time.Duration
}

// Rate returns the frames per second.
func (f Flood) Rate() float64 { return float64(f.Frames) / f.End.Sub(f.Begin).Seconds() }

// Tick is the interval at which a flood sends.
const Tick = time.Millisecond

// Flood sends frames numbered from 0 at a steady rate per second for a duration.
// It calls fill for each frame immediately before sending it.
func (s *Sender) Flood(ctx context.Context, rate int, d time.Duration, fill func(f *Frame, number int)) (Flood, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	total := int(float64(rate) * d.Seconds())
	if total < 1 {
		return Flood{}, errors.New("less than one frame to send: the rate or the duration is too small")
	}
	cpu := proc.CPUOfThread()
	f := Flood{Begin: time.Now()}
	for f.Frames < total {
		elapsed := time.Since(f.Begin)
		due := min(total, int(elapsed.Seconds()*float64(rate))+1)
		for f.Frames < due {
			count := min(due-f.Frames, batch)
			for i := range count {
				fill(&s.frames[i], f.Frames+i)
			}
			if err := s.send(count); err != nil {
				return f, err
			}
			f.Frames += count
		}
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		// Until the next tick on which a frame is due.
		next := time.Duration(float64(f.Frames) / float64(rate) * float64(time.Second))
		next = (next + Tick - 1) / Tick * Tick
		if wait := next - time.Since(f.Begin); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&ts, nil) // woken early, it finds that nothing is due
		}
	}
	f.End = time.Now()
	f.CPU = proc.CPUOfThread() - cpu
	return f, nil
}
