// Package wire sends floods of Neighbor Solicitations on an interface and notes
// when the kernel sends one: what a benchmark does at full speed. It knows nothing
// of ndmon.
package wire

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Frame is an Ethernet frame with a Neighbor Solicitation that has a source
// link-layer address option (RFC 4861, section 4.3).
type Frame [Len]byte

// Where the parts of a Frame begin, and its length.
const (
	ip6At    = 14
	icmp6At  = ip6At + 40
	targetAt = icmp6At + 8
	optionAt = targetAt + 16
	Len      = optionAt + 8
)

// NewFrame returns a frame for Set to change.
func NewFrame() (f Frame) {
	source := netip.MustParseAddr("2001:db8:5::ff")
	copy(f[:], lab.Solicitation(net.HardwareAddr{2, 0, 0, 0, 0, 0xff}, source, source).Frame())
	return f
}

// Set makes it the frame whose target has a number in a prefix of 96 bits. It
// changes bytes and the checksum itself: a flood has less than a microsecond for a
// frame, and serializing it takes about as long.
func (f *Frame) Set(targets netip.Prefix, number uint32) {
	target := Numbered(targets, number).As16()
	// The solicited-node address, and its Ethernet address, end like the target
	// (RFC 4291, section 2.7.1).
	copy(f[3:6], target[13:])
	copy(f[icmp6At-3:], target[13:])
	copy(f[targetAt:], target[:])
	// The addresses of the pseudo header precede the message. Its length and next
	// header are added (RFC 8200, section 8.1).
	f[icmp6At+2], f[icmp6At+3] = 0, 0
	sum := uint32(Len-icmp6At) + 58
	for at := ip6At + 8; at < Len; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[at:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[icmp6At+2:], ^uint16(sum))
}

// Numbered returns the address of a number in a prefix of 96 bits.
func Numbered(p netip.Prefix, number uint32) netip.Addr {
	b := p.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], number)
	return netip.AddrFrom16(b)
}

// Number returns the number of an address that Numbered has returned for the
// prefix.
func Number(p netip.Prefix, a netip.Addr) (number uint32, ok bool) {
	if !p.Contains(a) {
		return 0, false
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[12:]), true
}
