package capture

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"

	"github.com/google/gopacket/pcapgo"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// frameLength is the length in bytes of the longest frame that is read whole:
// an Ethernet header, two VLAN tags, LLC and SNAP headers, and the longest IPv6 packet
// that is no jumbogram (RFC 8200, section 3). It does not depend on the interface's MTU,
// which may change at any time and which received frames may exceed.
const frameLength = 14 + 2*4 + 8 + 40 + 65535

// socket is a packet socket for the frames of one direction.
type socket struct {
	eth *pcapgo.EthernetHandle
	fd  int
	out bool
}

type socketOptions struct {
	out           bool
	filter        []bpf.Instruction
	promiscuous   bool
	receiveBuffer int
}

func openSocket(name string, index int, o socketOptions) (_ *socket, err error) {
	filter, err := bpf.Assemble(o.filter)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	eth, err := pcapgo.NewEthernetHandle(name)
	if err != nil {
		return nil, withErrno(err)
	}
	defer func() {
		if err != nil {
			eth.Close()
		}
	}()
	s := &socket{eth: eth, out: o.out}
	if s.fd, err = descriptor(eth); err != nil {
		return nil, err
	}
	unix.CloseOnExec(s.fd)
	if !s.bound(index) {
		return nil, fmt.Errorf("index is no longer %d: %w", index, unix.ENODEV)
	}
	if err = unix.SetNonblock(s.fd, true); err != nil {
		return nil, fmt.Errorf("make the socket nonblocking: %w", err)
	}
	if err = eth.SetCaptureLength(frameLength); err != nil {
		return nil, err
	}

	// Since it was bound, the socket has received every frame. Shut it, discard what is
	// queued, and only then attach the filter.
	if err = s.shut(); err != nil {
		return nil, err
	}
	for err == nil {
		_, err = s.read()
	}
	if err != unix.EAGAIN {
		return nil, fmt.Errorf("empty the queue: %w", err)
	}
	if err = s.setReceiveBuffer(o.receiveBuffer); err != nil {
		return nil, err
	}
	if o.promiscuous {
		if err = eth.SetPromiscuous(true); err != nil {
			return nil, fmt.Errorf("make the interface promiscuous: %w", err)
		}
	}
	if err = eth.SetBPF(filter); err != nil {
		return nil, fmt.Errorf("attach the filter: %w", err)
	}
	return s, nil
}

// shut makes the kernel queue no more frames.
func (s *socket) shut() error {
	none, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	if err := s.eth.SetBPF(none); err != nil {
		return fmt.Errorf("attach the filter that rejects all: %w", err)
	}
	return nil
}

// read reads one frame. If there is none, the error is unix.EAGAIN, not wrapped.
func (s *socket) read() (Frame, error) {
	for {
		data, ci, err := s.eth.ZeroCopyReadPacketData()
		if err == nil {
			f := Frame{Data: data, Length: ci.Length, Time: ci.Timestamp.UTC(), Out: s.out}
			if len(ci.AncillaryData) > 0 {
				if tci, ok := ci.AncillaryData[0].(int); ok {
					f.VLAN, f.Tagged = uint16(tci), true
				}
			}
			return f, nil
		}
		switch no, _ := errno(err); no {
		case unix.EAGAIN:
			return Frame{}, unix.EAGAIN
		case unix.ENETDOWN, unix.EINTR:
			// The interface went down. The socket stays open and receives again when it is up.
		default:
			return Frame{}, fmt.Errorf("read a frame: %w", withErrno(err))
		}
	}
}

// setReceiveBuffer sets the size. Without CAP_NET_ADMIN the kernel silently limits it to
// net.core.rmem_max; see receiveBuffer.
func (s *socket) setReceiveBuffer(size int) error {
	if size == 0 {
		return nil
	}
	err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	if err == unix.EPERM {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	if err != nil {
		return fmt.Errorf("set the receive buffer to %d bytes: %w", size, err)
	}
	return nil
}

// receiveBuffer returns the size in bytes of the receive buffer, without what the
// kernel adds to it.
func (s *socket) receiveBuffer() (int, error) {
	// The kernel doubles the size (socket(7)).
	size, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0, fmt.Errorf("get the size of the receive buffer: %w", err)
	}
	return size / 2, nil
}

func (s *socket) bound(index int) bool {
	name := s.name()
	return name != nil && name.Ifindex == index
}

func (s *socket) address() (mac [6]byte, ok bool) {
	name := s.name()
	if name == nil || int(name.Halen) != len(mac) {
		return mac, false
	}
	copy(mac[:], name.Addr[:])
	return mac, true
}

// name returns the interface that the socket is bound to, nil if that is unknown.
func (s *socket) name() *unix.SockaddrLinklayer {
	addr, _ := unix.Getsockname(s.fd)
	name, _ := addr.(*unix.SockaddrLinklayer)
	return name
}

// dropped returns how many frames the kernel has dropped since the last call because the
// receive buffer was full.
func (s *socket) dropped() (uint64, error) {
	stats, err := s.eth.Stats()
	if err != nil {
		return 0, fmt.Errorf("get the packet socket's statistics: %w", err)
	}
	return uint64(stats.Drops), nil
}

// descriptor returns the handle's socket. pcapgo keeps it private and has no method for
// what needs it: nonblocking reads that the runtime's poller wakes, the size of the receive
// buffer, and the interface that the socket is bound to. So the field is read by
// reflection. pcapgo is frozen; TestDescriptor fails if another version has another field.
func descriptor(eth *pcapgo.EthernetHandle) (int, error) {
	v := reflect.ValueOf(eth).Elem().FieldByName("fd")
	if !v.IsValid() || !v.CanInt() {
		return 0, errors.New("pcapgo.EthernetHandle has no field fd: this needs another version of gopacket")
	}
	return int(v.Int()), nil
}

// lastErrno is the highest error number of Linux, EHWPOISON.
const lastErrno = 133

// errno returns the error number in an error of pcapgo. pcapgo.EthernetHandle formats the number
// into the end of its text with %v instead of wrapping it, so the text is all that there is: it is
// compared with the texts of the system's error numbers. Without that, an empty socket (EAGAIN), an
// interface that is down (ENETDOWN) and a real failure would look alike.
func errno(err error) (syscall.Errno, bool) {
	text := err.Error()
	if endsIn(text, unix.EAGAIN) {
		return unix.EAGAIN, true
	}
	for no := syscall.Errno(1); no <= lastErrno; no++ {
		if endsIn(text, no) {
			return no, true
		}
	}
	return 0, false
}

func endsIn(text string, no syscall.Errno) bool {
	before, ok := strings.CutSuffix(text, no.Error())
	return ok && strings.HasSuffix(before, ": ")
}

// withErrno makes errors.Is find the error number in an error of pcapgo.
func withErrno(err error) error {
	// This text is of package net, whose error has no number.
	if before, ok := strings.CutSuffix(err.Error(), "no such network interface"); ok {
		return fmt.Errorf("%s%w", before, unix.ENODEV)
	}
	no, ok := errno(err)
	if !ok {
		return err
	}
	before, _ := strings.CutSuffix(err.Error(), no.Error())
	return fmt.Errorf("%s%w", before, no)
}

// CheckRights returns an error if packet sockets cannot be opened: unix.EPERM without CAP_NET_RAW.
func CheckRights() error {
	// Protocol 0 receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	return unix.Close(fd)
}
