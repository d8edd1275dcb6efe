package capture

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"go.uber.org/goleak"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// experimental passes frames of one direction, with the EtherType for local
// experiments (IEEE 802), which only these tests send.
func experimental(out bool) []bpf.Instruction {
	const packetOutgoing = 4 // PACKET_OUTGOING in linux/if_packet.h
	direction := bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOutgoing, SkipTrue: 2}
	if out {
		direction.SkipTrue, direction.SkipFalse = 0, 2
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		direction,
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x88b5, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 18},
	}
}

// frame returns an experimental frame with a payload that starts with n.
func frame(n byte, length int) []byte {
	return append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, n}, make([]byte, length-15)...)
}

// open makes two namespaces joined by eth0 and opens it in the first.
func open(t testing.TB, o Options) (*Handle, *lab.Namespace, *lab.Namespace) {
	t.Helper()
	a, b := lab.New(t, "a"), lab.New(t, "b")
	a.Veth("eth0", b, "eth0")
	o.In, o.Out = experimental(false), experimental(true)
	var h *Handle
	var err error
	a.Do(func() { h, err = Open("eth0", a.Link("eth0").Attrs().Index, o) })
	if err != nil {
		t.Fatal(err)
	}
	return h, a, b
}

// read runs Frames and passes on copies of the frames.
func read(h *Handle) (frames chan Frame, done chan error) {
	frames, done = make(chan Frame), make(chan error, 1)
	go func() {
		done <- h.Frames(func(f Frame) {
			f.Data = bytes.Clone(f.Data)
			frames <- f
		}, func() {})
	}()
	return frames, done
}

// closeHandle closes a handle, and then waits until its Frames have returned.
func closeHandle(t testing.TB, h *Handle, done ...chan error) {
	t.Helper()
	_, err := h.Close()
	for _, frames := range done {
		err = errors.Join(err, <-frames)
	}
	if err != nil {
		t.Error(err)
	}
}

// pcapgo is frozen, so its private field is reliable.
func TestDescriptor(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	index := n.Link("br0").Attrs().Index
	n.Do(func() {
		eth, err := pcapgo.NewEthernetHandle("br0")
		if err != nil {
			t.Error(err)
			return
		}
		defer eth.Close()
		fd, err := descriptor(eth)
		if name := (&socket{fd: fd}).name(); err != nil || name == nil || name.Ifindex != index {
			t.Errorf("descriptor %d is bound to %+v, %v", fd, name, err)
		}
	})
}

func TestOpenFails(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	for name, index := range map[string]int{"br0": n.Link("br0").Attrs().Index + 1, "br1": 1} {
		var err error
		n.Do(func() { _, err = Open(name, index, Options{In: experimental(false), Out: experimental(true)}) })
		if !errors.Is(err, unix.ENODEV) {
			t.Errorf("Open(%s, %d): %v", name, index, err)
		}
	}
	n.Without(unix.CAP_NET_RAW, func() {
		_, err := Open("br0", n.Link("br0").Attrs().Index, Options{In: experimental(false), Out: experimental(true)})
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("Open without CAP_NET_RAW: %v", err)
		}
		if err := CheckRights(); !errors.Is(err, unix.EPERM) {
			t.Errorf("CheckRights without CAP_NET_RAW: %v", err)
		}
	})
	if err := CheckRights(); err != nil {
		t.Error(err)
	}
}

// A frame is read whole even if it is longer than the MTU that the interface had, or has.
func TestWholeFrames(t *testing.T) {
	h, a, b := open(t, Options{})
	frames, done := read(h)
	for _, n := range []*lab.Namespace{a, b} {
		if err := n.Netlink.LinkSetMTU(n.Link("eth0"), 9000); err != nil {
			t.Fatal(err)
		}
	}
	for i, length := range []int{60, 1514, 9014} {
		sent := frame(byte(i), length)
		b.Send("eth0", sent)
		got := <-frames
		if !bytes.Equal(got.Data, sent) || got.Length != length || got.Tagged {
			t.Errorf("sent %d bytes, read %d of %d, tagged %v", length, len(got.Data), got.Length, got.Tagged)
		}
	}
	closeHandle(t, h, done)
}

// Close wakes a read that waits, again and again without a leak.
func TestCloseWakes(t *testing.T) {
	h, a, b := open(t, Options{})
	index := a.Link("eth0").Attrs().Index
	for i := range 20 {
		frames, done := read(h)
		b.Send("eth0", frame(byte(i), 60))
		if got := <-frames; got.Data[14] != byte(i) {
			t.Errorf("frame %d read, not %d", got.Data[14], i)
		}
		closeHandle(t, h, done)
		if err := h.Frames(func(Frame) { t.Error("a frame of a closed handle") }, func() {}); err != nil {
			t.Error(err)
		}
		var err error
		a.Do(func() { h, err = Open("eth0", index, Options{In: experimental(false), Out: experimental(true)}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	closeHandle(t, h)
}

// What is queued is read before the handle is closed, although more keeps coming.
func TestCloseReadsQueue(t *testing.T) {
	h, _, b := open(t, Options{ReceiveBuffer: 1 << 20})
	frames, done := read(h)
	const sent = 3 * burst
	var queue [][]byte
	for i := range sent {
		queue = append(queue, frame(byte(i), 60))
	}
	b.Send("eth0", queue...)
	closed := make(chan error)
	go func() {
		_, err := h.Close()
		closed <- err
	}()
	lab.Eventually(t, "the handle is being closed", h.closing.Load)
	for i := range sent {
		if got := <-frames; got.Data[14] != byte(i) {
			t.Fatalf("frame %d read, not %d", got.Data[14], byte(i))
		}
	}
	if err := errors.Join(<-closed, <-done); err != nil {
		t.Error(err)
	}
}

func TestReceiveBuffer(t *testing.T) {
	const size = 8 << 20
	h, _, b := open(t, Options{ReceiveBuffer: size})
	if got, err := h.ReceiveBuffer(); got != size || err != nil {
		t.Errorf("receive buffer %d, %v", got, err)
	}
	// The default holds some 280 frames. These are not read.
	const sent = 5000
	b.Send("eth0", slices.Repeat([][]byte{frame(0, 60)}, sent)...)
	if dropped, err := h.Dropped(); dropped != 0 || err != nil {
		t.Errorf("%d of %d frames dropped, %v", dropped, sent, err)
	}
	closeHandle(t, h)
}

func TestDropped(t *testing.T) {
	h, _, b := open(t, Options{ReceiveBuffer: 8 << 10})
	const sent = 300
	b.Send("eth0", slices.Repeat([][]byte{frame(0, 60)}, sent)...)
	dropped, err := h.Dropped()
	if err != nil || dropped == 0 || dropped >= sent {
		t.Errorf("%d of %d frames dropped, %v", dropped, sent, err)
	}
	if again, err := h.Dropped(); again != 0 || err != nil {
		t.Errorf("counted %d frames twice, %v", again, err)
	}
	frames, done := read(h)
	for range sent - dropped {
		<-frames
	}
	dropped, err = h.Close()
	if dropped != 0 || err != nil {
		t.Errorf("%d more frames dropped at the end, %v", dropped, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBound(t *testing.T) {
	h, a, _ := open(t, Options{Promiscuous: true})
	if !h.Bound() {
		t.Error("not bound to an interface that exists")
	}
	if a.Link("eth0").Attrs().Promisc != 1 {
		t.Error("the interface is not promiscuous")
	}
	a.Down("eth0")
	if !h.Bound() {
		t.Error("not bound to an interface that is down")
	}
	a.Delete("eth0")
	if h.Bound() {
		t.Error("bound to an interface that is gone")
	}
	closeHandle(t, h)
}

// What both directions have queued is read in the order in which it came and
// left, also when the handle is closed meanwhile.
func TestOrder(t *testing.T) {
	const turns, turn = 24, 32 // more than a burst
	for name, closeAt := range map[string]int{"open": turns*turn - 1, "closed": 0} {
		t.Run(name, func(t *testing.T) {
			h, a, b := open(t, Options{ReceiveBuffer: 1 << 20})
			frames, done := read(h)
			for i := range turns {
				var sent [][]byte
				for n := range turn {
					sent = append(sent, frame(byte(i*turn+n), 60))
				}
				from := a
				if i%2 == 0 {
					from = b
				}
				from.Send("eth0", sent...)
			}
			var last time.Time
			closed := make(chan error, 1)
			for i := range turns * turn {
				f := <-frames
				if f.Data[14] != byte(i) || f.Out != (i/turn%2 != 0) {
					t.Fatalf("frame %d, out %v, not %d", f.Data[14], f.Out, byte(i))
				}
				if f.Time.Before(last) {
					t.Errorf("frame %d is %v older than the one before", i, last.Sub(f.Time))
				}
				last = f.Time
				if i == closeAt {
					go func() {
						_, err := h.Close()
						closed <- err
					}()
					lab.Eventually(t, "the handle is being closed", h.closing.Load)
				}
			}
			if err := errors.Join(<-closed, <-done); err != nil {
				t.Error(err)
			}
		})
	}
}

// A socket that fails ends Frames, and what the other one holds is read.
func TestSocketFails(t *testing.T) {
	h, a, b := open(t, Options{})
	for i := range byte(10) {
		a.Send("eth0", frame(i, 60))
		b.Send("eth0", frame(i, 60))
	}
	in := h.sockets[0].read
	h.merger.sides[0].read = func() ([]Frame, bool, error) {
		frames, _, err := in()
		if err != nil {
			return nil, false, unix.ENOBUFS
		}
		return frames, true, nil
	}
	var got [2]int
	err := h.Frames(func(f Frame) {
		if f.Out {
			got[1]++
		} else {
			got[0]++
		}
	}, func() {})
	if !errors.Is(err, unix.ENOBUFS) || got != [2]int{10, 10} {
		t.Errorf("read %v, then %v", got, err)
	}
	closeHandle(t, h)
}

// BenchmarkFrames reads frames of one direction that come one by one, each when the last was read.
func BenchmarkFrames(b *testing.B) {
	h, _, peer := open(b, Options{})
	sender := peer.Sender("eth0")
	defer sender.Close()
	read, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.Frames(func(Frame) { read <- struct{}{} }, func() {}) }()
	sent := frame(0, 86)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sender.Write(sent); err != nil {
			b.Fatal(err)
		}
		<-read
	}
	closeHandle(b, h, done)
}
