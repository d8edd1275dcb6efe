package e2e

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
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

// Offsets in a frame without tags and extension headers.
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

// header is an IPv6 extension header, or looks like one: its number
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

// difference is the reason why a Linux host and an event differ.
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

// unseen are the faults with which a host learns what events do not contain.
func unseen() map[string]string {
	return map[string]string{
		"fragments": "the frames are not put together: only that there are fragments is told",
		"segment routing header before another IPv6 header": "only a host that ends segment routing (seg6_enabled) looks behind it, and then all traffic comes so",
	}
}
