package decode

import (
	"bytes"
	"encoding/binary"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
	"github.com/ndmon/ndmon/sensor/decode/internal/dns"
)

// This file decodes what RAs contain, except names; for those see dns.go.

// decodeRA decodes the fixed part of an RA (RFC 4861, section 4.2; flags: RFC 5175).
func (d *Decoder) decodeRA(m []byte) schemas.RA {
	return schemas.RA{
		CurHopLimit:    m[4],
		Flag:           d.table.flags.RA.Decode(m[5]),
		Preference:     schemas.DecodePreference(m[5]),
		Lifetime:       binary.BigEndian.Uint16(m[6:]),
		ReachableTimer: binary.BigEndian.Uint32(m[8:]),
		RetransTimer:   binary.BigEndian.Uint32(m[12:]),
	}
}

func (d *Decoder) prefixInfo(lists *schemas.Options, o []byte) (fault string) {
	if o[2] > 128 {
		return "prefix length is over 128"
	}
	info := addTo(d, &lists.PrefixInfo, schemas.PrefixInfo{
		Prefix:            address(o[16:32]),
		PrefixLength:      o[2],
		Flag:              d.table.flags.PrefixInfo.Decode(o[3]),
		ValidLifetime:     binary.BigEndian.Uint32(o[4:]),
		PreferredLifetime: binary.BigEndian.Uint32(o[8:]),
	})
	d.checkPrefix(info, addr.Of(o[16:32]))
	return ""
}

// routeInfo decodes a Route Information option. If it is too short for its prefix, the missing
// bits are read from what follows it in the message, as Linux (6.18) does, which installs
// such a route. After the end of the message they are zero, because what Linux reads there is
// unknown.
func (d *Decoder) routeInfo(lists *schemas.Options, m []byte, at, size int) (fault string) {
	o := m[at : at+size]
	if o[2] > 128 {
		return "prefix length is over 128"
	}
	var bits [16]byte
	copy(bits[:], o[8:])
	if o[2] > 64 && size < 24 || o[2] > 0 && size < 16 {
		fault = "too short for its prefix length"
		copy(bits[:], m[at+8:])
		bits = addr.Of(bits[:]).Masked(o[2]).Bytes()
	}
	route := addTo(d, &lists.RouteInfo, schemas.RouteInfo{
		Prefix:       address(bits[:]),
		PrefixLength: o[2],
		Preference:   schemas.DecodePreference(o[3]),
		Reserved:     o[3] &^ schemas.PreferenceMask,
		Lifetime:     binary.BigEndian.Uint32(o[4:]),
	})
	d.checkRoute(route, addr.Of(bits[:]))
	return fault
}

// pref64Length returns the prefix length in bits of a prefix length code (RFC 8781, section
// 4); the codes 6 and 7 are reserved.
func pref64Length(code uint8) (bits uint8, ok bool) {
	switch code {
	case 0:
		return 96, true
	case 1:
		return 64, true
	case 2:
		return 56, true
	case 3:
		return 48, true
	case 4:
		return 40, true
	case 5:
		return 32, true
	}
	return 0, false
}

func (d *Decoder) pref64(lists *schemas.Options, o []byte) (fault string) {
	bits, ok := pref64Length(o[3] & 7)
	if !ok {
		return "prefix length code is reserved"
	}
	var prefix [16]byte
	copy(prefix[:12], o[4:])
	addTo(d, &lists.PREF64, schemas.PREF64{
		Prefix:       address(prefix[:]),
		PrefixLength: bits,
		Lifetime:     binary.BigEndian.Uint16(o[2:]) &^ 7, // sent in units of 8 s
	})
	return ""
}

func (d *Decoder) captivePortal(lists *schemas.Options, o []byte) (fault string) {
	uri := bytes.TrimRight(o[2:], "\x00") // the padding
	if len(uri) == 0 {
		return "holds no URI"
	}
	text := d.memory.text[:0]
	for _, c := range uri {
		d.foundInRA(&d.fault.URI, !inURI(c))
		text = dns.AppendPrintable(text, c)
	}
	d.memory.text = text
	addTo(d, &lists.CaptivePortal, schemas.CaptivePortal{URI: string(text)})
	return ""
}

// inURI reports whether a URI can contain a byte (RFC 3986, section 2).
func inURI(c byte) bool {
	return '!' <= c && c <= '~' && bytes.IndexByte([]byte("\"<>\\^`{|}"), c) < 0
}
