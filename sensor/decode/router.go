package decode

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
	"github.com/ndmon/ndmon/sensor/decode/internal/dns"
)

// This file decodes what RAs contain.

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

// routeInfo decodes a Route Information option. If it is too short for its prefix, the missing bits
// are read from what follows it in the message, as Linux (6.18) does, which installs such a route.
// After the end of the message they are zero, because what Linux reads there is unknown.
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

// pref64 decodes a PREF64 option. The prefix length codes 6 and 7 are reserved (RFC 8781,
// section 4).
func (d *Decoder) pref64(lists *schemas.Options, o []byte) (fault string) {
	lengths, code := [...]uint8{96, 64, 56, 48, 40, 32}, int(o[3]&7)
	if code >= len(lengths) {
		return "prefix length code is reserved"
	}
	var prefix [16]byte
	copy(prefix[:12], o[4:])
	addTo(d, &lists.PREF64, schemas.PREF64{
		Prefix:       address(prefix[:]),
		PrefixLength: lengths[code],
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

// servers decodes the addresses of DNS servers in b. It ignores an incomplete last address.
func (d *Decoder) servers(b []byte) []netip.Addr {
	first := len(d.memory.addresses)
	for ; len(b) >= 16; b = b[16:] {
		d.memory.addresses = append(d.memory.addresses, address(b[:16]))
		d.foundInRA(&d.fault.DNS, addr.Of(b[:16]).IsNoHost())
	}
	return d.memory.addresses[first:len(d.memory.addresses):len(d.memory.addresses)]
}

func (d *Decoder) rdnss(lists *schemas.Options, o []byte) (fault string) {
	addTo(d, &lists.RDNSS, schemas.RDNSS{Lifetime: binary.BigEndian.Uint32(o[4:]), Address: d.servers(o[8:])})
	if len(o)%16 != 8 {
		return "must be 8 bytes and 16 for each address"
	}
	return ""
}

// dnssl decodes a DNS Search List option: the domains before the first bad one. It also reads
// domains after padding, because some hosts use them.
func (d *Decoder) dnssl(lists *schemas.Options, o []byte) (fault string) {
	first := len(d.memory.texts)
	for rest := o[8:]; len(rest) > 0 && fault == ""; {
		if rest[0] == 0 {
			rest = rest[1:]
			continue
		}
		var name string
		var size int
		if name, size, fault = d.domain(rest); size > 0 {
			d.memory.texts = append(d.memory.texts, name)
			rest = rest[size:]
		}
	}
	domains := d.memory.texts[first:len(d.memory.texts):len(d.memory.texts)]
	switch {
	case len(domains) > 0:
		addTo(d, &lists.DNSSL, schemas.DNSSL{Lifetime: binary.BigEndian.Uint32(o[4:]), Domain: domains})
	case fault == "":
		return "holds no domain"
	}
	return fault
}

// domain decodes the domain name at the start of b. It returns its text without the final dot,
// and its size in b in bytes, which is 0 for a bad one.
func (d *Decoder) domain(b []byte) (text string, size int, fault string) {
	var hostName bool
	d.memory.text, size, hostName, fault = dns.AppendDomain(d.memory.text[:0], b)
	d.foundInRA(&d.fault.DNSName, !hostName)
	if size == 0 {
		return "", 0, fault
	}
	return string(d.memory.text), size, ""
}

// encryptedDNS decodes an Encrypted DNS option. After the domain name, a length of 0 of a part
// that is absent cannot be distinguished from padding.
func (d *Decoder) encryptedDNS(lists *schemas.Options, o []byte) (fault string) {
	name, rest, ok := counted(o[8:])
	if !ok {
		return "domain runs past the end"
	}
	server := schemas.EncryptedDNS{Priority: binary.BigEndian.Uint16(o[2:]), Lifetime: binary.BigEndian.Uint32(o[4:])}
	if len(name) == 0 {
		fault = "holds no domain"
	} else {
		var size int
		if server.Domain, size, fault = d.domain(name); size == 0 {
			return fault
		}
		if size < len(name) {
			fault = "domain is shorter than its length says"
		}
	}
	addresses, rest, ok := counted(rest)
	if !ok || len(addresses)%16 != 0 {
		fault = "addresses run past the end"
		if ok {
			fault = "addresses are not 16 bytes long each"
		}
	}
	server.Address = d.servers(addresses)
	if ok {
		parameters, _, ok := counted(rest)
		var wrong string
		if server.Parameter, wrong = d.parameters(parameters); wrong != "" {
			fault = wrong
		}
		if !ok {
			fault = "service parameters run past the end"
		}
	}
	addTo(d, &lists.EncryptedDNS, server)
	return fault
}

// counted returns the content after a length of 16 bits, and the rest after the content.
// Without a length both are empty. If b is shorter than the length, the content is all that
// there is, and not ok.
func counted(b []byte) (content, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, true
	}
	length, b := int(binary.BigEndian.Uint16(b)), b[2:]
	if length > len(b) {
		return b, nil, false
	}
	return b[:length], b[length:], true
}

// parameters decodes the complete ones of service parameters (RFC 9460, section 2.2).
func (d *Decoder) parameters(b []byte) (list []string, fault string) {
	first := len(d.memory.texts)
	last := -1
	for len(b) > 0 {
		if len(b) < 4 {
			fault = "service parameters run past the end"
			break
		}
		key := binary.BigEndian.Uint16(b)
		value, rest, ok := counted(b[2:])
		if !ok {
			fault = "service parameters run past the end"
			break
		}
		if int(key) <= last {
			fault = "service parameters are not in their order"
		}
		last, b = int(key), rest
		text, ok := dns.AppendParameter(d.memory.text[:0], key, value)
		if !ok {
			fault = "service parameter has a value that its key does not have"
		}
		d.memory.text = text
		d.memory.texts = append(d.memory.texts, string(text))
	}
	return d.memory.texts[first:len(d.memory.texts):len(d.memory.texts)], fault
}
