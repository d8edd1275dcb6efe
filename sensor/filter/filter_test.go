package filter

import (
	"net"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
)

// Frames cut at every length: what passes is what still may be ND.
func TestTruncated(t *testing.T) {
	// passes returns whether the frame passes when n bytes of its IPv6 payload
	// are left. Without a whole IPv6 header it never does.
	tests := []struct {
		name   string
		packet []byte
		passes func(n int) bool
	}{
		{"NS", ip6(58, icmp(135)), func(n int) bool { return n >= 1 }},
		{"echo", ip6(58, icmp(128)), func(int) bool { return false }},
		{"TCP", ip6(6, make([]byte, 20)), func(int) bool { return false }},
		{"hop-by-hop, NS", ip6(0, ext(58, 0), icmp(135)), func(int) bool { return true }},
		{"hop-by-hop, echo", ip6(0, ext(58, 0), icmp(128)), func(n int) bool { return n <= 8 }},
		{"hop-by-hop, TCP", ip6(0, ext(6, 0), make([]byte, 20)), func(n int) bool { return n == 0 }},
		{"routing, destination options, NS", ip6(43, ext(60, 2), ext(58, 1), icmp(135)), func(int) bool { return true }},
		{"routing, destination options, MLD", ip6(43, ext(60, 2), ext(58, 1), icmp(131)), func(n int) bool { return n <= 40 }},
		{"routing, destination options, UDP", ip6(43, ext(60, 2), ext(17, 1), make([]byte, 8)), func(n int) bool { return n <= 24 }},
		{"first fragment, NS", ip6(44, frag(58, 0, true), icmp(135)), func(int) bool { return true }},
		{"first fragment, UDP", ip6(44, frag(17, 0, true), make([]byte, 8)), func(n int) bool { return n == 0 }},
		{"chain announced, none", ip6(60), func(int) bool { return true }},
		{"jumbogram with TCP", withLength(0, 0, ext(6, 0)), func(n int) bool { return n == 0 }},
		{"later fragment", ip6(44, frag(58, 8, true), icmp(135)), func(n int) bool { return n < 4 }},
		{"later fragment to all nodes", to("ff02::1", ip6(44, frag(58, 8, true), icmp(128))), func(int) bool { return true }},
		{"later fragment of UDP to all nodes", to("ff02::1", ip6(44, frag(17, 8, true), icmp(135))), func(n int) bool { return n == 0 }},
	}
	vm := machine(t, Any)
	for _, test := range tests {
		for _, head := range heads() {
			for n := range len(head) + len(test.packet) + 1 {
				left := n - len(head) - 40
				want := left >= 0 && test.passes(left)
				whole := slices.Concat(head, test.packet)
				if got := run(t, vm, whole[:n]); got != want {
					t.Errorf("%s, header of %d bytes, %d bytes of payload: passes %v, want %v", test.name, len(head), left, got, want)
				}
			}
		}
	}
}

// The virtual machine does not know the packet type, so it is put into the program.
func TestDirection(t *testing.T) {
	const host, broadcast, multicast, otherHost, outgoing = 0, 1, 2, 3, 4
	ns := untagged(ip6(58, icmp(135)))
	echo := untagged(ip6(58, icmp(128)))
	for _, packetType := range []uint32{host, broadcast, multicast, otherHost, outgoing} {
		for direction, want := range map[Direction]bool{
			Any:      true,
			Incoming: packetType != outgoing,
			Outgoing: packetType == outgoing,
		} {
			program, err := ND(direction)
			check(t, err)
			for i, ins := range program {
				if ins == (bpf.LoadExtension{Num: bpf.ExtType}) {
					program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: packetType}
				}
			}
			vm, err := bpf.NewVM(program)
			check(t, err)
			if got := run(t, vm, ns); got != want {
				t.Errorf("NS of packet type %d, direction %d: passes %v, want %v", packetType, direction, got, want)
			}
			if run(t, vm, echo) {
				t.Errorf("echo of packet type %d passes, direction %d", packetType, direction)
			}
		}
	}
	if _, err := ND(Outgoing + 1); err == nil {
		t.Error("no error for an unknown direction")
	}
}

// The kernel accepts the program of every direction.
func TestKernelTakesIt(t *testing.T) {
	for _, direction := range []Direction{Any, Incoming, Outgoing} {
		program, err := ND(direction)
		check(t, err)
		raw, err := bpf.Assemble(program)
		check(t, err)
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		check(t, err)
		defer conn.Close()
		if err := ipv4.NewPacketConn(conn).SetBPF(raw); err != nil {
			t.Errorf("kernel refuses the filter for direction %d: %v", direction, err)
		}
	}
}

func TestLabels(t *testing.T) {
	var far program
	far.jumpIf(bpf.JumpEqual, 1, drop, fall)
	for range 256 {
		far.add(bpf.TAX{})
	}
	far.label(drop)
	far.add(bpf.RetConstant{})
	if _, err := far.link(); err == nil {
		t.Error("no error for a jump over 256 instructions")
	}
	var missing program
	missing.jump("nowhere")
	missing.add(bpf.RetConstant{})
	if _, err := missing.link(); err == nil {
		t.Error("no error for a missing label")
	}
}

// BenchmarkFilter runs the program in the interpreter of x/net, on what passes and
// on what most frames are.
func BenchmarkFilter(b *testing.B) {
	ns := ip6(58, icmp(135))
	vm := machine(b, Any)
	for _, bench := range []struct {
		name  string
		frame []byte
	}{
		{"NS", untagged(ns)},
		{"NS-VLAN", frame(0x8100, tag(12, 0x86dd, ns))},
		{"NS-QinQ", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, ns)))},
		{"NS-SNAP", frame(72, snap(0, 0x86dd, ns))},
		{"TCP", untagged(ip6(6, make([]byte, 20)))},
		{"IPv4", frame(0x0800, make([]byte, 60))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = vm.Run(bench.frame)
			}
		})
	}
}
