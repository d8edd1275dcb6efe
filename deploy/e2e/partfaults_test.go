package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// headerFaults are those of the IPv6 header and the extension headers.
func headerFaults() []fault {
	skipped := header{60, []byte{0, 0x1e, 4, 0, 0, 0, 0}}   // an unknown option that is to be skipped
	discarded := header{60, []byte{0, 0x5e, 4, 0, 0, 0, 0}} // and one to be discarded
	routing := func(kind, left byte) header {
		return header{43, append([]byte{2, kind, left, 0, 0, 0, 0}, make([]byte, 16)...)}
	}
	segments := header{43, append([]byte{2, 4, 0, 0, 0, 0, 0}, make([]byte, 16)...)}
	empty := func(kind byte) header { return header{43, []byte{0, kind, 0, 0, 0, 0, 0}} }
	alert := header{0, []byte{0, 5, 2, 0, 0, 1, 0}}
	many := slices.Repeat([]header{destOpts}, 300)
	length0 := func(frame []byte) [][]byte {
		f := behind(hopByHop)(frame)[0]
		f[payloadAt], f[payloadAt+1] = 0, 0
		return [][]byte{f}
	}
	jumbo := func(frame []byte) [][]byte {
		size := len(frame) - icmp6At + 8
		f := behind(header{0, []byte{0, 0xc2, 4, 0, 0, byte(size >> 8), byte(size)}})(frame)[0]
		f[payloadAt], f[payloadAt+1] = 0, 0
		return [][]byte{f}
	}
	list := []fault{
		{name: "hop-by-hop options", frames: behind(hopByHop)},
		{name: "router alert", frames: behind(alert)},
		{name: "destination options", frames: behind(destOpts)},
		{name: "300 times destination options", frames: behind(many...)},
		{name: "hop-by-hop and destination options", frames: behind(hopByHop, destOpts)},
		{name: "destination options with one to skip", frames: behind(skipped)},
		{name: "destination options with one to discard", frames: behind(discarded)},
		{name: "hop-by-hop options twice", frames: behind(hopByHop, hopByHop)},
		{name: "hop-by-hop options behind others", frames: behind(destOpts, hopByHop)},
		{name: "routing header without segments left", frames: behind(routing(0, 0))},
		{name: "routing header with segments left", frames: behind(routing(0, 1))},
		{name: "empty routing header", frames: behind(empty(0))},
		{name: "routing header of mobility", frames: behind(routing(2, 0))},
		{name: "segment routing header", frames: behind(segments)},
		{name: "unknown routing header", frames: behind(empty(200))},
		{name: "routing header twice", frames: behind(empty(0), empty(0))},
		{name: "atomic fragment", frames: behind(atomicFragment)},
		{name: "atomic fragment behind hop-by-hop options", frames: behind(hopByHop, atomicFragment)},
		{name: "destination options behind an atomic fragment", frames: behind(atomicFragment, destOpts)},
		{name: "fragments", frames: inFragments(58, 8, 0)},
		{name: "fragments that overlap", frames: inFragments(58, 16, 8)},
		{name: "fragments of which the first has no message", frames: func(frame []byte) [][]byte {
			return inFragments(60, 8, 0)(behind(destOpts)(frame)[0])
		}},
		{name: "segment routing header before another IPv6 header", frames: func(frame []byte) [][]byte {
			f := slices.Concat(frame[:icmp6At], []byte{41}, segments.rest, frame[inet6At:])
			f[nextAt] = 43
			return [][]byte{sized(f)}
		}},
		{name: "payload length 0 before hop-by-hop options", frames: length0},
		{name: "payload length 0 before a jumbogram", frames: jumbo},
		{name: "payload length 0", frames: bytesAt(payloadAt, 0, 0)},
		{name: "header chain that ends", frames: func(frame []byte) [][]byte {
			f := frame[:icmp6At]
			f[nextAt] = 60
			return [][]byte{sized(f)}
		}},
	}
	for name, number := range map[string]byte{
		"authentication header": 51, "no next header": 59, "mobility header": 135, "HIP": 139, "shim6": 140,
		"experiment": 253, "IPv6 header number": 41, "unknown header": 200, "BIT emulation": 147,
	} {
		list = append(list, fault{name: name, frames: behind(odd(number))})
	}
	slices.SortStableFunc(list, func(a, b fault) int { return strings.Compare(a.name, b.name) })
	return list
}

// addressFaults are those of the packet's addresses and the target.
func addressFaults() []fault {
	return []fault{
		{name: "from a group", message: source("ff02::1")},
		{name: "from loopback", message: source("::1")},
		{name: "from an IPv4-mapped address", message: source("::ffff:192.0.2.1")},
		{name: "from a global address", kinds: "RS, RA, NA, Redirect", message: func(g *given) { g.Source = g.at("2001:db8:9::") }},
		{name: "from a global address on the link", kinds: "RS, RA, NS, NA", message: func(g *given) { g.Source = g.at("2001:db8:1::cccc:0") }},
		{name: "from ::", message: source("::")},
		{name: "from :: without link-layer address", message: func(g *given) { g.Source = netip.IPv6Unspecified(); g.remove(sourceLL) }},
		{name: "from an EUI-64 of another", kinds: "RS, RA, NS, NA", message: func(g *given) {
			g.Source = lab.LinkLocal(net.HardwareAddr{2, 1, 2, 3, byte(g.n >> 8), byte(g.n)})
		}},
		{name: "from an EUI-64 as tools make it", kinds: "RS, RA, NS, NA", message: func(g *given) {
			octets := lab.LinkLocal(g.EthernetSource).As16()
			octets[8] ^= 2
			g.Source = netip.AddrFrom16(octets)
		}},
		{name: "from the host itself", message: func(g *given) { g.Source = g.v.address }},
		{name: "to all nodes", message: func(g *given) { g.toGroup(lab.AllNodes) }},
		{name: "to all routers", message: func(g *given) { g.toGroup(lab.AllRouters) }},
		{name: "to all nodes of the interface", message: func(g *given) { g.toGroup(netip.MustParseAddr("ff01::1")) }},
		{name: "to the host's group", message: func(g *given) { g.toGroup(lab.SolicitedNode(g.v.address)) }},
		{name: "to the host's other group", message: func(g *given) { g.toGroup(netip.MustParseAddr("ff02::1:ff00:1")) }},
		{name: "to the host", message: func(g *given) { g.Destination, g.EthernetDestination = g.v.address, g.v.mac }},
		{name: "to the host's other address", message: func(g *given) {
			g.Destination, g.EthernetDestination = netip.MustParseAddr("2001:db8:1::1"), g.v.mac
		}},

		{name: "target of a group", kinds: withTarget, message: func(g *given) { g.setTarget("ff02::1") }},
		{name: "target ::", kinds: withTarget, message: func(g *given) { g.setTarget("::") }},
		{name: "target loopback", kinds: withTarget, message: func(g *given) { g.setTarget("::1") }},
		{name: "no link-layer address", kinds: "RS, RA, NS, NA, Redirect", message: func(g *given) { g.remove(g.link()) }},

		{name: "solicited to all nodes", kinds: "NA", message: func(g *given) { g.toGroup(lab.AllNodes); g.Body[0] |= solicitedFlag }},
		{name: "no flags", kinds: "NA", message: func(g *given) { g.Body[0] = 0 }},
		{name: "solicited alone", kinds: "NA", message: func(g *given) {
			g.Body[0], g.Destination, g.EthernetDestination = solicitedFlag, g.v.address, g.v.mac
		}},
		{name: "router flag", kinds: "NA", message: func(g *given) { g.Body[0] |= routerFlag }},
		{name: "solicited without link-layer address", kinds: "NA", message: func(g *given) {
			g.remove(targetLL)
			g.Body[0], g.Destination, g.EthernetDestination = solicitedFlag, g.v.address, g.v.mac
		}},
		{name: "from another address than the target", kinds: "NA", message: source("fe80::9")},
		{name: "from a link-local address for another", kinds: "NA that overrides", message: func(g *given) {
			g.v.neighbour(g.at("fe80::c:0"), net.HardwareAddr{2, 0, 0, 0, 0, 2}, netlink.NUD_STALE)
			g.setTarget(g.at("fe80::c:0").String())
			g.Source = netip.MustParseAddr("fe80::9")
		}},

		{name: "to the destination itself", kinds: "Redirect", message: func(g *given) { copy(g.Body[4:], g.destination().AsSlice()) }},
		{name: "to a global router", kinds: "Redirect", message: func(g *given) { g.setTarget("2001:db8:1::9") }},
		{name: "of a group", kinds: "Redirect", message: func(g *given) { copy(g.Body[20:], netip.MustParseAddr("ff02::9").AsSlice()) }},
		{name: "of a link-local address", kinds: "Redirect", message: func(g *given) { copy(g.Body[20:], netip.MustParseAddr("fe80::9").AsSlice()) }},
		{name: "not from the router", kinds: "Redirect", message: source("fe80::9")},
	}
}

// optionFaults are those of options that every message may have, or may not.
func optionFaults() []fault {
	noStation := func(mac ...byte) func(*given) {
		return func(g *given) { g.replace(g.link(), linkLayer(g.link(), mac)) }
	}
	own := func(change func(g *given, option byte)) func(*given) {
		return func(g *given) {
			option := g.link()
			if g.kind.name == "NS for DAD" {
				option = targetLL // it has no other
			}
			change(g, option)
		}
	}
	return []fault{
		{name: "option of length 0", message: adding([]byte{200, 0, 0, 0, 0, 0, 0, 0})},
		{name: "link-layer address of length 0", message: func(g *given) { g.add([]byte{g.link(), 0, 0, 0, 0, 0, 0, 0}) }},
		{name: "option past the end", message: adding([]byte{200, 2, 0, 0, 0, 0, 0, 0})},
		{name: "one byte behind the options", message: adding([]byte{200})},
		{name: "2 bytes behind the options", message: adding([]byte{200, 1})},
		{name: "4 zeros behind the options", message: adding([]byte{0, 0, 0, 0})},
		{name: "unknown option", message: adding(option(200, 3))},
		{name: "unknown option first", message: func(g *given) {
			g.Body = slices.Concat(g.Body[:g.kind.fixed], option(200, 1), g.Body[g.kind.fixed:])
		}},
		{name: "option 0", message: adding(option(0, 1))},
		{name: "option 255", message: adding(option(255, 1))},
		{name: "100 unknown options", message: adding(slices.Repeat(option(253, 1), 100))},
		{name: "nonce", message: adding(option(14, 1, 1, 2, 3, 4, 5, 6))},
		{name: "long nonce", message: adding(option(14, 4, 1, 2, 3, 4, 5, 6))},
		{name: "link-layer address of 16 bytes", message: own(func(g *given, kind byte) {
			g.replace(kind, option(kind, 2, g.mac()...))
		})},
		{name: "link-layer address of zeros", message: noStation(0, 0, 0, 0, 0, 0)},
		{name: "link-layer address of a group", message: noStation(0x33, 0x33, 0, 0, 0, 1)},
		{name: "broadcast link-layer address", message: noStation(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{name: "a second link-layer address", message: own(func(g *given, kind byte) {
			g.add(linkLayer(kind, net.HardwareAddr{2, 0, 0, 0, 0, 9}))
		})},
		{name: "a second link-layer address of 16 bytes", message: own(func(g *given, kind byte) { g.add(option(kind, 2)) })},
		{name: "the other link-layer address", message: func(g *given) {
			g.add(linkLayer(sourceLL+targetLL-g.link(), net.HardwareAddr{2, 0, 0, 0, 0, 9}))
		}},
		{name: "the other link-layer address, of 16 bytes", message: func(g *given) { g.add(option(sourceLL+targetLL-g.link(), 2)) }},
		{name: "prefix", kinds: "RS, NS, NA, Redirect", message: adding(lab.PrefixInformation(netip.MustParsePrefix("2001:db8:7::/64")))},
		{name: "prefix of 8 bytes", message: adding(option(prefixInfo, 1))},
		{name: "second MTU of 16 bytes", message: adding(option(mtuOption, 2))},
		{name: "route of 40 bytes", message: adding(option(routeInfo, 5))},
		{name: "DNS server of 8 bytes", message: adding(option(rdnss, 1))},
		{name: "DNS server of 16 bytes", message: adding(option(rdnss, 2))},
		{name: "DNS server of 32 bytes", message: adding(option(rdnss, 4))},
		{name: "search domain of 8 bytes", message: adding(option(dnssl, 1))},
		{name: "search domain of junk", message: adding(option(dnssl, 2, 0, 0, 0, 0, 7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))},
		{name: "NAT64 prefix of 8 bytes", message: adding(option(pref64, 1))},
		{name: "NAT64 prefix with a reserved length", message: adding(option(pref64, 2, 7, 7))},
		{name: "redirected header of 8 bytes", message: adding(option(redirected, 1))},
		{name: "redirected header", message: func(g *given) { g.add(g.redirectedHeader(g.v.address, g.at("2001:db8:4::"))) }},
		{name: "redirected header of another packet", message: func(g *given) { g.add(g.redirectedHeader(g.v.address, netip.MustParseAddr("2001:db8:8::8"))) }},
		{name: "registration", message: adding(option(33, 2))},
		{name: "captive portal", message: adding(option(37, 1))},
		{name: "signature of 8 bytes", message: adding(option(12, 1))},
	}
}

// redirectedHeader is the option with an echo request that was redirected.
func (g *given) redirectedHeader(from, to netip.Addr) []byte {
	echo := lab.Message{EthernetSource: g.v.mac, EthernetDestination: peerMAC, Source: from, Destination: to, HopLimit: 64, Type: 128, Body: make([]byte, 4)}.Frame()[inet6At:]
	return append(option(redirected, 1+len(echo)/8)[:8], echo...)
}

// advertisementFaults are those of a Router Advertisement.
func advertisementFaults() []fault {
	route := func(units int, bits byte) func(*given) {
		return func(g *given) { g.replace(routeInfo, routeOption(units, bits, g.route().Addr())) }
	}
	size := func(units int, n ...byte) func(*given) {
		return inPlaceOf(mtuOption, option(mtuOption, units, append([]byte{0, 0}, n...)...))
	}
	list := append(prefixFaults(), []fault{
		{name: "MTU of 16 bytes", message: size(2, 0, 0, 5, 0x7b)},
		{name: "MTU below 1280", message: size(1, 0, 0, 5, 0)},
		{name: "MTU over Ethernet's", message: size(1, 0, 0, 9, 0)},
		{name: "a second MTU", message: adding(option(mtuOption, 1, 0, 0, 0, 0, 5, 0x79))},
		{name: "route of 8 bytes for 64 bits before an option", message: func(g *given) {
			route(1, 64)(g)
			g.add(option(200, 2, 0x20, 1, 0xd, 0xb8, 0, 6))
		}},
		{name: "route of 16 bytes for 128 bits before an option", message: func(g *given) {
			route(2, 128)(g)
			g.add(option(0x55, 1, 1, 2, 3, 4, 5, 6))
		}},
		{name: "route of 24 bytes for 64 bits", message: route(3, 64)},
		{name: "route of 24 bytes for 128 bits", message: route(3, 128)},
		{name: "route of 32 bytes", message: route(4, 64)},
		{name: "route of 129 bits", message: route(3, 129)},
		{name: "route of 8 bytes to everything", message: inPlaceOf(routeInfo, routeOption(1, 0, netip.IPv6Unspecified()))},
		{name: "route of 24 bytes to everything", message: inPlaceOf(routeInfo, routeOption(3, 0, netip.IPv6Unspecified()))},
		{name: "route of reserved preference", message: func(g *given) {
			o := routeOption(2, 64, g.route().Addr())
			o[3] = 0x10
			g.replace(routeInfo, o)
		}},
		{name: "route to link-local addresses", message: inPlaceOf(routeInfo, routeOption(2, 64, netip.MustParseAddr("fe80::")))},
		{name: "route to groups", message: inPlaceOf(routeInfo, routeOption(2, 8, netip.MustParseAddr("ff00::")))},
		{name: "lifetime 0", message: func(g *given) { g.Body[2], g.Body[3] = 0, 0 }},
		{name: "lifetime 0 with a route to everything", message: func(g *given) {
			g.Body[2], g.Body[3] = 0, 0
			g.replace(routeInfo, routeOption(1, 0, netip.IPv6Unspecified()))
		}},
		{name: "lifetime 0 with a preference", message: func(g *given) { g.Body[1], g.Body[2], g.Body[3] = 0x08, 0, 0 }},
		{name: "reserved preference", message: func(g *given) { g.Body[1] = 0x10 }},
		{name: "all flags", message: func(g *given) { g.Body[1] = 0xff }},
		{name: "reachable time of more than an hour", message: func(g *given) { copy(g.Body[4:], []byte{0, 0x40, 0, 0}) }},
		{name: "hop limit 1", message: func(g *given) { g.Body[0] = 1 }},
		{name: "DNS server at a group", message: adding(option(rdnss, 3, 0, 0, 0, 0, 7, 8, 0xff, 2))},
		{name: "search domain with a line feed", message: adding(option(dnssl, 2, 0, 0, 0, 0, 7, 8, 3, 'a', '\n', 'b'))},
		{name: "captive portal with a space", message: adding(option(37, 1, 'a', ' ', 'b'))},
		{name: "no options", message: func(g *given) { g.Body = g.Body[:raFixed] }},
	}...)
	for i := range list {
		list[i].kinds = "RA"
	}
	return list
}

// prefixFaults are those of the prefix in a Router Advertisement.
func prefixFaults() []fault {
	prefix := func(change func(o []byte)) func(*given) {
		return func(g *given) {
			o := lab.PrefixInformation(g.prefix())
			change(o)
			g.replace(prefixInfo, o)
		}
	}
	long := func(units int) func(*given) {
		return func(g *given) {
			o := append(lab.PrefixInformation(g.prefix()), make([]byte, 16)...)[:8*units]
			o[1] = byte(units)
			g.replace(prefixInfo, o)
		}
	}
	return []fault{
		{name: "prefix of 24 bytes", message: long(3)},
		{name: "prefix of 40 bytes", message: long(5)},
		{name: "prefix length 129", message: prefix(func(o []byte) { o[2] = 129 })},
		{name: "prefix length 48", message: prefix(func(o []byte) { o[2] = 48 })},
		{name: "prefix length 0", message: prefix(func(o []byte) { o[2] = 0 })},
		{name: "bits behind the prefix", message: prefix(func(o []byte) { o[31] = 1 })},
		{name: "link-local prefix", message: prefix(func(o []byte) { copy(o[16:], []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 9}) })},
		{name: "prefix of groups", message: prefix(func(o []byte) { copy(o[16:], []byte{0xff, 2}) })},
		{name: "preferred for longer than valid", message: prefix(func(o []byte) { o[8] = 1 })},
		{name: "reserved bits of a prefix", message: prefix(func(o []byte) { o[3] |= 0x3f; o[12], o[15] = 0xff, 0xff })},
		{name: "prefix twice", message: func(g *given) { g.add(lab.PrefixInformation(g.prefix())) }},
	}
}
