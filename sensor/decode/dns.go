package decode

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/ndmon/ndmon/schemas"
)

const (
	maxLabel  = 63  // bytes of a label, RFC 1035, section 2.3.4
	maxDomain = 255 // bytes of a domain name as sent, RFC 1035, section 2.3.4
)

// servers decodes the addresses of DNS servers that b holds. What is left behind
// the last whole address is passed over.
func (d *Decoder) servers(b []byte) []netip.Addr {
	first := len(d.memory.addresses)
	for ; len(b) >= 16; b = b[16:] {
		d.memory.addresses = append(d.memory.addresses, address(b[:16]))
		d.foundInRA(&d.fault.DNS, number(b[:16]).isNoHost())
	}
	return d.memory.addresses[first:len(d.memory.addresses):len(d.memory.addresses)]
}

func (d *Decoder) rdnss(lists *schemas.Options, o []byte) (fault string) {
	add(d, &lists.RDNSS, schemas.RDNSS{Lifetime: binary.BigEndian.Uint32(o[4:]), Address: d.servers(o[8:])})
	if len(o)%16 != 8 {
		return "must be 8 bytes and 16 for each address"
	}
	return ""
}

// dnssl decodes a DNS Search List option: the domains before the first that is
// bad. They are looked for behind padding too, because there are hosts that take
// them from there.
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
		add(d, &lists.DNSSL, schemas.DNSSL{Lifetime: binary.BigEndian.Uint32(o[4:]), Domain: domains})
	case fault == "":
		return "holds no domain"
	}
	return fault
}

// domain decodes the domain name that b starts with: its text, without the final
// dot, and its size in b in bytes, which is 0 for one that is bad.
func (d *Decoder) domain(b []byte) (text string, size int, fault string) {
	d.memory.text, size, fault = d.appendDomain(d.memory.text[:0], b)
	if size == 0 {
		return "", 0, fault
	}
	return string(d.memory.text), size, ""
}

func (d *Decoder) appendDomain(text, b []byte) (_ []byte, size int, fault string) {
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
		text = d.appendLabel(text, b[size:size+label])
		size += label
	}
}

func (d *Decoder) appendLabel(text, label []byte) []byte {
	for i, c := range label {
		if inHostName(c) {
			continue
		}
		d.foundInRA(&d.fault.DNSName, true)
		text = append(text, label[:i]...)
		for _, c := range label[i:] {
			if c == '.' {
				text = append(text, '\\')
			}
			text = appendPrintable(text, c)
		}
		return text
	}
	return append(text, label...)
}

// inHostName reports whether a byte may stand in a label of a name that a host
// resolves: those of RFC 1123, section 2.1, and the underscore, which names of
// services have.
func inHostName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// appendPrintable appends a byte as RFC 1035, section 5.1 escapes it, so that the
// text is printable whatever is sent.
func appendPrintable(text []byte, c byte) []byte {
	switch {
	case c == '\\':
		return append(text, '\\', '\\')
	case c > ' ' && c < 0x7f:
		return append(text, c)
	}
	return append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
}

// encryptedDNS decodes an Encrypted DNS option. Behind the domain name, the
// lengths of 0 of what is not there are the same as padding.
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
	add(d, &lists.EncryptedDNS, server)
	return fault
}

// counted takes what stands behind its length of 16 bits, and returns what
// follows it. Without a length there is nothing. When less is there than the
// length says, it returns what is there and is not ok.
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

// Keys of service parameters (RFC 9460, section 14.3.2; RFC 9461; RFC 9540).
const (
	keyMandatory = iota
	keyALPN
	keyNoDefaultALPN
	keyPort
	keyIPv4Hint
	keyECH
	keyIPv6Hint
	keyDoHPath
	keyOHTTP
)

// parameters decodes service parameters (RFC 9460, section 2.2), as many as are
// whole.
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
		text, ok := appendParameter(d.memory.text[:0], key, value)
		if !ok {
			fault = "service parameter has a value that its key does not have"
			text = appendRaw(text[:0], key, value)
		}
		d.memory.text = text
		d.memory.texts = append(d.memory.texts, string(text))
	}
	return d.memory.texts[first:len(d.memory.texts):len(d.memory.texts)], fault
}

// appendKey appends the name of a key.
func appendKey(text []byte, key uint16) []byte {
	names := [...]string{"mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"}
	if int(key) < len(names) {
		return append(text, names[key]...)
	}
	return strconv.AppendUint(append(text, "key"...), uint64(key), 10)
}

// appendRaw appends a parameter by the number of its key, with its value in
// hexadecimal.
func appendRaw(text []byte, key uint16, value []byte) []byte {
	text = strconv.AppendUint(append(text, "key"...), uint64(key), 10)
	if len(value) == 0 {
		return text
	}
	return hex.AppendEncode(append(text, '='), value)
}

// appendParameter appends a parameter in its presentation form (RFC 9460,
// sections 2.1 and 7), or is not ok when the value is none that the key has.
func appendParameter(text []byte, key uint16, value []byte) (_ []byte, ok bool) {
	empty := len(value) == 0
	switch key {
	case keyNoDefaultALPN, keyOHTTP:
		return appendKey(text, key), empty
	case keyMandatory, keyALPN, keyPort, keyIPv4Hint, keyECH, keyIPv6Hint, keyDoHPath:
		if empty {
			return text, false
		}
	default:
		return appendRaw(text, key, value), true
	}
	text = append(appendKey(text, key), '=')
	switch key {
	case keyMandatory:
		return appendElements(text, value, 2, func(text, b []byte) []byte { return appendKey(text, binary.BigEndian.Uint16(b)) })
	case keyALPN:
		return appendALPN(text, value)
	case keyPort:
		if len(value) != 2 {
			return text, false
		}
		return strconv.AppendUint(text, uint64(binary.BigEndian.Uint16(value)), 10), true
	case keyIPv4Hint:
		return appendElements(text, value, 4, func(text, b []byte) []byte { return netip.AddrFrom4([4]byte(b)).AppendTo(text) })
	case keyIPv6Hint:
		return appendElements(text, value, 16, func(text, b []byte) []byte { return address(b).AppendTo(text) })
	case keyECH:
		return base64.StdEncoding.AppendEncode(text, value), true
	}
	for _, c := range value {
		text = appendPrintable(text, c)
	}
	return text, true
}

// appendElements appends the elements of a value, each of a size in bytes, with
// commas between them.
func appendElements(text, value []byte, size int, appendOne func(text, b []byte) []byte) (_ []byte, ok bool) {
	for i := 0; i+size <= len(value); i += size {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendOne(text, value[i:i+size])
	}
	return text, len(value)%size == 0
}

// appendALPN appends protocol identifiers, each of which stands behind its length
// of 8 bits. A comma or a backslash in one is escaped, and the escape then is too
// (RFC 9460, section 7.1.1 and appendix A.1).
func appendALPN(text, value []byte) (_ []byte, ok bool) {
	for first := true; len(value) > 0; first = false {
		length := int(value[0])
		if length == 0 || length >= len(value) {
			return text, false
		}
		if !first {
			text = append(text, ',')
		}
		for _, c := range value[1 : 1+length] {
			if c == ',' || c == '\\' {
				text = append(text, '\\', '\\')
			}
			text = appendPrintable(text, c)
		}
		value = value[1+length:]
	}
	return text, true
}
