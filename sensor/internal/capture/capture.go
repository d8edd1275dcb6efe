//go:build linux

// Package capture reads the frames of one direction of one network interface.
package capture

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/gopacket/pcapgo"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// frameLength is the length in bytes of the longest frame that is read whole:
// an Ethernet header, two VLAN tags, LLC and SNAP headers, and the longest IPv6
// packet that is no jumbogram (RFC 8200, section 3). It does not follow the
// interface's MTU, which may change at any time and which received frames may
// exceed.
const frameLength = 14 + 2*4 + 8 + 40 + 65535

// burst is how many frames are read before the reader looks whether the handle
// was closed.
const burst = 256

// Options say how an interface is captured.
type Options struct {
	// Filter decides in the kernel which frames are read.
	Filter []bpf.Instruction
	// Promiscuous asks for frames that are addressed to other hosts too.
	Promiscuous bool
	// ReceiveBuffer is the size in bytes of the kernel's queue of frames that
	// wait to be read, as SO_RCVBUF counts it; 0 leaves the system's default.
	ReceiveBuffer int
}

// Frame is one captured frame.
type Frame struct {
	// Data is valid until the function that was given the frame returns.
	Data []byte
	// Length is the frame's length in bytes on the wire. It is more than that of
	// Data if the frame was cut.
	Length int
	// Time is the kernel's time stamp.
	Time time.Time
	// VLAN is the tag control information of the 802.1Q tag that the kernel took
	// out of the frame, and Tagged says that there was one.
	VLAN   uint16
	Tagged bool
}

// Handle captures on one interface. Its methods must not be called at the same
// time, except for Frames, which is made to run beside the others.
type Handle struct {
	eth   *pcapgo.EthernetHandle
	fd    int
	index int

	// file is a duplicate of the socket, known to the runtime's poller: a read
	// waits without a thread, and closing file wakes it. The EthernetHandle can
	// do neither.
	file *os.File
	conn syscall.RawConn

	// closing is set before file is closed: what a read then returns is an error
	// of an internal package.
	closing atomic.Bool
	// reading is held by Frames, and guards closed.
	reading sync.Mutex
	closed  bool
}

// Open captures on the interface of that name and index. It needs CAP_NET_RAW,
// lacking which the error is unix.EPERM. If the name stands for an interface
// with another index by now, the error is unix.ENODEV.
func Open(name string, index int, o Options) (*Handle, error) {
	h, err := open(name, index, o)
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", name, err)
	}
	return h, nil
}

func open(name string, index int, o Options) (_ *Handle, err error) {
	filter, err := bpf.Assemble(o.Filter)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	eth, err := pcapgo.NewEthernetHandle(name)
	if err != nil {
		return nil, withErrno(err)
	}
	h := &Handle{eth: eth, index: index}
	defer func() {
		if err == nil {
			return
		}
		if h.file != nil {
			h.file.Close()
		}
		eth.Close()
	}()

	if h.fd, err = descriptor(eth); err != nil {
		return nil, err
	}
	unix.CloseOnExec(h.fd)
	if !h.Bound() {
		return nil, fmt.Errorf("index is no longer %d: %w", index, unix.ENODEV)
	}
	if err = unix.SetNonblock(h.fd, true); err != nil {
		return nil, fmt.Errorf("make the socket nonblocking: %w", err)
	}
	if err = eth.SetCaptureLength(frameLength); err != nil {
		return nil, err
	}

	// The socket has been open to every frame since it was bound. Shut it, throw
	// away what is queued, and only then open it to those of the filter.
	if err = h.rest(func(Frame) {}); err != nil {
		return nil, fmt.Errorf("empty the queue: %w", err)
	}
	if err = h.setReceiveBuffer(o.ReceiveBuffer); err != nil {
		return nil, err
	}
	if o.Promiscuous {
		if err = eth.SetPromiscuous(true); err != nil {
			return nil, fmt.Errorf("make the interface promiscuous: %w", err)
		}
	}
	if err = eth.SetBPF(filter); err != nil {
		return nil, fmt.Errorf("attach the filter: %w", err)
	}

	dup, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the socket: %w", err)
	}
	h.file = os.NewFile(uintptr(dup), "packet socket of "+name)
	if h.conn, err = h.file.SyscallConn(); err != nil {
		return nil, err
	}
	return h, nil
}

// Frames calls deliver for each frame until the handle is closed, which is no
// error, or the socket fails. It reads what was queued before it was closed.
// deliver must neither block nor call Close.
func (h *Handle) Frames(deliver func(Frame)) error {
	h.reading.Lock()
	defer h.reading.Unlock()
	if h.closed {
		return nil
	}
	var failure error
	batch := func(uintptr) bool {
		for range burst {
			f, err := h.read()
			switch err {
			case nil:
				deliver(f)
			case unix.EAGAIN:
				return false
			case unix.ENETDOWN, unix.EINTR:
				// The interface went down. The socket lives on and reads again
				// when it is up.
			default:
				failure = err
				return true
			}
		}
		return true
	}
	for {
		err := h.conn.Read(batch)
		switch {
		case err != nil && h.closing.Load():
			return h.rest(deliver)
		case err != nil:
			return fmt.Errorf("wait for a frame: %w", err)
		case failure != nil:
			return fmt.Errorf("read a frame: %w", failure)
		}
	}
}

// rest delivers the frames that are queued and makes the kernel queue no more.
func (h *Handle) rest(deliver func(Frame)) error {
	none, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	if err := h.eth.SetBPF(none); err != nil {
		return fmt.Errorf("attach the filter that rejects all: %w", err)
	}
	for {
		f, err := h.read()
		switch err {
		case nil:
			deliver(f)
		case unix.EINTR, unix.ENETDOWN:
		case unix.EAGAIN:
			return nil
		default:
			return fmt.Errorf("read a frame: %w", err)
		}
	}
}

// read reads one frame. Its errors are errnos as they are, not wrapped.
func (h *Handle) read() (Frame, error) {
	data, ci, err := h.eth.ZeroCopyReadPacketData()
	if err != nil {
		if no, ok := errno(err); ok {
			return Frame{}, no
		}
		return Frame{}, err
	}
	f := Frame{Data: data, Length: ci.Length, Time: ci.Timestamp.UTC()}
	if len(ci.AncillaryData) > 0 {
		if tci, ok := ci.AncillaryData[0].(int); ok {
			f.VLAN, f.Tagged = uint16(tci), true
		}
	}
	return f, nil
}

// setReceiveBuffer asks for the size with and, if that is not allowed, without
// CAP_NET_ADMIN. Without it the kernel silently gives no more than
// net.core.rmem_max: see ReceiveBuffer.
func (h *Handle) setReceiveBuffer(size int) error {
	if size == 0 {
		return nil
	}
	err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	if err == unix.EPERM {
		err = unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	if err != nil {
		return fmt.Errorf("set the receive buffer to %d bytes: %w", size, err)
	}
	return nil
}

// ReceiveBuffer returns the size in bytes of the receive buffer that the kernel
// gave, in the measure of Options.
func (h *Handle) ReceiveBuffer() (int, error) {
	// The kernel doubles what it is asked for (socket(7)).
	size, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0, fmt.Errorf("get the size of the receive buffer: %w", err)
	}
	return size / 2, nil
}

// Bound reports whether the interface still exists. It is false for good once
// the interface was deleted or moved to another network namespace, even if
// there is one with the same name and index now.
func (h *Handle) Bound() bool {
	addr, err := unix.Getsockname(h.fd)
	if err != nil {
		return false
	}
	ll, ok := addr.(*unix.SockaddrLinklayer)
	return ok && ll.Ifindex == h.index
}

// Dropped returns how many frames the kernel has dropped since the last call
// because the receive buffer was full.
func (h *Handle) Dropped() (uint64, error) {
	stats, err := h.eth.Stats()
	if err != nil {
		return 0, fmt.Errorf("get the packet socket's statistics: %w", err)
	}
	return uint64(stats.Drops), nil
}

// Close ends Frames, waits until it has returned, and frees the socket. It
// returns what Dropped would return.
func (h *Handle) Close() (dropped uint64, err error) {
	h.closing.Store(true)
	err = h.file.Close()
	h.reading.Lock()
	defer h.reading.Unlock()
	h.closed = true
	dropped, dropErr := h.Dropped()
	h.eth.Close()
	return dropped, errors.Join(err, dropErr)
}

// descriptor returns the handle's socket, which pcapgo keeps to itself.
func descriptor(eth *pcapgo.EthernetHandle) (int, error) {
	v := reflect.ValueOf(eth).Elem().FieldByName("fd")
	if !v.IsValid() || !v.CanInt() {
		return 0, errors.New("pcapgo.EthernetHandle has no field fd: not the gopacket that this is written for")
	}
	return int(v.Int()), nil
}
