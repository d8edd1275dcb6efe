package decode

import (
	"encoding/binary"
	"fmt"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// This file decodes the options of Redirects, SEND, mobile nodes and 6LoWPAN.

func (d *Decoder) unknown(lists *schemas.Options, o []byte) {
	addTo(d, &lists.Unknown, schemas.UnknownOption{Type: o[0], Length: uint16(len(o)), Content: d.hex(o[2:])})
}

// redirectedHeader decodes a Redirected Header option. It contains as much of the redirected
// packet as fits, possibly less than an IPv6 header.
func (d *Decoder) redirectedHeader(o []byte) {
	packet := o[8:]
	if len(packet) < inet6Size || packet[0]>>4 != inet6Version {
		d.unknown(&d.options, o)
		return
	}
	addTo(d, &d.options.RedirectedHeader, schemas.RedirectedHeader{
		Source:      address(packet[8:24]),
		Destination: address(packet[24:40]),
		NextHeader:  packet[6],
		Echo:        d.echo(packet),
	})
	d.checkRedirected(addr.Of(packet[8:24]), addr.Of(packet[24:40]))
}

// echo decodes the ICMPv6 echo that follows the IPv6 header of a redirected packet, if there
// is one (RFC 4443, sections 4.1 and 4.2).
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

const longPadding = "padding is longer than the option"

func (d *Decoder) cga(o []byte) (fault string) {
	parameters := o[4:]
	padding := int(o[2])
	if padding > len(parameters) {
		return longPadding
	}
	addTo(d, &d.options.CGA, schemas.CGA{Parameters: d.hex(parameters[:len(parameters)-padding])})
	return ""
}

// timestamp decodes a time stamp: seconds since 1970 in 64 bits, of which the last 16 are the
// fraction (RFC 3971, section 5.3.1).
func (d *Decoder) timestamp(b []byte) string {
	t := binary.BigEndian.Uint64(b)
	return fmt.Sprintf("%d.%06d", t>>16, t&0xffff*1_000_000>>16)
}

// domainName is the name type of a trust anchor for a domain name (RFC 3971, section 6.4.3).
const domainName = 2

func (d *Decoder) trustAnchor(o []byte) (fault string) {
	name, padding := o[4:], int(o[3])
	if padding > len(name) {
		return longPadding
	}
	name = name[:len(name)-padding]
	anchor := schemas.TrustAnchor{NameType: o[2]}
	if anchor.NameType == domainName {
		var size int
		if anchor.Name, size, fault = d.domain(name); size == 0 {
			return fault
		}
	} else {
		anchor.Name = d.hex(name)
	}
	addTo(d, &d.options.TrustAnchor, anchor)
	return ""
}

func (d *Decoder) addressPrefix(o []byte) (fault string) {
	addTo(d, &d.options.AddressPrefix, schemas.AddressPrefix{Code: o[2], PrefixLength: o[3], Address: address(o[8:24])})
	if o[3] > 128 {
		return "prefix length is over 128"
	}
	return ""
}

func (d *Decoder) naAck(o []byte) (fault string) {
	ack := schemas.NAAck{Code: o[2], Status: o[3]}
	switch len(o) {
	case 16:
		fault = "must be 8 or 24 bytes long"
	case 24:
		d.memory.addresses = append(d.memory.addresses, address(o[8:24]))
		ack.Address = &d.memory.addresses[len(d.memory.addresses)-1]
	}
	addTo(d, &d.options.NAAck, ack)
	return fault
}

func (d *Decoder) registration(o []byte) {
	addTo(d, &d.options.Registration, schemas.Registration{
		Status:   o[2],
		Opaque:   o[3],
		P:        o[4] >> 4 & 3,
		I:        o[4] >> 2 & 3,
		Flag:     d.table.flags.Registration.Decode(o[4]),
		TID:      o[5],
		Lifetime: binary.BigEndian.Uint16(o[6:]),
		ROVR:     d.hex(o[8:]),
	})
}

func (d *Decoder) context(o []byte) (fault string) {
	switch {
	case o[2] > 128:
		return "context length is over 128"
	case o[2] > 64 && len(o) < 24:
		fault = "too short for its context length"
	}
	var prefix [16]byte
	copy(prefix[:], o[8:])
	addTo(d, &d.options.Context, schemas.Context{
		Length:      o[2],
		Compression: o[3]&0x10 != 0,
		CID:         o[3] & 0x0f,
		Lifetime:    binary.BigEndian.Uint16(o[6:]),
		Prefix:      address(prefix[:]),
	})
	return fault
}

// variable returns the variable part of an option of RFC 8928, which has its length in 11 bits.
// If that is more than there is, it is not ok.
func variable(o []byte) (content []byte, ok bool) {
	content = o[8:]
	length := int(binary.BigEndian.Uint16(o[2:]) & 0x07ff)
	if length > len(content) {
		return nil, false
	}
	return content[:length], true
}

func (d *Decoder) cryptoID(o []byte) (fault string) {
	key, ok := variable(o)
	if !ok {
		return "public key runs past the end"
	}
	addTo(d, &d.options.CryptoID, schemas.CryptoID{CryptoType: o[4], Modifier: o[5], EAROLength: o[6], PublicKey: d.hex(key)})
	return ""
}

func (d *Decoder) ndpSignature(o []byte) (fault string) {
	signature, ok := variable(o)
	if !ok {
		return "signature runs past the end"
	}
	addTo(d, &d.options.NDPSignature, schemas.NDPSignature{Signature: d.hex(signature)})
	return ""
}
