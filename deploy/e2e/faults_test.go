//go:build linux

package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// kind is a type of message and one thing that it does to its receiver.
type kind struct {
	name string
	// router has a router receive it.
	router bool
	// fixed is how many bytes of the body stand before the options.
	fixed int
	// prepare has the host ready for the message, settle waits until it has its
	// effect.
	prepare, settle func(*given)
	// message makes it.
	message func(*given) lab.Message
}

// given is message number n to a victim.
type given struct {
	lab.Message
	v    *victim
	kind *kind
	n    uint16
}

// at returns address number n in a network.
func (g *given) at(network string) netip.Addr {
	a := netip.MustParseAddr(network).As16()
	binary.BigEndian.PutUint16(a[14:], g.n)
	return netip.AddrFrom16(a)
}

// mac returns the Ethernet address of sender number n.
func (g *given) mac() net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, 0xaa, byte(g.n >> 8), byte(g.n)}
}

// prefix and route are those of RA number n.
func (g *given) prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 2, byte(g.n >> 8), byte(g.n)}), 64)
}

func (g *given) route() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 3, byte(g.n >> 8), byte(g.n)}), 64)
}

// target is what NA number n is about, destination what a Redirect is. What the
// host tests with the target is the second address.
func (g *given) target() netip.Addr { return g.at("2001:db8:1::aaaa:0") }
func (g *given) second() netip.Addr { return g.at("2001:db8:1::bbbb:0") }

func (g *given) destination() netip.Addr {
	if g.kind.fixed != rdFixed {
		return netip.Addr{}
	}
	return g.at("2001:db8:4::")
}

// Options of the types that the kinds of messages have.
const (
	sourceLL   = 1
	targetLL   = 2
	prefixInfo = 3
	redirected = 4
	mtuOption  = 5
	routeInfo  = 24
	rdnss      = 25
	dnssl      = 31
	pref64     = 38
)

// The bytes of a body before the options.
const (
	rsFixed = 4
	raFixed = 12
	nsFixed = 20
	naFixed = 20
	rdFixed = 36
)

func linkLayer(option byte, mac net.HardwareAddr) []byte { return append([]byte{option, 1}, mac...) }

// routeOption is a Route Information option of so many times 8 bytes.
func routeOption(units int, bits byte, prefix netip.Addr) []byte {
	o := append([]byte{routeInfo, byte(units), bits, 0, 0, 0, 7, 8}, prefix.AsSlice()...)
	return slices.Concat(o, make([]byte, 16))[:8*units]
}

func kinds() []*kind {
	// tested has the host test two addresses, the first of which the message is
	// about: once it has given up the second, which is denied properly, it has
	// done what the message makes it do with the first.
	tested := func(g *given) {
		for _, addr := range []netip.Addr{g.target(), g.second()} {
			g.v.AddressWithDAD("eth0", addr.String()+"/64")
			g.v.await("the host tests "+addr.String(), func(icmp6 []byte) bool {
				return icmp6[0] == 135 && addressOf(net.IP(icmp6[8:24])) == addr
			})
		}
	}
	denied := func(g *given) {
		addr := g.second()
		g.v.deliver(lab.Advertisement(peerMAC, addr, addr).Frame())
		lab.Eventually(g.v.t, "the host gives up "+addr.String(), func() bool { return g.v.beliefs(netip.Addr{})[fmt.Sprintf(taken, addr)] })
	}
	return []*kind{
		{name: "RS", router: true, fixed: rsFixed, message: func(g *given) lab.Message {
			return lab.RouterSolicitation(g.mac(), g.at("fe80::a:0"))
		}},
		{name: "RA", fixed: raFixed, message: func(g *given) lab.Message {
			m := lab.RouterAdvertisement(g.mac(), g.at("fe80::a:0"), 1800)
			m.Body[0] = byte(100 + g.n%100)
			m.Body = slices.Concat(m.Body, linkLayer(sourceLL, g.mac()), lab.PrefixInformation(g.prefix()),
				routeOption(2, 64, g.route().Addr()), binary.BigEndian.AppendUint32([]byte{mtuOption, 1, 0, 0}, 1280+uint32(g.n)))
			return m
		}},
		{name: "NS", fixed: nsFixed, message: func(g *given) lab.Message {
			return lab.Solicitation(g.mac(), g.at("fe80::a:0"), g.v.address)
		}},
		{name: "NS for DAD", fixed: nsFixed, prepare: tested, settle: denied, message: func(g *given) lab.Message {
			return lab.Solicitation(g.mac(), netip.IPv6Unspecified(), g.target())
		}},
		{name: "NA that overrides", fixed: naFixed, prepare: func(g *given) {
			g.v.neighbour(g.target(), net.HardwareAddr{2, 0, 0, 0, 0, 2}, netlink.NUD_STALE)
		}, message: func(g *given) lab.Message {
			return lab.Advertisement(g.mac(), g.target(), g.target())
		}},
		{name: "NA that answers", fixed: naFixed, prepare: func(g *given) { g.v.Solicit(g.target()) }, message: func(g *given) lab.Message {
			m := lab.Advertisement(g.mac(), g.target(), g.target())
			m.EthernetDestination, m.Destination = g.v.mac, netip.MustParseAddr("2001:db8:1::1")
			m.Body[0] |= solicitedFlag
			return m
		}},
		{name: "NA against DAD", fixed: naFixed, prepare: tested, settle: denied, message: func(g *given) lab.Message {
			return lab.Advertisement(g.mac(), g.target(), g.target())
		}},
		{name: "Redirect", fixed: rdFixed, message: func(g *given) lab.Message {
			body := slices.Concat(make([]byte, 4), g.at("fe80::b:0").AsSlice(), g.destination().AsSlice(), linkLayer(targetLL, g.mac()))
			return lab.Message{EthernetSource: peerMAC, EthernetDestination: g.v.mac, Source: peerAddress, Destination: g.v.address,
				HopLimit: 255, Type: 137, Body: body}
		}},
	}
}

// Flags of an NA.
const (
	routerFlag    = 0x80
	solicitedFlag = 0x40
)

// fault is something that is wrong, or odd, with a message.
type fault struct {
	name string
	// kinds are the beginnings of the names of those that can have it, "" for all.
	kinds string
	// message changes the message, frames what is sent of it. Either may be nil.
	message func(*given)
	frames  func(frame []byte) [][]byte
}

func (f fault) of(k *kind) bool {
	return f.kinds == "" || slices.ContainsFunc(strings.Split(f.kinds, ", "), func(name string) bool { return strings.HasPrefix(k.name, name) })
}

// link returns the link-layer address option that the kind of message has.
func (g *given) link() byte {
	if g.Type == 136 || g.Type == 137 {
		return targetLL
	}
	return sourceLL
}

// add appends options.
func (g *given) add(options ...[]byte) {
	g.Body = append(slices.Clip(g.Body), slices.Concat(options...)...)
}

// remove removes the options of a type.
func (g *given) remove(option byte) {
	body := slices.Clone(g.Body[:g.kind.fixed])
	for rest := g.Body[g.kind.fixed:]; len(rest) > 0; rest = rest[8*int(rest[1]):] {
		if rest[0] != option {
			body = append(body, rest[:8*int(rest[1])]...)
		}
	}
	g.Body = body
}

// replace puts options in the place of those of a type.
func (g *given) replace(option byte, options ...[]byte) {
	g.remove(option)
	g.add(options...)
}

// adding and inPlaceOf return a change of a message: add and replace.
func adding(options ...[]byte) func(*given) { return func(g *given) { g.add(options...) } }

func inPlaceOf(option byte, options ...[]byte) func(*given) {
	return func(g *given) { g.replace(option, options...) }
}

// option makes one of a type, so many times 8 bytes long, that begins with some
// content and goes on with zeros.
func option(kind byte, units int, content ...byte) []byte {
	return append(append([]byte{kind, byte(units)}, content...), make([]byte, 8*units)...)[:8*units]
}

// Where things stand in a frame without tags and extension headers.
const (
	etherType  = 12
	inet6At    = 14
	payloadAt  = inet6At + 4
	nextAt     = inet6At + 6
	icmp6At    = inet6At + 40
	checksumAt = icmp6At + 2
)

// bytesAt returns a change of a frame: other bytes at a place.
func bytesAt(at int, bytes ...byte) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		copy(frame[at:], bytes)
		return [][]byte{frame}
	}
}

// header is an IPv6 extension header, or what might be taken for one: its number
// and what follows its first byte.
type header struct {
	number byte
	rest   []byte
}

// Extension headers of 8 bytes that ask for nothing.
var (
	hopByHop       = header{0, []byte{0, 1, 4, 0, 0, 0, 0}}
	destOpts       = header{60, []byte{0, 1, 4, 0, 0, 0, 0}}
	atomicFragment = header{44, []byte{0, 0, 0, 1, 2, 3, 4}}
)

func odd(number byte) header { return header{number, make([]byte, 7)} }

// behind returns a change of a frame that puts headers before its message.
func behind(chain ...header) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		next := frame[nextAt]
		var headers []byte
		for _, h := range slices.Backward(chain) {
			headers = slices.Concat([]byte{next}, h.rest, headers)
			next = h.number
		}
		frame = slices.Concat(frame[:icmp6At], headers, frame[icmp6At:])
		frame[nextAt] = next
		return [][]byte{sized(frame)}
	}
}

// sized sets the payload length to what there is.
func sized(frame []byte) []byte {
	binary.BigEndian.PutUint16(frame[payloadAt:], uint16(len(frame)-icmp6At))
	return frame
}

// inFragments splits a frame's message behind so many bytes, of which the second
// fragment repeats some.
func inFragments(next byte, first, overlap int) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		part := func(offset int, more byte, content []byte) []byte {
			f := slices.Concat(frame[:icmp6At], []byte{next, 0, byte(offset >> 8), byte(offset) | more, 1, 2, 3, 4}, content)
			f[nextAt] = 44
			return sized(f)
		}
		message := frame[icmp6At:]
		return [][]byte{part(0, 1, message[:first]), part(first-overlap, 0, message[first-overlap:])}
	}
}

// tagged returns a change of a frame that puts bytes between its Ethernet
// addresses and its EtherType.
func tagged(tags ...byte) func([]byte) [][]byte {
	return func(frame []byte) [][]byte {
		return [][]byte{slices.Concat(frame[:etherType], tags, frame[etherType:])}
	}
}

func repeated(n int, tag ...byte) []byte { return slices.Repeat(tag, n) }

func trailing(bytes ...byte) func([]byte) [][]byte {
	return func(frame []byte) [][]byte { return [][]byte{append(frame, bytes...)} }
}

func source(address string) func(*given) {
	return func(g *given) { g.Source = netip.MustParseAddr(address) }
}

// toGroup sends a message to a group and its Ethernet address.
func (g *given) toGroup(group netip.Addr) {
	g.Destination, g.EthernetDestination = group, lab.MulticastMAC(group)
}

func (g *given) setTarget(address string) {
	copy(g.Body[4:], netip.MustParseAddr(address).AsSlice())
}

const (
	solicitations = "NS"
	withTarget    = "NS, NA, Redirect"
)

// faults returns the faults of which each is tried in every kind of message that
// can have it.
func faults() []fault {
	var list []fault
	for _, some := range [][]fault{generalFaults(), ethernetFaults(), headerFaults(), addressFaults(), optionFaults(), advertisementFaults()} {
		list = append(list, some...)
	}
	return list
}

// generalFaults are those of the ICMPv6 message.
func generalFaults() []fault {
	return []fault{
		{name: "none"},
		{name: "checksum", frames: bytesAt(checksumAt, 0x12, 0x34)},
		{name: "code", message: func(g *given) { g.Code = 1 }},
		{name: "hop limit 254", message: func(g *given) { g.HopLimit = 254 }},
		{name: "cut short", message: func(g *given) { g.Body = g.Body[:g.kind.fixed-1] }},
		{name: "type and code alone", message: func(g *given) { g.Body = nil }},
		{name: "payload longer than the frame", frames: func(f []byte) [][]byte {
			f[payloadAt+1]++
			return [][]byte{f}
		}},
		{name: "bytes behind the payload", frames: trailing(0, 0, 0, 0, 0, 0)},
		{name: "option behind the payload", frames: trailing(linkLayer(sourceLL, net.HardwareAddr{2, 0, 0, 0, 0, 9})...)},
		{name: "version 4", frames: bytesAt(inet6At, 0x40)},
		{name: "traffic class and flow label", frames: bytesAt(inet6At, 0x6f, 0xff, 0xff, 0xff)},
		{name: "reserved bits", kinds: "RS, NS, NA, Redirect", message: func(g *given) {
			g.Body[0] |= 0x1f
			g.Body[1], g.Body[2], g.Body[3] = 0xff, 0xff, 0xff
		}},
	}
}

// ethernetFaults are those of the frame around the packet.
func ethernetFaults() []fault {
	from := func(mac ...byte) func(*given) { return func(g *given) { g.EthernetSource = mac } }
	to := func(mac ...byte) func(*given) { return func(g *given) { g.EthernetDestination = mac } }
	snap := func(frame []byte) [][]byte {
		size := len(frame) - inet6At + 8
		return [][]byte{slices.Concat(frame[:etherType], []byte{byte(size >> 8), byte(size), 0xaa, 0xaa, 3, 0, 0, 0}, frame[etherType:])}
	}
	return []fault{
		{name: "from a group's Ethernet address", message: from(0x33, 0x33, 0, 0, 0, 1)},
		{name: "from the broadcast Ethernet address", message: from(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{name: "from the Ethernet address of zeros", message: from(0, 0, 0, 0, 0, 0)},
		{name: "from another Ethernet address than the option's", message: from(2, 0, 0, 0, 0, 9)},
		{name: "to the broadcast Ethernet address", message: to(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{name: "to the Ethernet address of another group", message: to(0x33, 0x33, 0, 0, 0, 9)},
		{name: "to the host's Ethernet address", message: func(g *given) { g.EthernetDestination = g.v.mac }},
		{name: "LLC and SNAP", frames: snap},
		{name: "a priority tag", frames: tagged(0x81, 0, 0, 0)},
		{name: "a service priority tag", frames: tagged(0x88, 0xa8, 0, 0)},
		{name: "2 priority tags", frames: tagged(repeated(2, 0x81, 0, 0xe0, 0)...)},
		{name: "3 priority tags", frames: tagged(repeated(3, 0x81, 0, 0, 0)...)},
		{name: "4 priority tags", frames: tagged(repeated(4, 0x81, 0, 0, 0)...)},
		{name: "9 priority tags", frames: tagged(repeated(9, 0x88, 0xa8, 0, 0)...)},
		{name: "a tag of a VLAN", frames: tagged(0x81, 0, 0, 5)},
		{name: "a priority tag and one of a VLAN", frames: tagged(0x81, 0, 0, 0, 0x81, 0, 0, 5)},
		{name: "tag of EtherType 9100", frames: tagged(0x91, 0, 0, 0)},
	}
}

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
	route := func(units int, bits byte) func(*given) {
		return func(g *given) { g.replace(routeInfo, routeOption(units, bits, g.route().Addr())) }
	}
	size := func(units int, n ...byte) func(*given) {
		return inPlaceOf(mtuOption, option(mtuOption, units, append([]byte{0, 0}, n...)...))
	}
	list := []fault{
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
	}
	for i := range list {
		list[i].kinds = "RA"
	}
	return list
}

// difference says why a Linux host does otherwise than an event says.
type difference struct {
	kinds string // of messages, "" for all that have the fault
	why   string
}

func (d difference) of(kind string) bool {
	return d.kinds == "" || slices.Contains(strings.Split(d.kinds, ", "), kind)
}

// untaken are the faults for which a Linux host takes nothing of a message that
// an event does not call discarded.
func untaken() map[string]difference {
	const (
		noUse     = "the message is good, and says nothing that a host has a use for"
		elsewhere = "hosts in that VLAN take it"
		member    = "the host is not in that group"
		others    = "RFC 8200 has hosts take it; Linux does for the routing headers that it knows"
	)
	return map[string]difference{
		"LLC and SNAP":                            {"", "other hosts take it (CVE-2021-27854), as do those behind an access point"},
		"a tag of a VLAN":                         {"", elsewhere},
		"a priority tag and one of a VLAN":        {"", elsewhere},
		"destination options with one to discard": {"", "the contents of extension headers are not decoded"},
		"hop-by-hop options twice":                {"", "RFC 8200, section 4, only says that a host should discard it"},
		"hop-by-hop options behind others":        {"", "RFC 8200, section 4, only says that a host should discard it"},
		"payload length 0 before a jumbogram":     {"", "the contents of extension headers are not decoded: it is too short for a jumbogram (RFC 2675)"},
		"routing header with segments left":       {"", "it has not come to its destination"},
		"routing header without segments left":    {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"routing header twice":                    {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"routing header of mobility":              {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"empty routing header":                    {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"unknown routing header":                  {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"segment routing header":                  {"RS, RA, NS, NS for DAD, NA that overrides, NA against DAD", others + ", to one host"},
		"fragments that overlap":                  {"", "RFC 5722; the later one is not seen to overlap"},

		"from :: without link-layer address":   {"RS, NS", noUse + ": a router answers an RS, the host an NS for its own address"},
		"no link-layer address":                {"RS, NS, NA that overrides, NA that answers", noUse},
		"no flags":                             {"NA that overrides", "RFC 4861, section 7.2.5: it must not override"},
		"solicited alone":                      {"NA that overrides", "RFC 4861, section 7.2.5: it must not override"},
		"solicited without link-layer address": {"NA that answers", "RFC 4861, section 7.2.5: the host still looks for the link-layer address"},
		"target ::":                            {"NS, NS for DAD, NA that overrides, NA that answers, NA against DAD", noUse},
		"target loopback":                      {"NS, NS for DAD, NA that overrides, NA that answers, NA against DAD", noUse},
		"from a global address on the link":    {"NS for DAD", "RFC 4862, section 5.4.3: the host ignores a question for an address that it is testing"},
		"from an EUI-64 of another":            {"NS for DAD", "RFC 4862, section 5.4.3: the host ignores a question for an address that it is testing"},
		"from an EUI-64 as tools make it":      {"NS for DAD", "RFC 4862, section 5.4.3: the host ignores a question for an address that it is testing"},
		"from an IPv4-mapped address":          {"NS for DAD", "RFC 4862, section 5.4.3: the host ignores a question for an address that it is testing"},
		"from the host itself":                 {"NS for DAD, Redirect", "not the host's router, or the host's own question"},
		"not from the router":                  {"Redirect", "RFC 4861, section 8.1: only the frames before tell who the router is"},
		"to all routers":                       {"RA, NS, NA that overrides, NA against DAD, Redirect", member},
		"to all nodes of the interface":        {"RS, RA, NS, NA that overrides, NA against DAD, Redirect", "RFC 4291, section 2.7.1: it does not leave a host; RFC 4861 has no such condition"},

		"link-layer address of 16 bytes": {"RS, NS, NA that overrides, NA that answers, NA against DAD, Redirect", "Linux discards the message; RFC 4861 has no such condition"},
		"redirected header of 8 bytes":   {"Redirect", "Linux discards the message; RFC 4861 has no such condition"},
	}
}

// unseen are the faults for which a host takes what the events do not say.
func unseen() map[string]string {
	return map[string]string{
		"fragments": "the frames are not put together: only that there are fragments is told",
		"segment routing header before another IPv6 header": "only a host that ends segment routing (seg6_enabled) looks behind it, and then all traffic comes so",
	}
}
