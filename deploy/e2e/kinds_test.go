package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// kind is a type of message and one thing that it does to its receiver.
type kind struct {
	name string
	// router has a router receive it.
	router bool
	// fixed is the number of bytes of the body before the options.
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

// toGroup sends a message to a group and its Ethernet address.
func (g *given) toGroup(group netip.Addr) {
	g.Destination, g.EthernetDestination = group, lab.MulticastMAC(group)
}

func (g *given) setTarget(address string) {
	copy(g.Body[4:], netip.MustParseAddr(address).AsSlice())
}
