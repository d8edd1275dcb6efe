package decode

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ndmon/ndmon/schemas"
)

// Option types that are decoded, and those that the checks know beside them.
const (
	optSourceLinkLayer  = 1  // RFC 4861, section 4.6.1
	optTargetLinkLayer  = 2  // RFC 4861, section 4.6.1
	optPrefixInfo       = 3  // RFC 4861, section 4.6.2
	optRedirectedHeader = 4  // RFC 4861, section 4.6.3
	optMTU              = 5  // RFC 4861, section 4.6.4
	optAdvInterval      = 7  // RFC 6275, section 7.3
	optHomeAgent        = 8  // RFC 6275, section 7.4
	optNonce            = 14 // RFC 3971, section 5.3.2
	optRouteInfo        = 24 // RFC 4191, section 2.3
	optRDNSS            = 25 // RFC 8106, section 5.1
	optRAFlags          = 26 // RFC 5175, section 4
	optDNSSL            = 31 // RFC 8106, section 5.2
	optRegistration     = 33 // RFC 8505, section 4.1
	opt6LoWPANContext   = 34 // RFC 6775, section 4.2
	optBorderRouter     = 35 // RFC 6775, section 4.3
	optCaptivePortal    = 37 // RFC 8910, section 2.3
	optPREF64           = 38 // RFC 8781, section 4
)

// walkOptions decodes the options of a message, the first of which stands at
// the offset at. What runs past the end is a fault only in a whole message.
func (d *Decoder) walkOptions(m []byte, at int, whole bool) {
	for at < len(m) {
		option := m[at:]
		if len(option) < 2 {
			if whole {
				d.badOption("option %d%s at byte %d has no length", option[0], optionName(option[0]), at)
			}
			return
		}
		size := 8 * int(option[1])
		if size == 0 {
			d.badOption("option %d%s at byte %d has length 0", option[0], optionName(option[0]), at)
			return
		}
		if size > len(option) {
			if whole {
				d.badOption("option %d%s at byte %d is %d bytes long, the message ends after %d",
					option[0], optionName(option[0]), at, size, len(option))
			}
			return
		}
		d.found(&d.fault.Repeated, d.checked.option(m, at, size))
		if fault := d.option(option[:size]); fault != "" {
			d.found(&d.fault.BadOption, true)
			d.malformed.addOption(option[0], at, size, fault)
		}
		at += size
	}
	d.checked.complete = whole
}

// badOption notes an option that does not say where it ends in the message.
func (d *Decoder) badOption(format string, args ...any) {
	d.found(&d.fault.BadOption, true)
	d.refused(&d.fault.OptionLength, true)
	d.malformed.add(format, args...)
}

// addOption notes what is wrong with an option. A message may have thousands
// that are, so only those that are put into words cost anything.
func (m *malformed) addOption(option uint8, at, size int, fault string) {
	if m.count >= maxFaults {
		m.count++
		return
	}
	m.add("option %d%s at byte %d, %d bytes long: %s", option, optionName(option), at, size, fault)
}

// option decodes an option that is whole, its length a multiple of 8 that is
// not 0. It returns what is wrong with it. What is good in it is listed all the
// same, because there are receivers that take it.
func (d *Decoder) option(o []byte) (fault string) {
	list := &d.options
	switch o[0] {
	case optSourceLinkLayer, optTargetLinkLayer:
		lla := schemas.LinkLayer{Address: schemas.MAC(o[2:8])}
		d.checkLinkLayer(o[0], lla.Address)
		if o[0] == optSourceLinkLayer {
			add(d, &list.SourceLinkLayer, lla)
		} else {
			add(d, &list.TargetLinkLayer, lla)
		}
		if len(o) != 8 {
			return "must be 8 bytes long on Ethernet"
		}
	case optPrefixInfo:
		return d.prefixInfo(o)
	case optRedirectedHeader:
		// What is sent back is as much as there was room for, maybe not even an
		// IPv6 header.
		if packet := o[8:]; len(packet) >= inet6Size && packet[0]>>4 == inet6Version {
			add(d, &list.RedirectedHeader, schemas.RedirectedHeader{
				Source:      address(packet[8:24]),
				Destination: address(packet[24:40]),
				NextHeader:  packet[6],
				Echo:        d.echo(packet),
			})
			d.checkRedirected(number(packet[8:24]), number(packet[24:40]))
		} else {
			d.unknown(o)
		}
	case optMTU:
		mtu := binary.BigEndian.Uint32(o[4:])
		add(d, &list.MTU, schemas.MTU{MTU: mtu})
		d.foundInRA(&d.fault.MTU, mtu < minMTU)
		if len(o) != 8 {
			return "must be 8 bytes long"
		}
	case optNonce:
		d.memory.text = hex.AppendEncode(d.memory.text[:0], o[2:])
		add(d, &list.Nonce, schemas.Nonce{Value: string(d.memory.text)})
	case optRouteInfo:
		return d.routeInfo(o)
	case optRDNSS:
		return d.rdnss(o)
	case optDNSSL:
		return d.dnssl(o)
	case optPREF64:
		return d.pref64(o)
	default:
		d.unknown(o)
	}
	return ""
}

// echo decodes the ICMPv6 echo that stands right behind the IPv6 header of a
// redirected packet, if one does (RFC 4443, sections 4.1 and 4.2).
func (d *Decoder) echo(packet []byte) *schemas.Echo {
	m := packet[inet6Size:]
	if packet[6] != icmp6 || len(m) < 8 || m[0] != echoRequest && m[0] != echoReply {
		return nil
	}
	d.memory.echoes = append(d.memory.echoes, schemas.Echo{
		Identifier: binary.BigEndian.Uint16(m[4:]),
		Sequence:   binary.BigEndian.Uint16(m[6:]),
	})
	return &d.memory.echoes[len(d.memory.echoes)-1]
}

func (d *Decoder) prefixInfo(o []byte) (fault string) {
	switch {
	case len(o) < 32:
		return "must be 32 bytes long"
	case o[2] > 128:
		return "prefix length is over 128"
	}
	info := add(d, &d.options.PrefixInfo, schemas.PrefixInfo{
		Prefix:       address(o[16:32]),
		PrefixLength: o[2],
		Flag: schemas.PrefixInfoFlags{
			OnLink:      o[3]&0x80 != 0,
			Autoconf:    o[3]&0x40 != 0,
			Router:      o[3]&0x20 != 0,
			PDPreferred: o[3]&0x10 != 0,
			Reserved:    o[3] & 0x0f,
		},
		ValidLifetime:     binary.BigEndian.Uint32(o[4:]),
		PreferredLifetime: binary.BigEndian.Uint32(o[8:]),
	})
	d.checkPrefix(info, number(o[16:32]))
	if len(o) > 32 {
		return "must be 32 bytes long"
	}
	return ""
}

// routeInfo decodes a Route Information option. Where the prefix is cut short,
// the bits that are there are listed: Linux takes such a route.
func (d *Decoder) routeInfo(o []byte) (fault string) {
	if o[2] > 128 {
		return "prefix length is over 128"
	}
	var prefix [16]byte
	copy(prefix[:], o[8:])
	route := add(d, &d.options.RouteInfo, schemas.RouteInfo{
		Prefix:       address(prefix[:]),
		PrefixLength: o[2],
		Preference:   preference(o[3]),
		Reserved:     o[3] &^ preferenceMask,
		Lifetime:     binary.BigEndian.Uint32(o[4:]),
	})
	d.checkRoute(route, number(prefix[:]))
	switch {
	case len(o) > 24:
		return "must be 8, 16 or 24 bytes long"
	case o[2] > 64 && len(o) < 24, o[2] > 0 && len(o) < 16:
		return "too short for its prefix length"
	}
	return ""
}

func (d *Decoder) rdnss(o []byte) (fault string) {
	first := len(d.memory.addresses)
	for server := o[8:]; len(server) >= 16; server = server[16:] {
		d.memory.addresses = append(d.memory.addresses, address(server[:16]))
		d.foundInRA(&d.fault.DNS, number(server[:16]).isNoHost())
	}
	if servers := d.memory.addresses[first:len(d.memory.addresses):len(d.memory.addresses)]; len(servers) > 0 {
		add(d, &d.options.RDNSS, schemas.RDNSS{Lifetime: binary.BigEndian.Uint32(o[4:]), Address: servers})
	}
	if len(o) < 24 || len(o)%16 != 8 {
		return "must be 8 bytes and 16 for each address"
	}
	return ""
}

// pref64Length returns the prefix length in bits that a prefix length code stands for (RFC
// 8781, section 4); the codes 6 and 7 are reserved.
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

func (d *Decoder) pref64(o []byte) (fault string) {
	if len(o) < 16 {
		return "must be 16 bytes long"
	}
	bits, ok := pref64Length(o[3] & 7)
	if !ok {
		return "prefix length code is reserved"
	}
	var prefix [16]byte
	copy(prefix[:12], o[4:])
	add(d, &d.options.PREF64, schemas.PREF64{
		Prefix:       address(prefix[:]),
		PrefixLength: bits,
		Lifetime:     binary.BigEndian.Uint16(o[2:]) &^ 7, // sent in units of 8 s
	})
	if len(o) > 16 {
		return "must be 16 bytes long"
	}
	return ""
}

func (d *Decoder) unknown(o []byte) {
	add(d, &d.options.Unknown, schemas.UnknownOption{Type: o[0], Length: uint16(len(o))})
}

// optionName returns the name of an option type as it follows the type in a
// sentence, or nothing.
func optionName(option uint8) string {
	switch option {
	case optSourceLinkLayer:
		return " (source link-layer address)"
	case optTargetLinkLayer:
		return " (target link-layer address)"
	case optPrefixInfo:
		return " (prefix information)"
	case optRedirectedHeader:
		return " (redirected header)"
	case optMTU:
		return " (MTU)"
	case optNonce:
		return " (nonce)"
	case optRouteInfo:
		return " (route information)"
	case optRDNSS:
		return " (recursive DNS server)"
	case optDNSSL:
		return " (DNS search list)"
	case optPREF64:
		return " (PREF64)"
	}
	return ""
}
