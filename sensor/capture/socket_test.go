package capture

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/sensor/capture/internal/mmsg"
)

// Long and tagged frames, and more frames than are read at once, are read whole and in order.
func TestBatches(t *testing.T) {
	const mtu, vlan = 65535, 7
	h, a, b := open(t, Options{ReceiveBuffer: 16 << 20})
	for _, n := range []*lab.Namespace{a, b} {
		if err := n.Netlink.LinkSetMTU(n.Link("eth0"), mtu); err != nil {
			t.Fatal(err)
		}
	}
	var sent [][]byte
	for i := range 3*mmsg.Batch + 1 {
		length := 60
		if i%5 == 0 {
			length = 60_000 + i
		}
		f := frame(byte(i), length)
		if i%3 == 0 {
			f = slices.Insert(f, 12, 0x81, 0, 0, vlan)
		}
		sent = append(sent, f)
	}
	b.Send("eth0", sent...)
	frames, done := read(h)
	for i, f := range sent {
		got, tagged := <-frames, i%3 == 0
		if tagged { // the kernel removes the tag
			f = slices.Delete(f, 12, 16)
		}
		if !bytes.Equal(got.Data, f) || got.Length != len(f) || got.Tagged != tagged || tagged && got.VLAN != vlan {
			t.Errorf("frame %d: read %d bytes of %d, not %d; tagged %v with %d", i, len(got.Data), got.Length, len(f), got.Tagged, got.VLAN)
		}
	}
	closeHandle(t, h, done)
}

// An interface that goes down and up again is read further.
func TestDown(t *testing.T) {
	h, a, b := open(t, Options{})
	frames, done := read(h)
	for i := range byte(4) {
		for n := range byte(2) {
			b.Send("eth0", frame(2*i+n, 60))
		}
		a.Down("eth0") // before the frames are read, because nothing receives them yet
		for n := range byte(2) {
			if got := <-frames; got.Data[14] != 2*i+n {
				t.Fatalf("frame %d read, not %d", got.Data[14], 2*i+n)
			}
		}
		a.Up("eth0")
	}
	closeHandle(t, h, done)
}

func TestParseControl(t *testing.T) {
	message := func(level, kind int32, data ...uint32) []byte {
		b := make([]byte, unix.CmsgSpace(4*len(data)))
		h := b[unix.CmsgLen(0)-8:]
		if unix.CmsgLen(0) == 16 {
			binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(4*len(data))))
		} else {
			binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(4*len(data))))
		}
		binary.NativeEndian.PutUint32(h, uint32(level))
		binary.NativeEndian.PutUint32(h[4:], uint32(kind))
		for i, n := range data {
			binary.NativeEndian.PutUint32(b[unix.CmsgLen(4*i):], n)
		}
		return b
	}
	word := func(low, high uint16) uint32 {
		return binary.NativeEndian.Uint32(binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, low), high))
	}
	aux := func(status uint32) []byte {
		return message(unix.SOL_PACKET, unix.PACKET_AUXDATA, status, 1500, 86, word(0, 14), word(0x2007, 0x8100))
	}
	stamp := message(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 7, 9)
	seven := time.Unix(7, 9).UTC()
	for name, test := range map[string]struct {
		control []byte
		want    Frame
	}{
		"nothing":          {nil, Frame{Length: 60}},
		"short":            {stamp[:7], Frame{Length: 60}},
		"cut":              {stamp[:len(stamp)-4], Frame{Length: 60}},
		"unknown":          {append(message(1, 1, 1, 2), stamp...), Frame{Length: 60, Time: seven}},
		"time":             {stamp, Frame{Length: 60, Time: seven}},
		"length":           {aux(0), Frame{Length: 1500}},
		"tag":              {aux(unix.TP_STATUS_VLAN_VALID), Frame{Length: 1500, VLAN: 0x2007, Tagged: true}},
		"tag and time":     {append(aux(unix.TP_STATUS_VLAN_VALID), stamp...), Frame{Length: 1500, VLAN: 0x2007, Tagged: true, Time: seven}},
		"short auxiliary":  {message(unix.SOL_PACKET, unix.PACKET_AUXDATA, unix.TP_STATUS_VLAN_VALID, 1500), Frame{Length: 60}},
		"impossible sizes": {append(make([]byte, 16), stamp...), Frame{Length: 60}},
	} {
		f := Frame{Length: 60}
		if f.parseControl(test.control); !reflect.DeepEqual(f, test.want) {
			t.Errorf("%s: %+v, not %+v", name, f, test.want)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(make([]byte, 72))
	f.Fuzz(func(t *testing.T, control []byte) { new(Frame).parseControl(control) })
}

// Reading allocates nothing for a frame.
func TestAllocations(t *testing.T) {
	h, _, b := open(t, Options{ReceiveBuffer: 1 << 20})
	s := h.sockets[0]
	const sent = 10 * mmsg.Batch
	b.Send("eth0", slices.Repeat([][]byte{frame(0, 60)}, sent)...)
	read := 0
	if n := testing.AllocsPerRun(9, func() {
		frames, _, err := s.read()
		if err != nil {
			t.Error(err)
		}
		read += len(frames)
	}); n > 0 || read != sent {
		t.Errorf("%v allocations for a batch, read %d frames of %d", n, read, sent)
	}
	closeHandle(t, h)
}
