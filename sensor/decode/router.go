package decode

import (
	"bytes"
	"encoding/binary"

	"github.com/ndmon/ndmon/schemas"
)

// This file decodes what routers tell hosts; see dns.go for names.

func (d *Decoder) prefixInfo(lists *schemas.Options, o []byte) (fault string) {
	if o[2] > 128 {
		return "prefix length is over 128"
	}
	info := add(d, &lists.PrefixInfo, schemas.PrefixInfo{
		Prefix:            address(o[16:32]),
		PrefixLength:      o[2],
		Flag:              d.table.flags.PrefixInfo.Decode(o[3]),
		ValidLifetime:     binary.BigEndian.Uint32(o[4:]),
		PreferredLifetime: binary.BigEndian.Uint32(o[8:]),
	})
	d.checkPrefix(info, number(o[16:32]))
	return ""
}

// routeInfo decodes a Route Information option. Where it is too short for its
// prefix, the bits that it lacks are those that follow it in the message: Linux
// (6.18) reads them there, and takes such a route. What it reads behind the
// message cannot be known, so that is zero here.
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
		bits = number(bits[:]).masked(o[2]).bytes()
	}
	route := add(d, &lists.RouteInfo, schemas.RouteInfo{
		Prefix:       address(bits[:]),
		PrefixLength: o[2],
		Preference:   schemas.DecodePreference(o[3]),
		Reserved:     o[3] &^ schemas.PreferenceMask,
		Lifetime:     binary.BigEndian.Uint32(o[4:]),
	})
	d.checkRoute(route, number(bits[:]))
	return fault
}

// pref64Length returns the prefix length in bits that a prefix length code stands
// for (RFC 8781, section 4); the codes 6 and 7 are reserved.
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
	add(d, &lists.PREF64, schemas.PREF64{
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
		text = appendPrintable(text, c)
	}
	d.memory.text = text
	add(d, &lists.CaptivePortal, schemas.CaptivePortal{URI: string(text)})
	return ""
}

// inURI reports whether a byte may stand in a URI (RFC 3986, section 2).
func inURI(c byte) bool {
	return '!' <= c && c <= '~' && bytes.IndexByte([]byte("\"<>\\^`{|}"), c) < 0
}

// pvd decodes a PvD option, with the options in it.
func (d *Decoder) pvd(m []byte, at, size int) (fault string) {
	o := m[at : at+size]
	id, length, fault := d.domain(o[6:])
	if length == 0 {
		return fault
	}
	pvd := add(d, &d.options.PvD, schemas.PvD{
		ID:       id,
		Flag:     d.table.flags.PvD.Decode(o[2]),
		Delay:    o[3] & 0x0f,
		Sequence: binary.BigEndian.Uint16(o[4:]),
	})
	if id == "" {
		fault = "holds no name"
	}
	header := (6 + length + 7) &^ 7 // behind the padding
	if pvd.Flag.RA {
		if len(o)-header < raSize {
			return "RA header runs past the end"
		}
		ra := d.decodeRA(o[header:])
		pvd.RA = &ra
		header += raSize
	}
	d.malformed.pvd = at
	used := len(d.used)
	d.walkOptions(&d.inner, m[:at+size], at+header, true)
	d.malformed.pvd = 0
	if len(d.used) > used {
		in := &d.inner
		pvd.Opt = &schemas.PvDOptions{
			PrefixInfo: in.PrefixInfo, MTU: in.MTU, RouteInfo: in.RouteInfo, RDNSS: in.RDNSS, DNSSL: in.DNSSL,
			PREF64: in.PREF64, CaptivePortal: in.CaptivePortal, EncryptedDNS: in.EncryptedDNS, Unknown: in.Unknown,
		}
		d.inner = schemas.Options{} // the lists have changed hands
	}
	return fault
}
