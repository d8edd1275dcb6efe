// Package capture reads the frames of a network interface, those that the host
// receives and those that it sends, in the order of the kernel's time stamps.
package capture

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// burst is how many frames are read before the reader checks whether the handle was closed.
const burst = 256

// Options are the settings of a capture.
type Options struct {
	// In and Out select in the kernel the frames that are read: In those that the host
	// receives, Out those that it sends. The programs must tell the two directions apart,
	// as filter.ND does, because only a filter sees the kernel's packet type.
	In, Out []bpf.Instruction
	// Promiscuous also captures frames that are addressed to other hosts.
	Promiscuous bool
	// ReceiveBuffer is the size in bytes of each of the kernel's two queues of frames that wait to
	// be read, as SO_RCVBUF counts it; 0 leaves the system's default.
	ReceiveBuffer int
}

// Handle captures on one interface. Its methods must not be called concurrently, except
// Frames, which runs while the others are called.
type Handle struct {
	// sockets are the one for In and the one for Out.
	sockets []*socket
	index   int
	merger  merger

	// file is an epoll instance of both sockets, registered with the runtime's poller:
	// Frames waits for either socket without blocking a thread, and closing the file
	// wakes it. pcapgo's own reads can do neither.
	file *os.File
	conn syscall.RawConn

	// closing is set before file is closed, because the error that a read then returns
	// belongs to an internal package.
	closing atomic.Bool
	// reading is held by Frames, and guards closed.
	reading sync.Mutex
	closed  bool
}

// Open captures on the interface with a name and index. Without CAP_NET_RAW the error is
// unix.EPERM. If the name belongs to an interface with another index by now, the error is
// unix.ENODEV.
func Open(name string, index int, o Options) (*Handle, error) {
	h := &Handle{index: index}
	if err := h.open(name, o); err != nil {
		for _, s := range h.sockets {
			s.close()
		}
		if h.file != nil {
			h.file.Close()
		}
		return nil, fmt.Errorf("capture on %s: %w", name, err)
	}
	return h, nil
}

func (h *Handle) open(name string, o Options) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an epoll instance: %w", err)
	}
	// No call waits in it, but the flag makes os.NewFile register the file with the
	// runtime's poller.
	if err := unix.SetNonblock(epoll, true); err != nil {
		unix.Close(epoll)
		return fmt.Errorf("make the epoll instance nonblocking: %w", err)
	}
	h.file = os.NewFile(uintptr(epoll), "packet sockets of "+name)
	if h.conn, err = h.file.SyscallConn(); err != nil {
		return err
	}
	h.merger = merger{now: time.Now, poll: func() ([2]bool, error) { return pollSockets(epoll) }}
	for i, filter := range [...][]bpf.Instruction{o.In, o.Out} {
		s, err := openSocket(name, h.index, socketOptions{
			out: i == 1, filter: filter, receiveBuffer: o.ReceiveBuffer,
			// The interface as a whole is promiscuous, so one socket is enough.
			promiscuous: o.Promiscuous && i == 0,
		})
		if err != nil {
			return err
		}
		h.sockets = append(h.sockets, s)
		h.merger.sides[i].read = s.read
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
			return fmt.Errorf("add a socket to the epoll instance: %w", err)
		}
	}
	return nil
}

// pollSockets reports which sockets in the epoll instance hold a frame or an error.
func pollSockets(epoll int) (ready [2]bool, err error) {
	var events [len(ready)]unix.EpollEvent
	n, err := unix.EpollWait(epoll, events[:], 0)
	for err == unix.EINTR {
		n, err = unix.EpollWait(epoll, events[:], 0)
	}
	if err != nil {
		return ready, fmt.Errorf("poll the sockets: %w", err)
	}
	for _, e := range events[:n] {
		ready[e.Fd] = true
	}
	return ready, nil
}

// Frames calls deliver for each frame until the handle is closed, which is no error, or a
// socket fails. It reads the frames that were queued before that. Each time that no frame is
// left it calls idle and waits. Neither may call Close; frames are lost while they block.
//
// Frames are delivered in the order of their time stamps, as far as that is possible without
// waiting: the frames of both sockets are merged, and before a frame is delivered, the other socket
// is polled unless it was polled after the time of the stamp. An answer is always delivered after
// its question, because the kernel queues one before it makes the other. Of two independent frames
// the older may still come later, because the kernel stamps a frame before it queues it. Its time
// is then raised to that of the previous frame. So times never go back, except by a second or more:
// then the host's clock was set back.
func (h *Handle) Frames(deliver func(Frame), idle func()) error {
	h.reading.Lock()
	defer h.reading.Unlock()
	if h.closed {
		return nil
	}
	var failure error
	batch := func(uintptr) bool {
		h.merger.begin()
		for range burst {
			f, err := h.merger.next()
			switch err {
			case nil:
				deliver(f)
			case unix.EAGAIN:
				for _, s := range h.sockets {
					s.messages.Idle()
				}
				idle()
				return false
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
		case failure != nil:
			h.rest(deliver) // of the other socket; this one fails again
			return failure
		case err != nil && h.closing.Load():
			return h.rest(deliver)
		case err != nil:
			return fmt.Errorf("wait for a frame: %w", err)
		}
	}
}

// rest delivers the frames that are queued and makes the kernel queue no more.
func (h *Handle) rest(deliver func(Frame)) error {
	var failed []error
	for _, s := range h.sockets {
		failed = append(failed, s.shut())
	}
	h.merger.end()
	for {
		f, err := h.merger.next()
		switch err {
		case nil:
			deliver(f)
		case unix.EAGAIN:
			return errors.Join(failed...)
		default:
			failed = append(failed, err)
		}
	}
}

// ReceiveBuffer returns the size in bytes of the smaller one of the two receive buffers,
// as Options.ReceiveBuffer counts it.
func (h *Handle) ReceiveBuffer() (int, error) {
	smallest := 0
	for i, s := range h.sockets {
		size, err := s.receiveBuffer()
		if err != nil {
			return 0, err
		}
		if i == 0 || size < smallest {
			smallest = size
		}
	}
	return smallest, nil
}

// Bound reports whether the interface still exists. It stays false once the interface was deleted
// or moved to another network namespace, even if another one has the same name and index now.
func (h *Handle) Bound() bool {
	for _, s := range h.sockets {
		if !s.bound(h.index) {
			return false
		}
	}
	return true
}

// Address returns the Ethernet address that the interface has now. The function that
// Frames calls may call it.
func (h *Handle) Address() (mac [6]byte, ok bool) { return h.sockets[0].address() }

// Dropped returns how many frames the kernel has dropped since the last call because a
// receive buffer was full.
func (h *Handle) Dropped() (dropped uint64, err error) {
	for _, s := range h.sockets {
		n, e := s.dropped()
		dropped += n
		err = errors.Join(err, e)
	}
	return dropped, err
}

// Close ends Frames, waits until it has returned, and frees the sockets. It
// returns what Dropped would return.
func (h *Handle) Close() (dropped uint64, err error) {
	h.closing.Store(true)
	err = h.file.Close()
	h.reading.Lock()
	defer h.reading.Unlock()
	h.closed = true
	dropped, dropErr := h.Dropped()
	for _, s := range h.sockets {
		s.close()
	}
	return dropped, errors.Join(err, dropErr)
}
