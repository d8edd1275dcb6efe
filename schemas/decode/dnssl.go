package decode

import (
	"encoding/binary"

	"github.com/ndmon/ndmon/schemas"
)

const (
	maxLabel  = 63  // bytes of a label, RFC 1035, section 2.3.4
	maxDomain = 255 // bytes of a domain name as sent, RFC 1035, section 2.3.4
)

// dnssl decodes a DNS Search List option: the domains before the first that is
// bad. They are looked for behind padding too, because there are hosts that take
// them from there.
func (d *Decoder) dnssl(o []byte) (fault string) {
	if len(o) < 16 {
		return "must be 16 bytes long or more"
	}
	first := len(d.memory.domains)
	for rest := o[8:]; len(rest) > 0 && fault == ""; {
		if rest[0] == 0 {
			rest = rest[1:]
			continue
		}
		var size int
		d.memory.text, size, fault = appendDomain(d.memory.text[:0], rest)
		if fault == "" {
			d.memory.domains = append(d.memory.domains, string(d.memory.text))
			rest = rest[size:]
		}
	}
	domains := d.memory.domains[first:len(d.memory.domains):len(d.memory.domains)]
	switch {
	case len(domains) > 0:
		add(d, &d.options.DNSSL, schemas.DNSSL{Lifetime: binary.BigEndian.Uint32(o[4:]), Domain: domains})
	case fault == "":
		return "holds no domain"
	}
	return fault
}

// appendDomain appends the text of the domain name that b starts with, without
// the final dot, and returns the name's size in b in bytes.
func appendDomain(text, b []byte) (_ []byte, size int, fault string) {
	for {
		if size >= len(b) {
			return text, 0, "domain runs past the end"
		}
		label := int(b[size])
		size++
		switch {
		case size > maxDomain:
			return text, 0, "domain is longer than 255 bytes"
		case label == 0:
			return text, size, ""
		case label > maxLabel:
			return text, 0, "domain has a label that is compressed or longer than 63 bytes"
		case size+label > len(b):
			return text, 0, "domain runs past the end"
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		for _, c := range b[size : size+label] {
			text = appendEscaped(text, c)
		}
		size += label
	}
}

// appendEscaped appends a byte of a label as RFC 1035, section 5.1 writes it,
// so that the text is printable whatever is sent.
func appendEscaped(text []byte, c byte) []byte {
	switch {
	case c == '.' || c == '\\':
		return append(text, '\\', c)
	case c > ' ' && c < 0x7f:
		return append(text, c)
	}
	return append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
}
