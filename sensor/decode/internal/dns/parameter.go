package dns

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
)

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

// appendKey appends the name of a key.
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

// appendElements appends the elements of a value, each of a size in bytes, separated by
// commas.
func appendElements(text, value []byte, size int, appendOne func(text, b []byte) []byte) (_ []byte, ok bool) {
	for i := 0; i+size <= len(value); i += size {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendOne(text, value[i:i+size])
	}
	return text, len(value)%size == 0
}

// appendALPN appends protocol identifiers, each of which follows its length of 8 bits. A
// comma or a backslash in one is escaped, and then the escape too (RFC 9460, section 7.1.1
// and appendix A.1).
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
