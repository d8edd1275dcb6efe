package wire

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is a message of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// point has a message point to its data and to the address of the other side.
func (h *mmsghdr) point(vector *unix.Iovec, data []byte, address unsafe.Pointer, size uint32) {
	vector.Base = &data[0]
	vector.SetLen(len(data))
	h.Iov = vector
	h.SetIovlen(1)
	h.Name, h.Namelen = (*byte)(address), size
}

// transfer is sendmmsg or recvmmsg without waiting. It returns how many messages were
// transferred, or why the first was not.
func transfer(call, fd uintptr, messages []mmsghdr) (count int, err error) {
	// A raw system call, because it does not wait. To other ones Go's scheduler reacts
	// by waking its monitor, which costs as much as sending a frame.
	return repeat(func() (uintptr, uintptr, unix.Errno) {
		return unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	})
}

// repeat repeats a system call that signals interrupt.
func repeat(call func() (uintptr, uintptr, unix.Errno)) (result int, err error) {
	for {
		switch n, _, errno := call(); errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
