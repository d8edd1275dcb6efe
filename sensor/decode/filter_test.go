package decode_test

import (
	"testing"

	"github.com/ndmon/ndmon/sensor/decode"
	"github.com/ndmon/ndmon/sensor/filter"
	"golang.org/x/net/bpf"
)

// kernel runs frames through the filter as the kernel would.
type kernel struct{ vm *bpf.VM }

func newKernel(t testing.TB) kernel {
	t.Helper()
	program, err := filter.ND(filter.Any)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return kernel{vm}
}

func (k kernel) passes(t testing.TB, frame []byte) bool {
	t.Helper()
	n, err := k.vm.Run(frame)
	if err != nil {
		t.Fatalf("filter on %x: %v", frame, err)
	}
	return n > 0
}

// agree checks that a frame passes the filter if and only if it is an event.
// Frames with more extension headers than the filter walks may pass and still
// be none.
func (k kernel) agree(t testing.TB, d *decode.Decoder, frame []byte) {
	t.Helper()
	_, event := d.Decode(frame, len(frame))
	if passes := k.passes(t, frame); event && !passes || passes && !event && headers(frame) <= filter.MaxHeaders {
		t.Errorf("passes the filter: %v, is an event: %v: %x", passes, event, frame)
	}
}

// headers counts the extension headers of an untagged or tagged IPv6 frame, the
// last of which may be cut.
func headers(frame []byte) int {
	at := 14
	if frame[12] != 0x86 {
		at += 4
	}
	n, next := 0, frame[at+6]
	at += 40
	for at < len(frame) && (next == 0 || next == 43 || next == 44 || next == 60) {
		n++
		size := 8
		if next != 44 && at+1 < len(frame) {
			size += 8 * int(frame[at+1])
		}
		next = frame[at]
		at += size
	}
	return n
}

// The frames of every capture, whole and cut at every length, as frames that
// are short and as frames that are not what their IPv6 header says.
func TestFilterAgrees(t *testing.T) {
	k := newKernel(t)
	var d decode.Decoder
	for _, name := range captures(t) {
		for i, frame := range readCapture(t, name) {
			k.agree(t, &d, frame.data)
			if i%50 == 0 {
				for n := range min(len(frame.data), 300) {
					k.agree(t, &d, frame.data[:n])
				}
			}
			if t.Failed() {
				t.Fatalf("capture %s, frame %d", name, i)
			}
		}
	}
}
