//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// batch is how many frames are sent with one system call at most.
const batch = 64

// sender puts frames on a wire.
type sender struct {
	fd      int
	frames  [batch]frame
	vectors [batch]unix.Iovec
	headers [batch]mmsghdr
}

// mmsghdr is that of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// newSender opens an interface of a namespace to send out of.
func newSender(r *run, n *lab.Namespace, name string) *sender {
	r.Helper()
	s := &sender{}
	index := n.Link(name).Attrs().Index
	var err error
	n.Do(func() { s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	r.must(err, "open a packet socket")
	r.Cleanup(func() { unix.Close(s.fd) })
	r.must(unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: index}), "bind a packet socket to "+name)
	for i := range s.frames {
		s.vectors[i] = unix.Iovec{Base: &s.frames[i][0], Len: frameLen}
		s.headers[i].header.Iov = &s.vectors[i]
		s.headers[i].header.Iovlen = 1
	}
	return s
}

// send sends the first frames, all of them.
func (s *sender) send(count int) error {
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

// flood is what was sent.
type flood struct {
	frames     int
	begin, end time.Time
	cpu        time.Duration // of sending, the delivery to the receiver's socket included
}

// rate returns the frames a second.
func (f flood) rate() float64 { return float64(f.frames) / f.end.Sub(f.begin).Seconds() }

// tick is how often a flood sends.
const tick = time.Millisecond

// flood sends frames numbered from 0 on at a steady rate for some time. fill
// makes each one right before it is sent.
func (s *sender) flood(ctx context.Context, rate int, d time.Duration, fill func(f *frame, number int)) (flood, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	total := int(float64(rate) * d.Seconds())
	if total < 1 {
		return flood{}, errors.New("less than one frame to send: the rate or the duration is too small")
	}
	cpu := cpuOfThread()
	f := flood{begin: time.Now()}
	for f.frames < total {
		elapsed := time.Since(f.begin)
		due := min(total, int(elapsed.Seconds()*float64(rate))+1)
		for f.frames < due {
			count := min(due-f.frames, batch)
			for i := range count {
				fill(&s.frames[i], f.frames+i)
			}
			if err := s.send(count); err != nil {
				return f, err
			}
			f.frames += count
		}
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		// Until the next tick on which a frame is due.
		next := time.Duration(float64(f.frames) / float64(rate) * float64(time.Second))
		next = (next + tick - 1) / tick * tick
		if wait := next - time.Since(f.begin); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&ts, nil) // woken early, it finds that nothing is due
		}
	}
	f.end = time.Now()
	f.cpu = cpuOfThread() - cpu
	return f, nil
}
