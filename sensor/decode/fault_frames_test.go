package decode_test

import "bytes"

// faultTest is a frame and the faults that it has.
type faultTest struct {
	name  string
	frame []byte
	want  string
}

// Frames with one message, and what several tests put into them.
func nsTo(message []byte) []byte         { return send(router, solicitedFor, message) }
func raTo(message []byte) []byte         { return send(router, allNodes, message) }
func raOptions(options ...[]byte) []byte { return raTo(raOf(0, 1800, 0, options...)) }
func naTo(message []byte) []byte         { return send(targetText, allNodes, message) }
func rdTo(message []byte) []byte         { return send(router, host, message) }

// extended puts an extension header before a message.
func extended(from, to string, header, message []byte) []byte {
	frame := send(from, to, message)
	return cat(frame[:14], packet(from, to, 43, header, frame[54:]))
}

// stops is a routing header with a segment left.
func stops() []byte { return flip(ext(58, 2), 3) }

const (
	mapped = "::ffff:169.254.0.1" // netip calls it link-local
	eui64  = "fe80::21b:21ff:fe0a:b0c"
)

// packetFaults are frames with faults of the packet, of its headers and of the size of options, and some without.
func packetFaults() []faultTest {
	return []faultTest{
		{"RS", send(router, allRouters, rs(slla())), ""},
		{"RA", raOptions(slla(), prefixInfo(), mtu(1500), rdnss(), routeOf(48, 0, "2001:db8:1::")), ""},
		{"NS", nsTo(ns(slla())), ""},
		{"NA", naTo(na(0x20, tlla())), ""},
		{"redirect", rdTo(rdFor("fe80::2", "2001:db8:1::1", tlla(), redirected(host, "2001:db8:1::1"))), ""},

		{"checksum", edit(nsTo(ns()), checksumAt, 0, 0), "discarded checksum"},
		{"checksum of a packet with stops ahead", edit(extended(router, solicitedFor, stops(), ns()), checksumAt+len(stops()), 0, 0), ""},
		{"code", nsTo(icmp(135, 1, make([]byte, 4), target)), "discarded code"},
		{"version 4", edit(nsTo(ns()), versionAt, 0x40), "discarded version"},
		{"payload length 0 before a hop-by-hop options header", ether(ip6Length(0, 0, ext(58, 0), ns())), "zeropayload"},
		{"no hop limit of 255", edit(nsTo(ns()), hopLimitAt, 254), "discarded hoplimit"},

		{"later fragment", ether(ip6(44, frag(58, 8, false), ns())), ""},
		{"later fragment, not from behind a router", edit(ether(ip6(44, frag(58, 8, false), ns())), hopLimitAt, 254), ""},
		{"later fragment in the frame of another group", ether(packet(router, allNodes, 44, frag(58, 8, false), ns())), "ethernetdestination"},
		{"later fragment, modified EUI-64 of another", ether(packet(eui64, solicitedFor, 44, frag(58, 8, false))), "eui64"},
		{"later fragment truncated", ether(ip6Length(40, 44, frag(58, 8, false), ns()[:16])), "discarded length"},
		{"later fragment, header cut", ether(ip6(44, frag(58, 8, false)[:7])), "discarded length"},

		{"message cut", nsTo(ns()[:23]), "discarded length"},
		{"message cut after its type", ether(ip6(58, []byte{135})), "discarded length"},
		{"packet truncated", ether(ip6Length(32, 58, ns())), "discarded length"},
		{"bytes behind the packet", ether(ip6Length(24, 58, ns(), make([]byte, 8))), ""},
		{"chain cut", ether(ip6(0, ext(58, 0))), "discarded length"},
		{"chain cut in a header", ether(ip6(0, ext(58, 1)[:15])), "discarded length"},
		{"chain cut in the first fragment", ether(ip6(44, frag(58, 0, true))), "discarded length"},
		{"chain too long to tell", ether(ip6(60, bytes.Repeat(ext(60, 0), 256), ext(58, 0), ns())), ""},
		{"first fragment, message goes on", ether(ip6(44, frag(58, 0, true), ns()[:16])), "length"},
		{"first fragment, option goes on", ether(ip6(44, frag(58, 0, true), ns(slla()[:6]))), ""},

		{"option of length 0", nsTo(ns([]byte{14, 0, 0, 0, 0, 0, 0, 0})), "discarded badoption optionlength"},
		{"option past the end", nsTo(ns([]byte{14, 2, 0, 0, 0, 0, 0, 0})), "discarded badoption optionlength"},
		{"option without a length", nsTo(ns([]byte{14})), "discarded badoption optionlength"},
		{"option of a wrong size", raOptions(option(38, make([]byte, 6))), "badoption"},
		{"link-layer address of 16 bytes", nsTo(ns(option(1, macSource, make([]byte, 8)))), "badoption"},
		{"option with bad content", raOptions(prefixOf(129, 0, 1, 1, "2001:db8::")), "badoption"},
		{"option of length 0 in a first fragment", ether(ip6(44, frag(58, 0, true), ns([]byte{14, 0}))), "discarded badoption optionlength"},
	}
}

// addressFaults are frames with faults of addresses.
func addressFaults() []faultTest {
	return []faultTest{
		{"RA from a global address", send(host, allNodes, ra()), "discarded source"},
		{"RA from ::", send("::", allNodes, ra()), "discarded source"},
		{"RA from a mapped address", send(mapped, allNodes, ra()), "discarded source"},
		{"RA from the last link-local address", send("febf:ffff::1", allNodes, ra()), ""},
		{"RA from the first address behind", send("fec0::1", allNodes, ra()), "discarded source"},
		{"RA, cut, from a global address", send(host, allNodes, ra()[:15]), "discarded length source"},
		{"redirect from a global address", send("2001:db8::1", host, rdFor("fe80::2", "2001:db8:1::1")), "discarded source"},
		{"NA from ::", send("::", allNodes, naFor(targetText, 0, tlla())), "source"},
		{"NS from ::", send("::", solicitedFor, ns()), ""},
		{"RS from ::", send("::", allRouters, rs()), ""},
		{"NS from a group", send("ff02::1", solicitedFor, ns()), "discarded source"},
		{"RS from loopback", send("::1", allRouters, rs()), "discarded source"},
		{"RS from ::2", send("::2", allRouters, rs()), ""},

		{"NS for a group", send(router, "ff02::1:ff00:1", nsFor("ff02::1")), "discarded target"},
		{"NS for ::", send(router, "ff02::1:ff00:0", nsFor("::")), "target"},
		{"NS for loopback", send(router, "ff02::1:ff00:1", nsFor("::1")), "target"},
		{"NS for ::2", send(router, "ff02::1:ff00:2", nsFor("::2")), ""},
		{"NA for a group", send(router, host, naFor("ff02::1", 0)), "discarded target"},
		{"NA for ::", send(router, host, naFor("::", 0)), "target"},
		{"NA for loopback", send(router, host, naFor("::1", 0)), "target"},
		{"redirect to a global address", rdTo(rdFor("2001:db8::2", "2001:db8:1::1")), "discarded target"},
		{"redirect to a mapped address", rdTo(rdFor(mapped, "2001:db8:1::1")), "discarded target"},
		{"redirect to the destination", rdTo(rdFor("2001:db8:1::1", "2001:db8:1::1")), ""},
		{"redirect of a group", rdTo(rdFor("fe80::2", "ff0e::1")), "discarded target"},

		{"RS from :: with a source link-layer address", send("::", allRouters, rs(slla())), "discarded unspecified"},
		{"NS from :: with a source link-layer address", send("::", solicitedFor, ns(slla())), "discarded unspecified"},
		{"NS from :: with a bad source link-layer address", send("::", solicitedFor, ns(option(1, make([]byte, 14)))), "discarded badoption unspecified ethernetmismatch linklayer"},
		{"NS from :: with a nonce", send("::", solicitedFor, ns(some(14))), ""},
		{"NS from :: to all nodes", send("::", allNodes, ns()), "discarded unspecified"},
		{"NS from :: to another solicited-node address", send("::", "ff02::1:ff00:43", ns()), "solicitednode"},
		{"NS from :: to its target", send("::", targetText, ns()), "discarded unspecified"},
		{"NS from :: with stops ahead", extended("::", allNodes, stops(), ns()), ""},
		{"NS from :: behind its stops", extended("::", allNodes, ext(58, 2), ns()), "discarded unspecified"},

		{"NS from :: to a solicited-node address of the site", send("::", "ff05::1:ff00:42", ns()), "discarded unspecified"},

		{"S to all nodes", naTo(na(0x40)), "discarded solicited"},
		{"S to a host", send(targetText, host, na(0x40)), ""},
		{"S to all nodes with stops ahead", extended(targetText, allNodes, stops(), na(0x40)), ""},

		{"RS to all nodes", send(router, allNodes, rs()), "destination"},
		{"RS to all routers of the site", send(router, "ff05::2", rs()), "destination"},
		{"RS to a router", send(router, host, rs()), ""},
		{"RS to all nodes with stops ahead", extended(router, allNodes, stops(), rs()), ""},
		{"RA to all routers", send(router, allRouters, ra()), "destination"},
		{"RA to a host", send(router, host, ra()), ""},
		{"RA, cut, to all routers", send(router, allRouters, ra()[:15]), "discarded length destination"},
		{"NA to all routers (RFC 9131)", send(targetText, allRouters, na(0)), ""},
		{"NA to all routers of the site", send(targetText, "ff05::2", na(0)), "destination"},
		{"NA to group 3", send(targetText, "ff02::3", na(0)), "destination"},
		{"NA to a solicited-node address", send(targetText, solicitedFor, na(0)), "destination"},
		{"S to all routers", send(targetText, allRouters, na(0x40)), "discarded solicited"},
		{"redirect to all nodes", send(router, allNodes, rdFor("fe80::2", "2001:db8:1::1")), "destination"},
		{"NS to another host", send(router, host, ns()), "destination"},
		{"NS to its target", send(router, targetText, ns()), ""},
		{"NS to a router with a registration", send(router, host, ns(option(33, make([]byte, 14)))), ""},
		{"NS to another host with stops ahead", extended(router, host, stops(), ns()), ""},
		{"NS to another host, options go on in another fragment",
			cat(send(router, host, ns())[:14], packet(router, host, 44, frag(58, 0, true), ns())), ""},

		{"NS to all nodes", send(router, allNodes, ns()), "solicitednode"},
		{"NS to another solicited-node address", send(router, "ff02::1:ff00:43", ns()), "solicitednode"},
		{"NS to a solicited-node address of the site", send(router, "ff05::1:ff00:42", ns()), "solicitednode"},
		{"NS to all nodes with stops ahead", extended(router, allNodes, stops(), ns()), ""},

		{"unicast in a broadcast frame", sendTo(bytes.Repeat([]byte{0xff}, 6), router, targetText, ns()), "ethernetdestination"},
		{"unicast in the frame of a group", sendTo([]byte{0x33, 0x33, 0, 0, 0, 0x42}, router, targetText, ns()), "ethernetdestination"},
		{"group in the frame of another", sendTo([]byte{0x33, 0x33, 0, 0, 0, 1}, router, solicitedFor, ns()), "ethernetdestination"},
		{"group in a broadcast frame", sendTo(bytes.Repeat([]byte{0xff}, 6), router, solicitedFor, ns()), "ethernetdestination"},
		{"group in a frame for one (RFC 6085)", sendTo([]byte{2, 0, 0, 0, 0, 0x42}, router, solicitedFor, ns()), ""},
		{"unicast in a broadcast frame, chain cut",
			edit(ether(packet(router, host, 0, ext(58, 0))), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "discarded length ethernetdestination"},
	}
}

// stationFaults are frames with faults of Ethernet addresses and of the options with them.
func stationFaults() []faultTest {
	eui := []byte{0x00, 0x1b, 0x21, 0x0a, 0x0b, 0x0c}
	from := func(mac []byte, frame []byte) []byte { return edit(frame, 6, mac...) }
	return []faultTest{
		{"RS of another", send(router, allRouters, rs(option(1, []byte{2, 0, 0, 0, 0, 2}))), "ethernetmismatch"},
		{"RA of another", raOptions(option(1, []byte{2, 0, 0, 0, 0, 2})), "ethernetmismatch"},
		{"NS of another", nsTo(ns(option(1, []byte{2, 0, 0, 0, 0, 2}))), "ethernetmismatch"},
		{"NA of another", naTo(na(0x20, option(2, []byte{2, 0, 0, 0, 0, 2}))), "ethernetmismatch"},
		{"redirect to another", rdTo(rdFor("fe80::2", "2001:db8:1::1", option(2, []byte{2, 0, 0, 0, 0, 2}))), ""},

		{"link-layer address of zeros", rdTo(rdFor("fe80::2", "2001:db8:1::1", option(2, make([]byte, 6)))), "linklayer"},
		{"link-layer address of a group", rdTo(rdFor("fe80::2", "2001:db8:1::1", option(2, macDestination))), "linklayer"},
		{"broadcast as the source's", nsTo(ns(option(1, bytes.Repeat([]byte{0xff}, 6)))), "ethernetmismatch linklayer"},
		{"link-layer address that ends in 1", rdTo(rdFor("fe80::2", "2001:db8:1::1", option(2, []byte{0, 0, 0, 0, 0, 1}))), ""},

		{"modified EUI-64", from(eui, send(eui64, allRouters, rs())), ""},
		{"modified EUI-64 of another", send(eui64, allRouters, rs()), "eui64"},
		{"modified EUI-64 of another, chain cut", ether(packet(eui64, solicitedFor, 0, ext(58, 0))), "discarded length eui64"},
		{"EUI-64 that is not modified", from(eui, send("fe80::1b:21ff:fe0a:b0c", allRouters, rs())), "eui64 eui64bit"},
		{"almost modified EUI-64", from(eui, send("fe80::21b:21ff:ff0a:b0c", allRouters, rs())), ""},
		{"group that looks like it", send("ff02::ff:fe00:1", allRouters, rs()), "discarded source"},

		{"redirected header in an NS", nsTo(ns(redirected(host, host))), "notallowed"},
		{"bad prefix in an NS", nsTo(ns(some(3))), "badoption notallowed"},

		{"source link-layer address twice", nsTo(ns(slla(), slla())), ""},
		{"two source link-layer addresses", nsTo(ns(slla(), slla(), option(1, []byte{2, 0, 0, 0, 0, 2}))), "ethernetmismatch repeated"},
		{"two target link-layer addresses", naTo(na(0x20, tlla(), some(90), option(2, []byte{2, 0, 0, 0, 0, 2}))), "ethernetmismatch repeated"},
		{"source and target link-layer address", nsTo(ns(slla(), option(2, []byte{2, 0, 0, 0, 0, 2}))), "notallowed"},
		{"MTU twice", raOptions(mtu(1500), mtu(1500)), ""},
		{"two MTUs", raOptions(mtu(1500), mtu(1400)), "repeated"},
		{"two nonces", nsTo(ns(some(14), option(14, make([]byte, 6)))), "repeated"},
		{"nonces of two sizes", nsTo(ns(some(14), option(14, make([]byte, 14)))), "repeated"},
		{"two redirected headers", rdTo(rdFor("fe80::2", "2001:db8:1::1", redirected(host, "2001:db8:1::1"), option(4, make([]byte, 6)))), "repeated"},
		{"two prefixes", raOptions(prefixInfo(), prefixOf(64, 0xc0, 2, 1, "2001:db8:2::")), ""},
		{"two of a type beyond 63", nsTo(ns(some(64+14), option(64+14, make([]byte, 6)))), ""},

		{"O without a target link-layer address", naTo(na(0x20)), "override"},
		{"O with a bad target link-layer address", naTo(na(0x20, option(2, make([]byte, 14)))), "badoption ethernetmismatch linklayer"},
		{"O and an option without end", naTo(na(0x20, []byte{14, 2, 0, 0, 0, 0, 0, 0})), "discarded badoption optionlength"},
		{"O, options go on in another fragment",
			cat(naTo(na(0x20))[:14], packet(targetText, allNodes, 44, frag(58, 0, true), na(0x20))), ""},
		{"no O and no target link-layer address", naTo(na(0)), ""},
		{"O from another address", send(host, allNodes, na(0x20, tlla())), "proxyoverride"},
		{"no O from another address", send(host, allNodes, na(0, tlla())), ""},
		{"NA for another link-local address", send(router, allNodes, naFor("fe80::2", 0, tlla())), "targetmismatch"},
		{"NA for the same link-local address", send(router, allNodes, naFor(router, 0, tlla())), ""},
		{"NA from a link-local address for a global one", send(router, allNodes, na(0, tlla())), ""},
		{"NA from a global address for a link-local one", send(host, allNodes, naFor(router, 0, tlla())), ""},
	}
}

// raFaults are frames with faults of what routers send, and with several.
func raFaults() []faultTest {
	return []faultTest{
		{"link-local prefix", raOptions(prefixOf(64, 0xc0, 2, 1, "fe80::")), "prefix"},
		{"multicast prefix", raOptions(prefixOf(64, 0xc0, 2, 1, "ff0e::")), "prefix"},
		{"bits behind the prefix", raOptions(prefixOf(64, 0xc0, 2, 1, "2001:db8::1")), "prefix"},
		{"one bit behind the prefix", raOptions(prefixOf(63, 0x80, 2, 1, "2001:db8:0:1::")), "prefix"},
		{"one bit behind a long prefix", raOptions(prefixOf(127, 0x80, 2, 1, "2001:db8::1")), "prefix"},
		{"no bit behind a long prefix", raOptions(prefixOf(128, 0x80, 2, 1, "2001:db8::1")), ""},
		{"no bit behind a prefix of 96", raOptions(prefixOf(96, 0x80, 2, 1, "2001:db8::1:0:0")), ""},
		{"bits behind the prefix, R", raOptions(prefixOf(64, 0xe0, 2, 1, "2001:db8::1")), ""},
		{"link-local prefix, R", raOptions(prefixOf(64, 0xe0, 2, 1, "fe80::1")), "prefix"},
		{"prefix of nothing", raOptions(prefixOf(0, 0x80, 2, 1, "::")), ""},
		{"A and 63 bits", raOptions(prefixOf(63, 0xc0, 2, 1, "2001:db8::")), "prefixlength"},
		{"A and 65 bits", raOptions(prefixOf(65, 0xc0, 2, 1, "2001:db8::")), "prefixlength"},
		{"63 bits without A", raOptions(prefixOf(63, 0x80, 2, 1, "2001:db8::")), ""},
		{"preferred for longer than valid", raOptions(prefixOf(64, 0xc0, 1, 2, "2001:db8::")), "prefixlifetime"},
		{"preferred for ever, not valid", raOptions(prefixOf(64, 0xc0, 1, 0xffffffff, "2001:db8::")), "prefixlifetime"},
		{"preferred as long as valid", raOptions(prefixOf(64, 0xc0, 1, 1, "2001:db8::")), ""},

		{"reserved preference", raTo(raOf(0x10, 1800, 0)), "preference"},
		{"high preference", raTo(raOf(0x08, 1800, 0)), ""},
		{"high preference, no router", raTo(raOf(0x08, 0, 0)), "preference"},
		{"low preference, no router", raTo(raOf(0x18, 0, 0)), "preference"},
		{"medium preference, no router", raTo(raOf(0, 0, 0)), ""},
		{"reserved preference of a route", raOptions(routeOf(48, 0x10, "2001:db8:1::")), "preference"},
		{"high preference of a route", raOptions(routeOf(48, 0x08, "2001:db8:1::")), ""},
		{"reachable for an hour", raTo(raOf(0, 1800, 3_600_000)), ""},
		{"reachable for more", raTo(raOf(0, 1800, 3_600_001)), "reachabletimer"},
		{"MTU of 1280", raOptions(mtu(1280)), ""},
		{"MTU of 1279", raOptions(mtu(1279)), "mtu"},
		{"DNS server at a group", raOptions(server("ff02::1")), "dns"},
		{"DNS server at loopback", raOptions(server("::1")), "dns"},
		{"DNS server at ::", raOptions(server("::")), "dns"},
		{"DNS server on the link", raOptions(server("fe80::53")), ""},
		{"second DNS server at ::", raOptions(server(host), option(25, make([]byte, 2), be32(1), addr(host), addr("::"))), "dns"},
		{"search list with a space", raOptions(dnssl("\x03a b\x00")), "dnsname"},
		{"captive portal with a space", raOptions(padded(37, []byte("a b"))), "uri"},
		{"route to the link", raOptions(routeOf(64, 0, "fe80::")), "route"},
		{"route to a group", raOptions(routeOf(8, 0, "ff00::")), "route"},
		{"route to everywhere", raOptions(routeOf(0, 0, "::")), ""},
		{"route to everywhere, written otherwise", raOptions(routeOf(0, 0, "ff02::1")), ""},
		{"route to half of everywhere", raOptions(routeOf(1, 0, "8000::")), ""},

		// These are faults only in an RA.
		{"what an RA must not say in an NS", nsTo(ns(prefixOf(63, 0xc0, 1, 2, "fe80::1"), mtu(1), server("::1"), routeOf(64, 0x10, "fe80::"))), "notallowed"},

		{"packet of another redirected", rdTo(rdFor("fe80::2", "2001:db8:1::1", redirected("2001:db8::8", "2001:db8:1::1"))), "redirectedheader"},
		{"packet to another redirected", rdTo(rdFor("fe80::2", "2001:db8:1::1", redirected(host, "2001:db8:1::2"))), "redirectedheader"},
		{"packet that cannot be read redirected", rdTo(rdFor("fe80::2", "2001:db8:1::1", option(4, make([]byte, 46)))), ""},
		{"packet of another redirected, with stops ahead",
			extended(router, "2001:db8::8", stops(), rdFor("fe80::2", "2001:db8:1::1", redirected(host, "2001:db8:1::1"))), ""},

		{"in LLC and SNAP", behind(nsTo(ns(slla())), snap(80, 0x86dd)), "encapsulation"},
		{"two priorities", behind(nsTo(ns(slla())), tag(0x8100, 0), tag(0x8100, 0), be16(0x86dd)), "encapsulation"},

		{"several", edit(send("2001:db8::1", allRouters, raOf(0x10, 0, 3_600_001, mtu(1))), hopLimitAt, 64),
			"discarded hoplimit source destination preference reachabletimer mtu"},
	}
}
