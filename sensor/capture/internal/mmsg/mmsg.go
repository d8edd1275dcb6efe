// Package mmsg reads many messages of a socket with one system call, recvmmsg(2), for which
// package unix has no function. It has the only unsafe code of its module, and does not know what
// the messages are.
package mmsg

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Batch is how many messages are read at once.
	Batch = 32
	// controlSize is the length in bytes of the control messages of one message, at most.
	controlSize = 128
)

// Reader reads messages into memory of its own. Its methods must not be called concurrently.
type Reader struct {
	fd int
	// memory has a buffer for each message, a multiple of pages. It is mapped, because only those of
	// its pages exist that a message has reached: for short messages one for each buffer.
	memory   []byte
	messages [Batch]message
	vectors  [Batch]unix.Iovec
	controls [Batch][controlSize]byte
	// long says that a message was longer than a page since pages were given back.
	long bool
}

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	length uint32
}

// New returns a reader of a nonblocking socket for messages of at most so many bytes. Close frees its memory,
// and leaves the socket open.
func New(fd, size int) (*Reader, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, Batch*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for messages: %w", Batch*size, err)
	}
	// Huge pages would all exist. A kernel without them returns an error.
	_ = unix.Madvise(memory, unix.MADV_NOHUGEPAGE)
	r := &Reader{fd: fd, memory: memory}
	for i := range r.messages {
		r.vectors[i].Base = &memory[i*size]
		r.vectors[i].SetLen(size)
		h := &r.messages[i].header
		h.Iov, h.Control = &r.vectors[i], &r.controls[i][0]
		h.SetIovlen(1)
		h.SetControllen(controlSize)
	}
	return r, nil
}

// Read reads those messages that wait, and returns how many they are: fewer than Batch if no more
// waited. They are valid until the next call. An error is a unix.Errno: EAGAIN if none waited.
func (r *Reader) Read() (int, error) {
	// The kernel only writes to memory that r points to, and keeps no pointer to it. The call never
	// waits, so the scheduler need not be told of it, which would wake another thread to look after it.
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.messages)), Batch, unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Message returns message i of those that Read has read, and its control messages. Length is that of the message
// where it waited, of which data may be only the beginning. It must be called once.
func (r *Reader) Message(i int) (data, control []byte, length int) {
	m := &r.messages[i]
	size := len(r.memory) / Batch
	length = int(m.length)
	data = r.memory[i*size:][:min(length, size):size]
	control = r.controls[i][:m.header.Controllen]
	m.header.SetControllen(controlSize) // for the next Read
	r.long = r.long || length > unix.Getpagesize()
	return data, control, length
}

// Idle gives pages back that long messages have left. The messages are no longer valid.
func (r *Reader) Idle() {
	if r.long {
		r.long = false
		_ = unix.Madvise(r.memory, unix.MADV_DONTNEED) // which only costs memory if it fails
	}
}

// Close frees the memory. The messages are no longer valid.
func (r *Reader) Close() error { return unix.Munmap(r.memory) }
