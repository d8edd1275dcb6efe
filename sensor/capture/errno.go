package capture

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lastErrno is the highest error number of Linux, EHWPOISON.
const lastErrno = 133

// errno returns the error number in an error of pcapgo, which formats it into
// the end of its text instead of wrapping it.
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

// withErrno returns an error of pcapgo so that errors.Is finds the error number
// in it.
func withErrno(err error) error {
	// What package net says, whose error has no number.
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

// CheckRights returns an error, unix.EPERM if the process lacks CAP_NET_RAW,
// when packet sockets cannot be opened.
func CheckRights() error {
	// Protocol 0 receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	return unix.Close(fd)
}
