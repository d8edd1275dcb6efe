package decode

import (
	"encoding/binary"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
)

// ICMPv6 types (RFC 4861, section 4, and RFC 4443, section 4).
const (
	echoRequest           = 128
	echoReply             = 129
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	redirect              = 137
)

const (
	icmp6Size = 4  // type, code and checksum
	raSize    = 16 // of an RA before its options
)

// isND reports whether an ICMPv6 type is a Neighbor Discovery message.
func isND(icmp6Type uint8) bool {
	return routerSolicitation <= icmp6Type && icmp6Type <= redirect
}

// message decodes an ICMPv6 message of a Neighbor Discovery type, of which at
// least a byte is there. Unless it is whole, more of it is elsewhere.
func (d *Decoder) message(m []byte, whole bool) {
	d.icmp6 = schemas.ICMP6{Type: m[0]}
	d.event.ICMP6 = &d.icmp6
	if len(m) > 1 {
		d.icmp6.Code = m[1]
	}
	if d.icmp6.Code != 0 {
		d.refused(&d.fault.Code, true)
		d.malformed.add("ICMPv6 code is %d, not 0", d.icmp6.Code)
	}
	name, size := fixedPart(d.icmp6.Type)
	if len(m) < size {
		// The rest may be in another fragment, from where some hosts take it in spite
		// of RFC 6980.
		d.found(&d.fault.Length, !d.checked.snapped)
		d.found(&d.fault.Discarded, whole)
		d.malformed.add("%s is cut short: %d of its first %d bytes are there", name, len(m), size)
		return
	}
	switch d.icmp6.Type {
	case routerSolicitation:
		d.nd.RS = &d.rs
	case routerAdvertisement:
		d.ra = d.decodeRA(m)
		d.nd.RA = &d.ra
	case neighborSolicitation:
		d.checked.target = number(m[8:24])
		d.ns.TargetAddress = address(m[8:24])
		d.nd.NS = &d.ns
	case neighborAdvertisement:
		d.na.Flag = d.table.flags.NA.Decode(m[4])
		d.checked.target = number(m[8:24])
		d.na.TargetAddress = address(m[8:24])
		d.nd.NA = &d.na
	case redirect:
		d.checked.target, d.checked.destination = number(m[8:24]), number(m[24:40])
		d.rd.TargetAddress = address(m[8:24])
		d.rd.DestinationAddress = address(m[24:40])
		d.nd.RD = &d.rd
	}
	d.checked.complete = d.walkOptions(&d.options, m, size, whole)
}

// fixedPart returns the name of a message and the size of the part before its
// options, in bytes.
func fixedPart(icmp6Type uint8) (name string, size int) {
	switch icmp6Type {
	case routerSolicitation:
		return "router solicitation", 8
	case routerAdvertisement:
		return "router advertisement", raSize
	case neighborSolicitation:
		return "neighbor solicitation", 24
	case neighborAdvertisement:
		return "neighbor advertisement", 24
	default:
		return "redirect", 40
	}
}

// decodeRA decodes the fixed part of an RA (RFC 4861, section 4.2;
// flags by RFC 5175).
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

// address reads an IPv6 address of 16 bytes.
func address(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }
