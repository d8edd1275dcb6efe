package filter

import (
	"bytes"
	"slices"
	"testing"
)

// frameTest says whether a frame passes the filter.
type frameTest struct {
	name  string
	frame []byte
	want  bool
}

const (
	pass   = true
	refuse = false
)

func checkFrames(t *testing.T, tests []frameTest) {
	vm := machine(t, Any)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := run(t, vm, test.frame); got != test.want {
				t.Errorf("passes: %v, want %v: %x", got, test.want, test.frame)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	checkFrames(t, []frameTest{
		{"RS", untagged(ip6(58, icmp(133))), pass},
		{"RA", untagged(ip6(58, icmp(134))), pass},
		{"NS", untagged(ip6(58, icmp(135))), pass},
		{"NA", untagged(ip6(58, icmp(136))), pass},
		{"redirect", untagged(ip6(58, icmp(137))), pass},
		{"type 132, MLD done", untagged(ip6(58, icmp(132))), refuse},
		{"type 138", untagged(ip6(58, icmp(138))), refuse},
		{"echo request", untagged(ip6(58, icmp(128))), refuse},
		{"echo reply", untagged(ip6(58, icmp(129))), refuse},
		{"type 0", untagged(ip6(58, icmp(0))), refuse},
		{"type 255", untagged(ip6(58, icmp(255))), refuse},
		{"MLDv2 report", untagged(ip6(0, hbh, icmp(143))), refuse},
		{"TCP", untagged(ip6(6, tcp)), refuse},
		{"UDP", untagged(ip6(17, udp)), refuse},
		{"ESP", untagged(ip6(50, ns)), refuse},
		{"authentication header", untagged(ip6(51, ns)), refuse},
		{"no next header", untagged(ip6(59, ns)), refuse},

		{"ARP", frame(0x0806, make([]byte, 46)), refuse},
		{"IPv4 that looks like NS from afar", frame(0x0800, ip6(58, ns)), refuse},
		{"802.3 length", frame(0x0040, ip6(58, ns)), refuse},
		{"empty", nil, refuse},
		{"no EtherType", make([]byte, 12), refuse},
		{"no IPv6 header", frame(0x86dd, nil), refuse},
	})
}

func TestTags(t *testing.T) {
	checkFrames(t, []frameTest{
		{"VLAN", frame(0x8100, tag(12, 0x86dd, ip6(58, ns))), pass},
		{"VLAN 0", frame(0x8100, tag(0, 0x86dd, ip6(58, ns))), pass},
		{"service VLAN", frame(0x88a8, tag(12, 0x86dd, ip6(58, ns))), pass},
		{"VLAN, hop-by-hop", frame(0x8100, tag(12, 0x86dd, ip6(0, hbh, ns))), pass},
		{"VLAN, echo", frame(0x8100, tag(12, 0x86dd, ip6(58, icmp(128)))), refuse},
		{"VLAN, IPv4", frame(0x8100, tag(12, 0x0800, ip6(58, ns))), refuse},
		{"VLAN, ARP", frame(0x8100, tag(12, 0x0806, make([]byte, 46))), refuse},
		{"VLAN, nothing", frame(0x8100, nil), refuse},
		{"service VLAN, nothing", frame(0x88a8, nil), refuse},
		{"QinQ", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, ip6(58, ns)))), pass},
		{"QinQ, hop-by-hop", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, ip6(0, hbh, ns)))), pass},
		{"QinQ, later fragment to all nodes", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, to("ff02::1", ip6(44, frag(58, 8, true), udp))))), pass},
		{"QinQ, later fragment to a host", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, to("fe80::1", ip6(44, frag(58, 8, true), udp))))), refuse},
		{"QinQ, echo", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, ip6(58, icmp(128))))), refuse},
		{"QinQ, TCP", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, ip6(6, tcp)))), refuse},
		{"QinQ, IPv4", frame(0x88a8, tag(12, 0x8100, tag(13, 0x0800, ip6(58, ns)))), refuse},
		{"QinQ, NS behind the payload", frame(0x88a8, tag(12, 0x8100, tag(13, 0x86dd, withLength(0, 58, ns)))), refuse},
		{"QinQ, nothing", frame(0x88a8, tag(12, 0x8100, nil)), refuse},
		{"QinQ the other way", frame(0x8100, tag(12, 0x88a8, tag(13, 0x86dd, ip6(58, ns)))), pass},
		{"two VLAN tags", frame(0x8100, tag(12, 0x8100, tag(13, 0x86dd, ip6(58, ns)))), pass},
		{"two service VLAN tags", frame(0x88a8, tag(12, 0x88a8, tag(13, 0x86dd, ip6(58, ns)))), pass},
		{"two priority tags", frame(0x8100, tag(0, 0x8100, tag(0, 0x86dd, ip6(58, ns)))), pass},
		{"three VLAN tags", frame(0x8100, tag(12, 0x8100, tag(13, 0x8100, tag(14, 0x86dd, ip6(58, ns))))), refuse},
		{"three VLAN tags, QinQ", frame(0x88a8, tag(12, 0x8100, tag(13, 0x88a8, tag(14, 0x86dd, ip6(58, ns))))), refuse},
		{"three VLAN tags with priorities", frame(0x8100, tag(0x200c, 0x8100, tag(0x400d, 0x8100, tag(0x600e, 0x86dd, ip6(58, ns))))), refuse},
		{"three priority tags", frame(0x8100, tag(0, 0x8100, tag(0, 0x8100, tag(0, 0x86dd, ip6(58, ns))))), pass},
		{"three priority tags, SNAP", frame(0x8100, tag(0, 0x8100, tag(0, 0x8100, tag(0, length, llc)))), pass},
		{"priority tag in two VLAN tags", frame(0x8100, tag(12, 0x8100, tag(13, 0x8100, tag(0xe000, 0x86dd, ip6(58, ns))))), pass},
		{"priority tag between two VLAN tags", frame(0x88a8, tag(12, 0x88a8, tag(0, 0x88a8, tag(14, 0x86dd, ip6(58, ns))))), pass},
		{"three priority tags, TCP, for the decoder to judge", frame(0x8100, tag(0, 0x8100, tag(0, 0x8100, tag(0, 0x86dd, ip6(6, tcp))))), pass},
		{"three priority tags, cut", frame(0x8100, tag(1, 0x8100, tag(0, 0x8100, nil))), pass},
		{"three VLAN tags, cut", frame(0x8100, tag(1, 0x8100, tag(1, 0x8100, nil))), refuse},
		{"another tag before a VLAN tag", frame(0x9100, tag(12, 0x8100, tag(13, 0x86dd, ip6(58, ns)))), refuse},
		{"another tag behind a VLAN tag", frame(0x8100, tag(12, 0x9100, tag(13, 0x86dd, ip6(58, ns)))), refuse},
	})
}

func TestSNAP(t *testing.T) {
	checkFrames(t, []frameTest{
		{"SNAP", frame(length, llc), pass},
		{"SNAP, length 0", frame(0, llc), pass},
		{"SNAP, length 1", frame(1, llc), pass},
		{"SNAP, length of a longer frame", frame(length+100, llc), pass},
		{"SNAP, the greatest length", frame(1535, llc), pass},
		{"SNAP, no length", frame(1536, llc), refuse},
		{"SNAP, the first EtherType", frame(0x0600, llc), refuse},
		{"SNAP behind the EtherType of IPv6", untagged(llc), refuse},
		{"SNAP, padding", frame(length, append(bytes.Clone(llc), 0, 0, 0, 0)), pass},
		{"SNAP, hop-by-hop", frame(100, snap(0, 0x86dd, ip6(0, hbh, ns))), pass},
		{"SNAP, later fragment to all nodes", frame(100, snap(0, 0x86dd, to("ff02::1", ip6(44, frag(58, 8, true), udp)))), pass},
		{"SNAP, later fragment to a host", frame(100, snap(0, 0x86dd, to("fe80::1", ip6(44, frag(58, 8, true), udp)))), refuse},
		{"SNAP, echo", frame(100, snap(0, 0x86dd, ip6(58, icmp(128)))), refuse},
		{"SNAP, TCP", frame(100, snap(0, 0x86dd, ip6(6, tcp))), refuse},
		{"SNAP, NS behind the payload", frame(100, snap(0, 0x86dd, withLength(0, 58, ns))), refuse},
		{"SNAP, IPv4", frame(length, snap(0, 0x0800, ip6(58, ns))), refuse},
		{"SNAP, VLAN tag", frame(100, snap(0, 0x8100, tag(0, 0x86dd, ip6(58, ns)))), refuse},
		{"SNAP in SNAP", frame(100, snap(0, 100, llc)), refuse},
		{"SNAP, OUI of bridge tunnels", frame(length, snap(0x0000f8, 0x86dd, ip6(58, ns))), refuse},
		{"SNAP, OUI of Cisco", frame(length, snap(0x00000c, 0x86dd, ip6(58, ns))), refuse},
		{"SNAP, first byte of the OUI", frame(length, snap(0x010000, 0x86dd, ip6(58, ns))), refuse},
		{"LLC, another destination", frame(length, change(llc, 0)), refuse},
		{"LLC, another source", frame(length, change(llc, 1)), refuse},
		{"LLC, another control field", frame(length, change(llc, 2)), refuse},
		{"SNAP behind a VLAN tag", frame(0x8100, tag(12, length, llc)), pass},
		{"SNAP behind a priority tag", frame(0x8100, tag(0, length, llc)), pass},
		{"SNAP behind a service VLAN tag", frame(0x88a8, tag(12, 0, llc)), pass},
		{"SNAP behind a tag, the greatest length", frame(0x8100, tag(12, 1535, llc)), pass},
		{"SNAP behind a tag, no length", frame(0x8100, tag(12, 1536, llc)), refuse},
		{"SNAP behind two tags", frame(0x88a8, tag(12, 0x8100, tag(13, length, llc))), pass},
		{"SNAP behind two tags, no length", frame(0x88a8, tag(12, 0x8100, tag(13, 1536, llc))), refuse},
		{"SNAP behind two tags, OUI of bridge tunnels", frame(0x88a8, tag(12, 0x8100, tag(13, length, snap(0x0000f8, 0x86dd, ip6(58, ns))))), refuse},
		{"SNAP behind two tags, echo", frame(0x88a8, tag(12, 0x8100, tag(13, length, snap(0, 0x86dd, ip6(58, icmp(128)))))), refuse},
		{"SNAP, nothing", frame(0, nil), refuse},
	})
}

func TestHeaders(t *testing.T) {
	checkFrames(t, []frameTest{
		{"hop-by-hop, NS", untagged(ip6(0, hbh, ns)), pass},
		{"routing, NS", untagged(ip6(43, dst, ns)), pass},
		{"destination options, NS", untagged(ip6(60, dst, ns)), pass},
		{"the longest header, NS", untagged(ip6(60, ext(58, 255), ns)), pass},
		{"atomic fragment, NS", untagged(ip6(44, frag(58, 0, false), ns)), pass},
		{"first fragment, NS", untagged(ip6(44, frag(58, 0, true), ns)), pass},
		{"hop-by-hop, destination options, routing, fragment, destination options, NS",
			untagged(ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 0, true), dst, ns)), pass},
		{"hop-by-hop, destination options, routing, fragment, destination options, echo",
			untagged(ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 0, true), dst, icmp(128))), refuse},
		{"hop-by-hop, destination options, routing, fragment, destination options, TCP",
			untagged(ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(60, 0, true), ext(6, 0), tcp)), refuse},
		{"hop-by-hop, TCP", untagged(ip6(0, ext(6, 0), tcp)), refuse},
		{"destination options, no next header", untagged(ip6(60, ext(59, 0), ns)), refuse},

		{"chain of MaxHeaders, NS", untagged(ip6(60, slices.Concat(repeat(MaxHeaders-1), ext(58, 0)), ns)), pass},
		{"chain of MaxHeaders, echo", untagged(ip6(60, slices.Concat(repeat(MaxHeaders-1), ext(58, 0)), icmp(128))), refuse},
		{"chain of MaxHeaders, TCP", untagged(ip6(60, slices.Concat(repeat(MaxHeaders-1), ext(6, 0)), tcp)), refuse},
		{"longer chain, NS", untagged(ip6(60, slices.Concat(repeat(MaxHeaders), ext(58, 0)), ns)), pass},
		{"longer chain, TCP, for the decoder to judge", untagged(ip6(60, slices.Concat(repeat(MaxHeaders), ext(6, 0)), tcp)), pass},

		{"header runs past the end", untagged(ip6(60, ext(58, 2)[:16])), pass},
		{"header runs past the end, TCP", untagged(ip6(60, ext(6, 2)[:16])), refuse},
		{"chain ends after its header", untagged(ip6(60, ext(58, 2))), pass},
		{"chain ends after its header, first fragment", untagged(ip6(44, frag(60, 0, true), dst)), pass},
		{"chain announced, none", untagged(ip6(0)), pass},
		{"ICMPv6 announced, none", untagged(ip6(58)), refuse},

		{"NS behind the payload", untagged(withLength(0, 58, ns)), refuse},
		{"NS behind the payload, VLAN", frame(0x8100, tag(12, 0x86dd, withLength(0, 58, ns))), refuse},
		{"payload ends behind a header, padding looks like an echo", untagged(withLength(8, 60, slices.Concat(hbh, icmp(128)))), pass},
		{"payload ends in a header, padding", untagged(withLength(15, 60, slices.Concat(ext(58, 1), icmp(128)))), pass},
		{"payload ends in the first two bytes of a header", untagged(withLength(1, 60, slices.Concat(ext(58, 1), icmp(128)))), pass},
		{"payload of 0 before a chain, padding looks like TCP", untagged(withLength(0, 60, slices.Concat(ext(6, 0), tcp))), pass},
		{"payload is longer than the frame", untagged(withLength(1000, 58, ns)), pass},
		{"payload of 0xffff", untagged(withLength(0xffff, 60, slices.Concat(hbh, ns))), pass},
		{"jumbogram with NS", untagged(withLength(0, 0, slices.Concat(hbh, ns))), pass},
		{"jumbogram with TCP", untagged(withLength(0, 0, slices.Concat(ext(6, 0), tcp))), refuse},
		{"NS and Ethernet padding", untagged(append(ip6(58, ns), 0, 0, 0, 0)), pass},
	})
}

func TestFragments(t *testing.T) {
	checkFrames(t, []frameTest{
		{"first fragment of UDP", untagged(ip6(44, frag(17, 0, true), udp)), refuse},
		{"first fragment of an echo", untagged(ip6(44, frag(58, 0, true), icmp(128))), refuse},
		{"later fragment of UDP", untagged(ip6(44, frag(17, 1448, true), udp)), refuse},
		{"later fragment of ICMPv6 that looks like NS", untagged(ip6(44, frag(58, 8, true), ns)), refuse},
		{"last fragment at the highest offset", untagged(ip6(44, frag(58, 0xfff8, false), ns)), refuse},
		{"later fragment of destination options", untagged(ip6(44, frag(60, 1240, false), dst, ns)), refuse},
		{"later fragment in a first one", untagged(ip6(44, frag(44, 0, true), frag(58, 8, false), ns)), refuse},
		{"later fragment of UDP to all nodes", untagged(to("ff02::1", ip6(44, frag(17, 1448, true), udp))), refuse},
		{"later fragment of no next header to all nodes", untagged(to("ff02::1", ip6(44, frag(59, 8, true)))), refuse},
		{"later fragment of UDP behind a header, to all nodes", untagged(to("ff02::1", ip6(0, ext(44, 0), frag(17, 8, false), ns))), refuse},
		{"first fragment of an echo to all nodes", untagged(to("ff02::1", ip6(44, frag(58, 0, true), icmp(128)))), refuse},
		{"atomic fragment of an echo to all nodes", untagged(to("ff02::1", ip6(44, frag(58, 0, false), icmp(128)))), refuse},
		{"later fragment to all nodes", untagged(to("ff02::1", ip6(44, frag(58, 8, true), udp))), pass},
		{"later fragment to all nodes, the last", untagged(to("ff02::1", ip6(44, frag(58, 8, false), udp))), pass},
		{"later fragment to all nodes, the highest offset", untagged(to("ff02::1", ip6(44, frag(58, 0xfff8, false), udp))), pass},
		{"later fragment to all nodes, nothing in it", untagged(to("ff02::1", ip6(44, frag(58, 8, false)))), pass},
		{"later fragment to all nodes, behind the payload", untagged(to("ff02::1", withLength(3, 44, frag(58, 8, false)))), pass},
		{"later fragment to all nodes, VLAN", frame(0x8100, tag(12, 0x86dd, to("ff02::1", ip6(44, frag(58, 8, true), udp)))), pass},
		{"later fragment of hop-by-hop options", untagged(to("ff02::1", ip6(44, frag(0, 8, true), udp))), pass},
		{"later fragment of a routing header", untagged(to("ff02::1", ip6(44, frag(43, 8, true), udp))), pass},
		{"later fragment of a fragment", untagged(to("ff02::1", ip6(44, frag(44, 8, true), udp))), pass},
		{"later fragment of destination options to all nodes", untagged(to("ff02::1", ip6(44, frag(60, 1216, false), udp))), pass},
		{"later fragment to all nodes in a first one", untagged(to("ff02::1", ip6(44, frag(44, 0, true), frag(58, 8, false), udp))), pass},
		{"later fragment to all nodes behind headers", untagged(to("ff02::1", ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(58, 8, true), udp))), pass},
		{"later fragment to all nodes behind headers, VLAN", frame(0x88a8, tag(12, 0x86dd, to("ff02::1", ip6(60, ext(44, 0), frag(58, 8, true), udp)))), pass},
		{"later fragment to a host behind headers", untagged(to("2001:db8::1", ip6(0, ext(60, 0), ext(43, 1), ext(44, 2), frag(58, 8, true), udp))), refuse},
		{"later fragment to all nodes, the last header that is walked", untagged(to("ff02::1", ip6(60, repeat(MaxHeaders-2), ext(44, 0), frag(58, 8, false), udp))), pass},
		{"later fragment to a host, the last header that is walked", untagged(to("fe80::1", ip6(60, repeat(MaxHeaders-2), ext(44, 0), frag(58, 8, false), udp))), refuse},
		{"later fragment in a jumbogram", untagged(to("ff02::1", withLength(0, 0, slices.Concat(ext(44, 0), frag(58, 8, false), udp)))), pass},
		{"later fragment to this node's all nodes", untagged(to("ff01::1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to all routers", untagged(to("ff02::2", ip6(44, frag(58, 8, true), udp))), pass},
		{"later fragment to all routers of the site", untagged(to("ff05::2", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to group 0", untagged(to("ff02::", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to group 3", untagged(to("ff02::3", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to mDNS", untagged(to("ff02::fb", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to the first solicited-node group", untagged(to("ff02::1:ff00:0", ip6(44, frag(58, 8, true), udp))), pass},
		{"later fragment to the last solicited-node group", untagged(to("ff02::1:ffff:ffff", ip6(44, frag(58, 8, true), udp))), pass},
		{"later fragment before the solicited-node groups", untagged(to("ff02::1:feff:ffff", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment behind the solicited-node groups", untagged(to("ff02::2:0:0", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to a node information group", untagged(to("ff02::2:ff00:1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to what ends as all nodes", untagged(to("ff02::1:0:0:1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to what ends as a solicited-node group", untagged(to("ff02:0:1::1:ff00:1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to a host that ends as all nodes", untagged(to("fe80::1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"later fragment to a host that ends as a solicited-node group", untagged(to("fe80::1:ff00:1", ip6(44, frag(58, 8, true), udp))), refuse},
		{"reserved bits are not the offset of a fragment to all nodes", untagged(to("ff02::1", ip6(44, frag(58, 6, true), icmp(128)))), refuse},
		{"reserved bits are not the offset", untagged(ip6(44, frag(58, 6, true), ns)), pass},
	})
}
