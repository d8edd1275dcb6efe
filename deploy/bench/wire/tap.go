package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Open returns a blocking packet socket for the frames of an interface of this network
// namespace that pass a filter. The kernel queues frames up to a size in bytes.
func Open(name string, filter []bpf.Instruction, queue int) (fd int, err error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("find interface %s: %w", name, err)
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return 0, fmt.Errorf("assemble the filter: %w", err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	// Protocol 0 receives nothing, until it is bound with the filter in place.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a packet socket: %w", err)
	}
	const all = unix.ETH_P_ALL // no other protocol receives what is sent
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8&0xff00 | all>>8, Ifindex: i.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("open a packet socket on %s: %w", name, err)
	}
	return fd, nil
}

// The messages that Only can select.
const (
	Solicitations  = 135
	Advertisements = 136
)

// Only returns a filter for the messages of a kind that are sent, or else received,
// without extension headers, as the kernel sends them.
func Only(kind uint32, sent bool) []bpf.Instruction {
	direction := bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipFalse: 7}
	if !sent {
		direction.SkipTrue, direction.SkipFalse = 7, 0
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		direction,
		bpf.LoadAbsolute{Off: ip6At - 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 5},
		bpf.LoadAbsolute{Off: ip6At + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 3},
		bpf.LoadAbsolute{Off: icmp6At, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: kind, SkipFalse: 1},
		bpf.RetConstant{Val: Len},
		bpf.RetConstant{Val: 0},
	}
}

// None returns a filter that passes no frame.
func None() []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{}} }

// Queue is the size of a queue that is read late.
const Queue = 8 << 20 // for some 10,000 frames

// Tap records when the first message of a kind for each target leaves an interface. The
// kernel queues the frames with their time, so reading them late costs no precision.
type Tap struct {
	fd int
	// First has the time of the first message for each target.
	First map[netip.Addr]time.Time
}

// NewTap opens an interface of a namespace until the test ends.
func NewTap(t lab.TB, n *lab.Namespace, name string, kind uint32) *Tap {
	t.Helper()
	tap := &Tap{First: map[netip.Addr]time.Time{}}
	var err error
	n.Do(func() { tap.fd, err = Open(name, Only(kind, true), Queue) })
	if err == nil {
		t.Cleanup(func() { unix.Close(tap.fd) })
		err = unix.SetsockoptInt(tap.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return tap
}

// Read reads the frames that the kernel has queued.
func (t *Tap) Read() error {
	var data Frame
	control := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		n, c, _, _, err := unix.Recvmsg(t.fd, data[:], control, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		target, ok := Target(data[:n])
		if !ok {
			continue
		}
		at, err := stamp(control[:c])
		if err != nil {
			return err
		}
		if _, ok := t.First[target]; !ok {
			t.First[target] = at
		}
	}
}

// stamp finds the kernel's time in control messages.
func stamp(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix()), nil
		}
	}
	return time.Time{}, errors.New("a frame has no time stamp")
}
