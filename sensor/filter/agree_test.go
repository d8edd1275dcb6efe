package filter

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/ndmon/ndmon/schemas/capfile"
	"github.com/ndmon/ndmon/schemas/decode"
)

// agree checks that a frame passes the filter if and only if it is an event.
// Frames with more extension headers than the filter walks may pass and still
// be none.
func agree(t *testing.T, vm *bpf.VM, d *decode.Decoder, frame []byte) {
	t.Helper()
	_, event := d.Decode(frame, len(frame))
	if passes := run(t, vm, frame); event && !passes || passes && !event && headers(frame) <= MaxHeaders {
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
func TestAgrees(t *testing.T) {
	vm := machine(t, Any)
	var d decode.Decoder
	for name, frames := range corpus(t) {
		for i, frame := range frames {
			agree(t, vm, &d, frame)
			if i%50 == 0 {
				for n := range min(len(frame), 300) {
					agree(t, vm, &d, frame[:n])
				}
			}
			if t.Failed() {
				t.Fatalf("capture %s, frame %d", name, i)
			}
		}
	}
}

// FuzzAgrees gives any frame to the filter and the decoder.
func FuzzAgrees(f *testing.F) {
	for _, frames := range corpus(f) {
		for i, frame := range frames {
			if i < 6 || i%40 == 0 {
				f.Add(frame)
			}
		}
	}
	ns := icmp(135)
	f.Add(frame(0x8100, tag(12, 0x86dd, ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 0, true), ext(58, 0), ns))))
	f.Add(untagged(withLength(0, 0, append(ext(58, 0), ns...))))
	f.Add(untagged(ip6(60, repeat(256), ext(58, 0), ns)))
	for _, group := range []string{"ff02::1", "ff02::2", "ff02::fb", "ff02::1:ff00:42", "ff02::1:fe00:42", "fe80::1:ff00:42"} {
		f.Add(untagged(to(group, ip6(44, frag(60, 1216, false), ns))))
		f.Add(frame(0x8100, tag(12, 0x86dd, to(group, ip6(0, ext(44, 1), frag(44, 0, true), frag(58, 8, true), ns)))))
	}
	vm := machine(f, Any)
	var d decode.Decoder
	f.Fuzz(func(t *testing.T, frame []byte) { agree(t, vm, &d, frame) })
}

// corpus returns the frames of the corpus's captures, by their file names.
func corpus(t testing.TB) map[string][][]byte {
	t.Helper()
	paths, err := filepath.Glob("../testdata/corpus/*.pcap")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	captures := map[string][][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := capfile.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for {
			p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			captures[path] = append(captures[path], bytes.Clone(p.Data))
		}
	}
	return captures
}
