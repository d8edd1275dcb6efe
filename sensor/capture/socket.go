package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"reflect"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/sensor/capture/internal/mmsg"
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
	// messages reads the frames, frames are those that it has read last.
	messages *mmsg.Reader
	frames   [mmsg.Batch]Frame
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
		return nil, failure(err, name)
	}
	s := &socket{eth: eth, out: o.out}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
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
	if s.messages, err = mmsg.New(s.fd, frameLength); err != nil {
		return nil, err
	}

	// Since it was bound, the socket has received every frame. Shut it, discard what is
	// queued, and only then attach the filter.
	if err = s.shut(); err != nil {
		return nil, err
	}
	for err == nil {
		_, _, err = s.read()
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

// close frees what openSocket has made.
func (s *socket) close() {
	s.eth.Close()
	if s.messages != nil {
		s.messages.Close() // it fails for no memory that New has mapped
	}
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

// read returns frames that wait, valid until the next call, and whether more may wait. If there is none, the error
// is unix.EAGAIN, not wrapped.
func (s *socket) read() (frames []Frame, more bool, err error) {
	for {
		n, err := s.messages.Read()
		switch err {
		case nil:
			for i := range n {
				s.frames[i] = s.frame(i)
			}
			return s.frames[:n], n == mmsg.Batch, nil
		case unix.EAGAIN:
			return nil, false, unix.EAGAIN
		case unix.ENETDOWN, unix.EINTR:
			// The interface went down. The socket stays open and receives again when it is up.
		default:
			return nil, false, fmt.Errorf("read a frame: %w", err)
		}
	}
}

func (s *socket) frame(i int) Frame {
	data, control, length := s.messages.Message(i)
	f := Frame{Data: data, Length: length, Out: s.out}
	f.parseControl(control)
	if f.Time.IsZero() {
		f.Time = time.Now().UTC()
	}
	return f
}

// parseControl sets what the kernel says about a frame (packet(7), socket(7)).
func (f *Frame) parseControl(messages []byte) {
	for len(messages) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(messages)
		if err != nil {
			return
		}
		messages = rest
		switch {
		case header.Level == unix.SOL_PACKET && header.Type == unix.PACKET_AUXDATA && len(data) >= 20:
			// struct tpacket_auxdata: status, length on the wire, four numbers, VLAN, its EtherType.
			f.Length = int(binary.NativeEndian.Uint32(data[4:]))
			if binary.NativeEndian.Uint32(data)&unix.TP_STATUS_VLAN_VALID != 0 {
				f.VLAN, f.Tagged = binary.NativeEndian.Uint16(data[16:]), true
			}
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SO_TIMESTAMPNS:
			// struct timespec
			switch len(data) {
			case 16:
				f.Time = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:]))).UTC()
			case 8:
				f.Time = time.Unix(int64(int32(binary.NativeEndian.Uint32(data))), int64(binary.NativeEndian.Uint32(data[4:]))).UTC()
			}
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

// failure returns an error of pcapgo.NewEthernetHandle for an interface with an error number. pcapgo formats the number into
// the text instead of wrapping it, so what is wrong is looked up: whether there are rights, and the interface.
func failure(err error, name string) error {
	if rights := CheckRights(); rights != nil {
		return rights
	}
	if _, missing := net.InterfaceByName(name); missing != nil {
		return fmt.Errorf("%w: %w", err, unix.ENODEV)
	}
	return err
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
