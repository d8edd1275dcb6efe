package wire

import (
	"errors"
	"net/netip"
	"time"
	"unsafe"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Tap records when the first Neighbor Solicitation for each target leaves an
// interface. The kernel queues the frames with their time, so reading them late costs
// no precision.
type Tap struct {
	fd int
	// First has the time of the first solicitation for each target.
	First map[netip.Addr]time.Time
}

// NewTap opens an interface of a namespace until the test ends.
func NewTap(t lab.TB, n *lab.Namespace, name string) *Tap {
	t.Helper()
	tap := &Tap{First: map[netip.Addr]time.Time{}}
	var err error
	// Protocol 0 receives nothing, until it is bound with the filter in place.
	n.Do(func() { tap.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	if err == nil {
		t.Cleanup(func() { unix.Close(tap.fd) })
		const queue = 8 << 20      // for some 10,000 frames
		const all = unix.ETH_P_ALL // no other protocol receives what is sent
		err = errors.Join(
			attach(tap.fd),
			unix.SetsockoptInt(tap.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue),
			unix.SetsockoptInt(tap.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.Bind(tap.fd, &unix.SockaddrLinklayer{Protocol: all<<8&0xff00 | all>>8, Ifindex: n.Index(name)}),
		)
	}
	if err != nil {
		t.Fatalf("open a packet socket on %s: %v", name, err)
	}
	return tap
}

// attach makes the socket receive only Neighbor Solicitations that are sent, without
// extension headers, as the kernel sends them.
func attach(fd int) error {
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipFalse: 7},
		bpf.LoadAbsolute{Off: ip6At - 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 5},
		bpf.LoadAbsolute{Off: ip6At + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 3},
		bpf.LoadAbsolute{Off: icmp6At, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 135, SkipFalse: 1},
		bpf.RetConstant{Val: Len},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
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
		case n < optionAt:
			continue
		}
		at, err := stamp(control[:c])
		if err != nil {
			return err
		}
		target, _ := netip.AddrFromSlice(data[targetAt:optionAt])
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
