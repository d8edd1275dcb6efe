package capture

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lastErrno is the highest error number of Linux, EHWPOISON.
const lastErrno = 133

// errno returns the error number in an error of pcapgo. pcapgo.EthernetHandle formats the
// number into the end of its text with %v instead of wrapping it, so the text is all that
// there is: it is compared with the texts of the system's error numbers. Without that, an
// empty socket (EAGAIN), an interface that is down (ENETDOWN) and a real failure would look
// alike.
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

// CheckRights returns an error if packet sockets cannot be opened: unix.EPERM without
// CAP_NET_RAW.
func CheckRights() error {
	// Protocol 0 receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	return unix.Close(fd)
}
