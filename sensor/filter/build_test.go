package filter

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
)

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
	f := slices.Concat(make([]byte, 12), []byte{byte(etherType >> 8), byte(etherType)}, payload)
	return f
}

// tag puts a VLAN tag before an EtherType and its payload.
func tag(vlan, etherType uint16, payload []byte) []byte {
	return slices.Concat([]byte{byte(vlan >> 8), byte(vlan), byte(etherType >> 8), byte(etherType)}, payload)
}

// snap puts LLC and SNAP headers before a payload (RFC 1042), with an OUI and an
// EtherType.
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
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return vm
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
