// Package dns writes domain names and service parameters in their presentation forms. The
// text is printable, whatever is in the message.
package dns

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
)

const (
	maxLabel  = 63  // bytes of a label, RFC 1035, section 2.3.4
	maxDomain = 255 // bytes of an encoded domain name, RFC 1035, section 2.3.4
)

// AppendDomain appends the domain name at the start of b, without the final dot. It returns
// the name's size in b in bytes, or 0 and the fault of a bad one, and whether the labels
// that it read have only characters of host names: those of RFC 1123, section 2.1, and the
// underscore, which names of services contain.
func AppendDomain(text, b []byte) (_ []byte, size int, hostName bool, fault string) {
	hostName = true
	for {
		if size >= len(b) {
			return text, 0, hostName, "domain runs past the end"
		}
		label := int(b[size])
		size++
		switch {
		case size > maxDomain:
			return text, 0, hostName, "domain is longer than 255 bytes"
		case label == 0:
			return text, size, hostName, ""
		case label > maxLabel:
			return text, 0, hostName, "domain has a label that is compressed or longer than 63 bytes"
		case size+label > len(b):
			return text, 0, hostName, "domain runs past the end"
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		var ok bool
		text, ok = appendLabel(text, b[size:size+label])
		hostName = hostName && ok
		size += label
	}
}

// appendLabel appends a label, and reports whether it has only characters of host names.
func appendLabel(text, label []byte) (_ []byte, hostName bool) {
	for i, c := range label {
		if inHostName(c) {
			continue
		}
		text = append(text, label[:i]...)
		for _, c := range label[i:] {
			if c == '.' {
				text = append(text, '\\')
			}
			text = AppendPrintable(text, c)
		}
		return text, false
	}
	return append(text, label...), true
}

func inHostName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// AppendPrintable appends a byte with the escapes of RFC 1035, section 5.1.
func AppendPrintable(text []byte, c byte) []byte {
	switch {
	case c == '\\':
		return append(text, '\\', '\\')
	case c > ' ' && c < 0x7f:
		return append(text, c)
	}
	return append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
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

// AppendParameter appends a service parameter in its presentation form (RFC 9460, sections
// 2.1 and 7). If the key does not allow the value, it appends the number of the key and the
// value in hexadecimal, and is not ok.
func AppendParameter(text []byte, key uint16, value []byte) (_ []byte, ok bool) {
	start := len(text)
	if text, ok = appendParameter(text, key, value); !ok {
		text = appendRaw(text[:start], key, value)
	}
	return text, ok
}

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
		return appendElements(text, value, 16, func(text, b []byte) []byte { return netip.AddrFrom16([16]byte(b)).AppendTo(text) })
	case keyECH:
		return base64.StdEncoding.AppendEncode(text, value), true
	}
	for _, c := range value {
		text = AppendPrintable(text, c)
	}
	return text, true
}

func appendKey(text []byte, key uint16) []byte {
	names := [...]string{"mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"}
	if int(key) < len(names) {
		return append(text, names[key]...)
	}
	return strconv.AppendUint(append(text, "key"...), uint64(key), 10)
}

// appendRaw appends a parameter as the number of its key and its value in hexadecimal.
func appendRaw(text []byte, key uint16, value []byte) []byte {
	text = strconv.AppendUint(append(text, "key"...), uint64(key), 10)
	if len(value) == 0 {
		return text
	}
	return hex.AppendEncode(append(text, '='), value)
}

// appendElements appends the elements of a value, each of a size in bytes, separated by commas.
func appendElements(text, value []byte, size int, appendOne func(text, b []byte) []byte) (_ []byte, ok bool) {
	for i := 0; i+size <= len(value); i += size {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendOne(text, value[i:i+size])
	}
	return text, len(value)%size == 0
}

// appendALPN appends protocol identifiers, each of which follows its length of 8 bits. A comma or a
// backslash in one is escaped, and then the escape too (RFC 9460, section 7.1.1 and appendix A.1).
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
			text = AppendPrintable(text, c)
		}
		value = value[1+length:]
	}
	return text, true
}
