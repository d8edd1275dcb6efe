// Package addr has IPv6 addresses as numbers, which the checks of package decode compare.
package addr

import (
	"encoding/binary"

	"github.com/ndmon/ndmon/schemas"
)

// The lower halves of the link-local groups of Neighbor Discovery (RFC 4291, section 2.7.1).
const (
	AllNodes      = 1
	AllRouters    = 2
	SolicitedNode = 0x1_ff00_0000 // plus the last 24 bits of the target
)

// IP is an IPv6 address as a number. Its methods are faster than those of netip.Addr, which
// also treat an IPv4-mapped address as the IPv4 address in it. No receiver does that.
type IP struct{ High, Low uint64 }

// Of reads an IPv6 address of 16 bytes.
func Of(b []byte) IP { return IP{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])} }

// IsUnspecified reports whether the address is ::.
func (a IP) IsUnspecified() bool { return a == IP{} }

// IsLoopback reports whether the address is ::1.
func (a IP) IsLoopback() bool { return a == IP{0, 1} }

// IsMulticast reports whether the address is in ff00::/8.
func (a IP) IsMulticast() bool { return a.High>>56 == 0xff }

// IsLinkLocal reports whether the address is in fe80::/10.
func (a IP) IsLinkLocal() bool { return a.High>>54 == 0xfe80>>6 }

// IsEUI64 reports whether the interface identifier looks like one of EUI64.
func (a IP) IsEUI64() bool { return a.Low>>24&0xffff == 0xfffe && !a.IsMulticast() }

// IsNoHost reports whether no host can have the address on a link.
func (a IP) IsNoHost() bool { return a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() }

// IsGroup reports whether the address is the link-local group with a lower half.
func (a IP) IsGroup(low uint64) bool { return a == IP{0xff02 << 48, low} }

// IsSolicitedNode reports whether the address is the solicited-node group of any target.
func (a IP) IsSolicitedNode() bool { return a.IsGroup(SolicitedNode | a.Low&0xff_ffff) }

// GroupOfND returns the name of a group of ND messages, or empty for any other address.
func (a IP) GroupOfND() string {
	switch {
	case a.IsGroup(AllNodes):
		return "all nodes"
	case a.IsGroup(AllRouters):
		return "all routers"
	case a.IsSolicitedNode():
		return "a solicited-node group"
	}
	return ""
}

// Bytes is the inverse of Of.
func (a IP) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], a.High)
	binary.BigEndian.PutUint64(b[8:], a.Low)
	return b
}

// Masked returns the prefix with a length: the address without the bits after it.
func (a IP) Masked(bits uint8) IP {
	if bits <= 64 {
		return IP{a.High >> (64 - bits) << (64 - bits), 0}
	}
	return IP{a.High, a.Low >> (128 - bits) << (128 - bits)}
}

// EUI64 returns the modified EUI-64 interface identifier of an Ethernet address (RFC 4291,
// appendix A).
func EUI64(m schemas.MAC) uint64 {
	n := m.Uint64() ^ 0x0200_0000_0000 // the U/L bit
	return n>>24<<40 | 0xfffe<<24 | n&0xff_ffff
}
