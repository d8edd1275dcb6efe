package decode

import (
	"encoding/binary"

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

// fixedPart returns the name of a message and the size in bytes of the part before its options.
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

// walkOptions decodes the options of a message from the offset at into lists: those of the
// event or those of a PvD option. It also lists the good parts of an option with a fault,
// because some receivers use them. An option that runs past the end is a fault only in a
// whole message. It reports whether all options were read.
func (d *Decoder) walkOptions(lists *schemas.Options, m []byte, at int, whole bool) (complete bool) {
	outer := lists == &d.options
	for at < len(m) {
		size := 0
		if at+1 < len(m) {
			size = 8 * int(m[at+1])
		}
		if size == 0 || size > len(m)-at {
			d.noEnd(m, at, outer, whole)
			return false
		}
		option := m[at]
		kind := &d.table.kinds[option]
		if outer {
			if kind.once {
				d.found(&d.fault.Repeated, d.checked.repeats(m, at, size))
			}
			d.checked.seen.add(option)
		}
		fault := ""
		switch {
		case !kind.listed:
			d.unknown(lists, m[at:at+size])
		case size >= kind.min:
			fault = d.content(lists, m, at, min(size, kind.max))
		}
		if fault == "" && (size < kind.min || size > kind.max) {
			fault = kind.size
		}
		if fault != "" {
			d.found(&d.fault.BadOption, true)
			d.malformed.addOption(option, at, size, fault)
		}
		at += size
	}
	return whole
}

// noEnd adds the fault of an option that does not end in the message. In a message that is not
// whole, the option may end after what was received, unless its length is 0.
func (d *Decoder) noEnd(m []byte, at int, outer, whole bool) {
	option := m[at:]
	if !whole && (len(option) < 2 || option[1] != 0) {
		return
	}
	what := "message"
	if outer {
		d.refused(&d.fault.OptionLength, true)
	} else {
		what = "PvD option"
	}
	d.found(&d.fault.BadOption, true)
	switch {
	case len(option) < 2:
		d.malformed.add("option %d%s at byte %d has no length", option[0], optionName(option[0]), at)
	case option[1] == 0:
		d.malformed.add("option %d%s at byte %d has length 0", option[0], optionName(option[0]), at)
	default:
		d.malformed.add("option %d%s at byte %d is %d bytes long, the %s ends after %d",
			option[0], optionName(option[0]), at, 8*int(option[1]), what, len(option))
	}
}

// content decodes an option of a size that its type allows. It returns its fault, or empty.
func (d *Decoder) content(lists *schemas.Options, m []byte, at, size int) (fault string) {
	o := m[at : at+size]
	switch o[0] { // those that a PvD option may contain too
	case optPrefixInfo:
		return d.prefixInfo(lists, o)
	case optMTU:
		mtu := binary.BigEndian.Uint32(o[4:])
		d.foundInRA(&d.fault.MTU, mtu < minMTU)
		addTo(d, &lists.MTU, schemas.MTU{MTU: mtu})
		return ""
	case optRouteInfo:
		return d.routeInfo(lists, m, at, size)
	case optRDNSS:
		return d.rdnss(lists, o)
	case optDNSSL:
		return d.dnssl(lists, o)
	case optCaptivePortal:
		return d.captivePortal(lists, o)
	case optPREF64:
		return d.pref64(lists, o)
	case optEncryptedDNS:
		return d.encryptedDNS(lists, o)
	}
	switch {
	case lists != &d.options:
		d.unknown(lists, o)
		if o[0] == optPvD {
			return "must not stand in another one"
		}
	case o[0] == optSourceLinkLayer:
		d.checkLinkLayer(o[0], schemas.MAC(o[2:8]))
		addTo(d, &lists.SourceLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o[2:8])})
	case o[0] == optTargetLinkLayer:
		d.checkLinkLayer(o[0], schemas.MAC(o[2:8]))
		addTo(d, &lists.TargetLinkLayer, schemas.LinkLayer{Address: schemas.MAC(o[2:8])})
	case o[0] == optNonce:
		addTo(d, &lists.Nonce, schemas.Nonce{Value: d.hex(o[2:])})
	case o[0] == optRedirectedHeader:
		d.redirectedHeader(o)
	default:
		return d.rareContent(m, at, size)
	}
	return ""
}

// rareContent is content for the options that few messages have.
func (d *Decoder) rareContent(m []byte, at, size int) (fault string) {
	o, lists := m[at:at+size], &d.options
	switch o[0] {
	case optAdvInterval:
		addTo(d, &lists.AdvInterval, schemas.AdvInterval{Interval: binary.BigEndian.Uint32(o[4:])})
	case optHomeAgent:
		addTo(d, &lists.HomeAgent, schemas.HomeAgent{
			Preference: binary.BigEndian.Uint16(o[4:]), Lifetime: binary.BigEndian.Uint16(o[6:])})
	case optCGA:
		return d.cga(o)
	case optRSA:
		addTo(d, &lists.RSA, schemas.RSA{KeyHash: d.hex(o[4:20]), Signature: d.hex(o[20:])})
	case optTimestamp:
		addTo(d, &lists.Timestamp, schemas.Timestamp{Time: d.timestamp(o[8:16])})
	case optTrustAnchor:
		return d.trustAnchor(o)
	case optCertificate:
		addTo(d, &lists.Certificate, schemas.Certificate{CertType: o[2], Content: d.hex(o[4:])})
	case optAddressPrefix:
		return d.addressPrefix(o)
	case optNAAck:
		return d.naAck(o)
	case optPvD:
		return d.pvd(m, at, size)
	case optFlagsExtension:
		addTo(d, &lists.FlagsExtension, schemas.FlagsExtension{Bits: d.hex(o[2:])})
	case optRegistration:
		d.registration(o)
	case optContext:
		return d.context(o)
	case optBorderRouter:
		addTo(d, &lists.BorderRouter, schemas.BorderRouter{
			Version:  uint32(binary.BigEndian.Uint16(o[4:]))<<16 | uint32(binary.BigEndian.Uint16(o[2:])),
			Lifetime: binary.BigEndian.Uint16(o[6:]),
			Address:  address(o[8:24]),
		})
	case optCryptoID:
		return d.cryptoID(o)
	case optNDPSignature:
		return d.ndpSignature(o)
	case optResourceDirectory:
		addTo(d, &lists.ResourceDirectory, schemas.ResourceDirectory{
			Lifetime: binary.BigEndian.Uint32(o[4:]), Address: address(o[8:24])})
	default:
		d.unknown(lists, o)
	}
	return ""
}

func (d *Decoder) pvd(m []byte, at, size int) (fault string) {
	o := m[at : at+size]
	id, length, fault := d.domain(o[6:])
	if length == 0 {
		return fault
	}
	pvd := addTo(d, &d.options.PvD, schemas.PvD{
		ID:       id,
		Flag:     d.table.flags.PvD.Decode(o[2]),
		Delay:    o[3] & 0x0f,
		Sequence: binary.BigEndian.Uint16(o[4:]),
	})
	if id == "" {
		fault = "holds no name"
	}
	header := (6 + length + 7) &^ 7 // after the padding
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
		d.inner = schemas.Options{} // the event has the lists now
	}
	return fault
}
