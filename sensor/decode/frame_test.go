package decode_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// Hand-made frames: each function returns the bytes of one layer, for the next outer one.

var (
	macSource      = []byte{2, 0, 0, 0, 0, 1}
	macDestination = []byte{0x33, 0x33, 0xff, 0, 0, 0x42}
	source         = addr("fe80::1")
	destination    = addr("ff02::1:ff00:42")
	target         = addr("2001:db8::42")
)

func addr(s string) []byte {
	a := netip.MustParseAddr(s).As16()
	return a[:]
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// ether is an untagged IPv6 frame.
func ether(packet []byte) []byte {
	return cat(macDestination, macSource, be16(0x86dd), packet)
}

// tagged is a frame with VLAN tags, the outer one first.
func tagged(packet []byte, tags ...[]byte) []byte {
	return cat(macDestination, macSource, cat(tags...), be16(0x86dd), packet)
}

func tag(etherType, control uint16) []byte { return cat(be16(etherType), be16(control)) }

// snap are LLC and SNAP headers (RFC 1042) after a length and before an EtherType.
func snap(length, etherType uint16) []byte {
	return cat(be16(length), []byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(etherType))
}

// behind puts headers, the last of which ends with an EtherType, after the addresses of an
// untagged IPv6 frame.
func behind(frame []byte, headers ...[]byte) []byte {
	return cat(frame[:12], cat(headers...), frame[14:])
}

// ip6 is an IPv6 packet with the payload length that it has.
func ip6(next uint8, payload ...[]byte) []byte {
	return ip6Length(len(cat(payload...)), next, payload...)
}

// ip6Length is an IPv6 packet that says that its payload is length bytes long.
func ip6Length(length int, next uint8, payload ...[]byte) []byte {
	return cat([]byte{0x60, 0, 0, 0}, be16(uint16(length)), []byte{next, 255}, source, destination, cat(payload...))
}

// ext is an extension header of 8*(1+units) bytes.
func ext(next, units uint8) []byte {
	return append([]byte{next, units}, make([]byte, 6+8*int(units))...)
}

// frag is a fragment header; offset is in bytes.
func frag(next uint8, offset uint16, more bool) []byte {
	if more {
		offset |= 1
	}
	return cat([]byte{next, 0}, be16(offset), be32(0x01020304))
}

// icmp is an ICMPv6 message with a good checksum.
func icmp(typ, code uint8, body ...[]byte) []byte {
	return summed(source, destination, cat([]byte{typ, code, 0, 0}, cat(body...)))
}

// summed puts the checksum into a message, computed the plain way.
func summed(source, destination, m []byte) []byte {
	m[2], m[3] = 0, 0
	sum := 0
	covered := cat(source, destination, be32(uint32(len(m))), be32(58), m)
	if len(covered)%2 == 1 {
		covered = append(covered, 0)
	}
	for i := 0; i < len(covered); i += 2 {
		sum += int(covered[i])<<8 | int(covered[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}

func rs(options ...[]byte) []byte { return icmp(133, 0, make([]byte, 4), cat(options...)) }

// ra has all its flags clear.
func ra(options ...[]byte) []byte { return raFlags(0, options...) }

func raFlags(flags uint8, options ...[]byte) []byte {
	return icmp(134, 0, []byte{64, flags}, be16(1800), be32(30000), be32(1000), cat(options...))
}

func ns(options ...[]byte) []byte { return icmp(135, 0, make([]byte, 4), target, cat(options...)) }

func na(flags uint8, options ...[]byte) []byte {
	return icmp(136, 0, []byte{flags, 0, 0, 0}, target, cat(options...))
}

func rd(options ...[]byte) []byte {
	return icmp(137, 0, make([]byte, 4), source, target, cat(options...))
}

// option is an option whose length is that of its parts, which must fill units
// of 8 bytes with the two bytes before them.
func option(typ uint8, parts ...[]byte) []byte {
	body := cat(parts...)
	if (len(body)+2)%8 != 0 {
		panic("option does not fill its units")
	}
	return cat([]byte{typ, byte((len(body) + 2) / 8)}, body)
}

func slla() []byte { return option(1, macSource) }

// send is a frame with a message from macSource, to where the IPv6 destination
// leads, with the checksum for its addresses.
func send(from, to string, message []byte) []byte {
	mac := []byte{2, 0, 0, 0, 0, 0x42}
	if to := addr(to); to[0] == 0xff {
		mac = cat([]byte{0x33, 0x33}, to[12:])
	}
	return sendTo(mac, from, to, message)
}

// sendTo is send to any Ethernet address.
func sendTo(mac []byte, from, to string, message []byte) []byte {
	return cat(mac, macSource, be16(0x86dd), packet(from, to, 58, summed(addr(from), addr(to), bytes.Clone(message))))
}

// packet is ip6 with other addresses.
func packet(from, to string, next uint8, payload ...[]byte) []byte {
	p := ip6(next, payload...)
	copy(p[8:], addr(from))
	copy(p[24:], addr(to))
	return p
}

// edit returns a copy of a frame in which bytes from an offset on are others.
func edit(frame []byte, at int, b ...byte) []byte {
	frame = bytes.Clone(frame)
	copy(frame[at:], b)
	return frame
}

const (
	versionAt    = 14 // offset in an untagged frame
	hopLimitAt   = 14 + 7
	checksumAt   = 14 + 40 + 2 // without extension headers
	router       = "fe80::1"
	host         = "2001:db8::7"
	allNodes     = "ff02::1"
	allRouters   = "ff02::2"
	solicitedFor = "ff02::1:ff00:42" // target
	targetText   = "2001:db8::42"
)

func targeted(typ uint8, flags byte, target string, options ...[]byte) []byte {
	return cat([]byte{typ, 0, 0, 0, flags, 0, 0, 0}, addr(target), cat(options...))
}

func nsFor(target string, options ...[]byte) []byte { return targeted(135, 0, target, options...) }

func naFor(target string, flags byte, options ...[]byte) []byte {
	return targeted(136, flags, target, options...)
}

func rdFor(target, destination string, options ...[]byte) []byte {
	return cat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, addr(target), addr(destination), cat(options...))
}

func tlla() []byte { return option(2, macSource) }

// raOf is an RA with a lifetime in seconds and a reachable time in milliseconds.
func raOf(flags byte, lifetime uint16, reachable uint32, options ...[]byte) []byte {
	return cat([]byte{134, 0, 0, 0, 64, flags}, be16(lifetime), be32(reachable), be32(0), cat(options...))
}

func prefixOf(bits, flags byte, valid, preferred uint32, prefix string) []byte {
	return option(3, []byte{bits, flags}, be32(valid), be32(preferred), make([]byte, 4), addr(prefix))
}

func routeOf(bits, flags byte, prefix string) []byte {
	return option(24, []byte{bits, flags}, be32(1800), addr(prefix))
}

func mtu(bytes uint32) []byte { return option(5, make([]byte, 2), be32(bytes)) }

func server(address string) []byte { return option(25, make([]byte, 2), be32(900), addr(address)) }

// redirected is a Redirected Header option with a packet of UDP.
func redirected(from, to string) []byte {
	return option(4, make([]byte, 6), packet(from, to, 17, make([]byte, 8)))
}

// some is an option of a type, of 8 bytes.
func some(typ byte) []byte { return option(typ, []byte{0, 0, 1, 2, 3, 4}) }
