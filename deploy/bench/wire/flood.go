package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

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
		s.frames[i] = NewFrame()
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

// Flood is what was sent.
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
