package filter

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// agree checks that a frame passes the filter if and only if it is an event. Frames with more
// extension headers than the filter walks, or more tags, may pass and still be none.
func agree(t *testing.T, vm *bpf.VM, d *decode.Decoder, frame []byte) {
	t.Helper()
	_, event := d.Decode(frame, len(frame))
	if passes := run(t, vm, frame); event && !passes || passes && !event && tags(frame) <= maxTags && headers(frame) <= MaxHeaders {
		t.Errorf("passes the filter: %v, is an event: %v: %x", passes, event, frame)
	}
}

// tags counts the VLAN tags of a frame.
func tags(frame []byte) (n int) {
	for at := 12; at+2 <= len(frame) && (frame[at] == 0x81 && frame[at+1] == 0 || frame[at] == 0x88 && frame[at+1] == 0xa8); at += 4 {
		n++
	}
	return n
}

// headers counts the extension headers of a frame that passes the filter, the
// last of which may be cut.
func headers(frame []byte) int {
	at := 14
	for frame[at-2] == 0x81 || frame[at-2] == 0x88 {
		at += 4
	}
	if frame[at-2] != 0x86 {
		at += 8 // LLC and SNAP
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

// A wrapped frame of the corpus passes if the frame itself does, and never behind three VLAN tags.
func TestAgreesWrapped(t *testing.T) {
	vm := machine(t, Any)
	var d decode.Decoder
	for name, frames := range corpus(t) {
		for i, frame := range frames {
			if i%10 > 0 || len(frame) < 14 || frame[12] != 0x86 || frame[13] != 0xdd {
				continue
			}
			for _, head := range heads() {
				wrapped := slices.Concat(frame[:12], head[12:], frame[14:])
				agree(t, vm, &d, wrapped)
				if got, want := run(t, vm, wrapped), run(t, vm, frame); got != want {
					t.Errorf("passes as it is: %v, wrapped: %v", want, got)
				}
				tags := slices.Concat(frame[:12], []byte{0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3}, head[12:], frame[14:])
				agree(t, vm, &d, tags)
				if run(t, vm, tags) {
					t.Error("passes behind three VLAN tags")
				}
			}
			if t.Failed() {
				t.Fatalf("capture %s, frame %d", name, i)
			}
		}
	}
}

// FuzzAgrees compares filter and decoder on any frame.
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
	for _, head := range heads() {
		f.Add(slices.Concat(head, ip6(0, ext(58, 0), ns)))
		f.Add(slices.Concat(head, to("ff02::1", ip6(60, ext(44, 0), frag(58, 8, true), ns))))
		f.Add(slices.Concat(head, ip6(60, repeat(MaxHeaders), ext(6, 0), ns)))
	}
	f.Add(frame(0x8100, tag(0, 0x8100, tag(0, 0x8100, tag(0, 0x86dd, ip6(58, ns))))))
	f.Add(frame(0x8100, tag(1, 0x8100, tag(2, 0x88a8, tag(0, 0x8100, tag(0, 0x86dd, ip6(58, ns)))))))
	f.Add(frame(1536, snap(0, 0x86dd, ip6(58, ns))))
	f.Add(frame(100, snap(0x0000f8, 0x86dd, ip6(58, ns))))
	f.Add(frame(100, snap(0, 0x8100, tag(0, 0x86dd, ip6(58, ns)))))
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
		for p, err := range capfile.ReadFile(path) {
			check(t, err)
			captures[path] = append(captures[path], bytes.Clone(p.Data))
		}
	}
	return captures
}

// Parts of frames.
var (
	hbh, dst = ext(icmp6, 0), ext(icmp6, 2)
	tcp, udp = make([]byte, 20), make([]byte, 8)
	ns       = icmp(135)
	llc      = snap(0, 0x86dd, ip6(58, ns))
	length   = uint16(len(llc))
)

// frame puts a payload behind an Ethernet header.
func frame(etherType uint16, payload []byte) []byte {
	return slices.Concat(make([]byte, 12), []byte{byte(etherType >> 8), byte(etherType)}, payload)
}

// tag puts a VLAN tag before an EtherType and its payload.
func tag(vlan, etherType uint16, payload []byte) []byte {
	return slices.Concat([]byte{byte(vlan >> 8), byte(vlan), byte(etherType >> 8), byte(etherType)}, payload)
}

// snap puts LLC and SNAP headers before a payload (RFC 1042), with an OUI and an EtherType.
func snap(oui uint32, etherType uint16, payload []byte) []byte {
	return slices.Concat([]byte{0xaa, 0xaa, 3, byte(oui >> 16), byte(oui >> 8), byte(oui), byte(etherType >> 8), byte(etherType)}, payload)
}

// ip6 puts headers behind an IPv6 header.
func ip6(next uint8, headers ...[]byte) []byte {
	payload := slices.Concat(headers...)
	return withLength(len(payload), next, payload)
}

// withLength is ip6 with a payload length of its own.
func withLength(length int, next uint8, payload []byte) []byte {
	header := make([]byte, 40)
	header[0] = 0x60
	header[4], header[5] = byte(length>>8), byte(length)
	header[6], header[7] = next, 255
	return append(header, payload...)
}

// to is a packet with a destination address.
func to(destination string, packet []byte) []byte {
	address := netip.MustParseAddr(destination).As16()
	return slices.Concat(packet[:24], address[:], packet[40:])
}

// ext is an extension header of 8*(1+units) bytes.
func ext(next, units uint8) []byte {
	header := make([]byte, 8*(1+int(units)))
	header[0], header[1] = next, units
	return header
}

// frag is a fragment header; its offset is a multiple of 8.
func frag(next uint8, offset uint16, more bool) []byte {
	header := []byte{next, 0xff, byte(offset >> 8), byte(offset), 1, 2, 3, 4}
	if more {
		header[3] |= 1
	}
	return header
}

// icmp is an ICMPv6 message of 24 bytes.
func icmp(typ uint8) []byte { return append([]byte{typ}, make([]byte, 23)...) }

func untagged(packet []byte) []byte { return frame(0x86dd, packet) }

// heads returns what may precede an IPv6 packet.
func heads() [][]byte {
	llc := snap(0, 0x86dd, nil)
	return [][]byte{
		frame(0x86dd, nil),
		frame(0x8100, tag(7, 0x86dd, nil)),
		frame(0x88a8, tag(7, 0x8100, tag(0, 0x86dd, nil))),
		frame(0, llc),
		frame(0x8100, tag(7, 1535, llc)),
		frame(0x8100, tag(7, 0x88a8, tag(0, 100, llc))),
	}
}

// change returns a copy of a payload with another byte at an index.
func change(payload []byte, at int) []byte {
	payload = bytes.Clone(payload)
	payload[at] ^= 1
	return payload
}

// repeat returns destination options headers that announce another one each.
func repeat(n int) []byte { return bytes.Repeat(ext(60, 0), n) }

func machine(t testing.TB, direction Direction) *bpf.VM {
	t.Helper()
	program, err := ND(direction)
	check(t, err)
	vm, err := bpf.NewVM(program)
	check(t, err)
	return vm
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, vm *bpf.VM, frame []byte) bool {
	t.Helper()
	n, err := vm.Run(frame)
	if err != nil {
		t.Fatalf("filter on %x: %v", frame, err)
	}
	if n != 0 && n < 65535 {
		t.Errorf("filter cuts frames at %d bytes", n)
	}
	return n > 0
}
