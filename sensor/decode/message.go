package decode

import (
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// message decodes an ICMPv6 message of a Neighbor Discovery type, which has at least one byte.
// If it is not whole, the rest is in other fragments or was cut.
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
		// The rest may be in another fragment, which some hosts accept in spite of RFC 6980.
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
		d.checked.target = addr.Of(m[8:24])
		d.ns.TargetAddress = address(m[8:24])
		d.nd.NS = &d.ns
	case neighborAdvertisement:
		d.na.Flag = d.table.flags.NA.Decode(m[4])
		d.checked.target = addr.Of(m[8:24])
		d.na.TargetAddress = address(m[8:24])
		d.nd.NA = &d.na
	case redirect:
		d.checked.target, d.checked.destination = addr.Of(m[8:24]), addr.Of(m[24:40])
		d.rd.TargetAddress = address(m[8:24])
		d.rd.DestinationAddress = address(m[24:40])
		d.nd.RD = &d.rd
	}
	d.checked.complete = d.walkOptions(&d.options, m, size, whole)
}

// fixedPart returns the name of a message and the size in bytes of the part before its
// options.
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
