package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

const digits = "0123456789abcdef"

// AppendEthernet appends an Ethernet address as lower-case hexadecimal with colons.
func AppendEthernet(b []byte, address [6]byte) []byte {
	for i, octet := range address {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return b
}

// ParseEthernet reads an Ethernet address written with colons, dashes or dots, in either case. It
// refuses addresses that are not 48 bits long. It does not allocate for what AppendEthernet writes.
func ParseEthernet(text []byte) (address [6]byte, err error) {
	if len(text) == 3*len(address)-1 {
		canonical := true
		for i := range address {
			high, low := hexDigit(text[3*i]), hexDigit(text[3*i+1])
			if high|low > 0xf || i > 0 && text[3*i-1] != ':' {
				canonical = false
				break
			}
			address[i] = high<<4 | low
		}
		if canonical {
			return address, nil
		}
	}
	hw, err := net.ParseMAC(string(text))
	if err != nil || len(hw) != len(address) {
		return [6]byte{}, fmt.Errorf("%q is not an Ethernet address such as 02:00:00:00:00:01", text)
	}
	return [6]byte(hw), nil
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// AppendIPv6 appends an address as netip does (RFC 5952), in half the time.
// It leaves to netip what no frame holds.
func AppendIPv6(b []byte, addr netip.Addr) []byte {
	if !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return addr.AppendTo(b)
	}
	octets := addr.As16()
	high, low := binary.BigEndian.Uint64(octets[:8]), binary.BigEndian.Uint64(octets[8:])
	var groups [8]uint16
	for i := range 4 {
		groups[i], groups[4+i] = uint16(high>>(48-16*i)), uint16(low>>(48-16*i))
	}
	// The first of the longest runs of zeros, if longer than one, becomes "::".
	start, end := 0, 0
	for i := 0; i < len(groups); i++ {
		first := i
		for i < len(groups) && groups[i] == 0 {
			i++
		}
		if n := i - first; n > 1 && n > end-start {
			start, end = first, i
		}
	}
	for i := 0; i < len(groups); i++ {
		switch {
		case i == start && end > 0:
			b = append(b, ':', ':')
			if i = end; i == len(groups) {
				return b
			}
		case i > 0:
			b = append(b, ':')
		}
		b = appendHex(b, groups[i])
	}
	return b
}

func appendHex(b []byte, n uint16) []byte {
	if n >= 0x1000 {
		b = append(b, digits[n>>12])
	}
	if n >= 0x100 {
		b = append(b, digits[n>>8&0xf])
	}
	if n >= 0x10 {
		b = append(b, digits[n>>4&0xf])
	}
	return append(b, digits[n&0xf])
}

// parseAddr reads an IPv6 address without a copy of the text. Without a zone, netip keeps none of
// the text in the address, and the caller formats an error before the text changes.
func parseAddr(text []byte) (netip.Addr, error) {
	if bytes.IndexByte(text, '%') < 0 {
		addr, err := netip.ParseAddr(View(text))
		if err != nil {
			return netip.Addr{}, err
		}
		if addr.Is6() {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%q is not an IPv6 address without a zone", text)
}

// plain returns how many bytes precede the first quote, backslash, control character or byte that
// is not ASCII. It looks at eight bytes at a time, because the frame of an event is long.
func plain(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(s[n:])
		quote, backslash := x^'"'*ones, x^'\\'*ones
		// The lowest high bit that is set marks the first such byte; those above
		// it may be carried over from it.
		if marks := (x | (x - ' '*ones) | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs; marks != 0 {
			return n + bits.TrailingZeros64(marks)/8
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return n
}

func appendObject(b []byte, object Value, s *Schema) []byte {
	b = append(b, '{')
	empty := true
	for i := range s.Members {
		m := &s.Members[i]
		v := object.Member(m)
		if m.Optional && v.Absent(m) {
			continue
		}
		if !empty {
			b = append(b, ',')
		}
		empty = false
		b = append(b, m.key...)
		switch {
		case m.List:
			b = append(b, '[')
			for i := range v.Len() {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendValue(b, v.Index(i, m), m)
			}
			b = append(b, ']')
		case m.Pointer:
			b = appendValue(b, v.Elem(), m)
		default:
			b = appendValue(b, v, m)
		}
	}
	return append(b, '}')
}

func appendValue(b []byte, v Value, m *Member) []byte {
	switch m.Kind {
	case Object:
		return appendObject(b, v, m.Object)
	case Bool:
		return strconv.AppendBool(b, v.Bool())
	case Uint:
		return strconv.AppendUint(b, v.Uint(m), 10)
	case String:
		return appendString(b, v.Text())
	case Ethernet:
		b = AppendEthernet(append(b, '"'), v.Ethernet())
		return append(b, '"')
	case IPv6:
		b = AppendIPv6(append(b, '"'), v.Addr())
		return append(b, '"')
	case Time:
		b = as[time.Time](v).AppendFormat(append(b, '"'), time.RFC3339Nano)
		return append(b, '"')
	case Bytes:
		b = base64.StdEncoding.AppendEncode(append(b, '"'), *as[[]byte](v))
		return append(b, '"')
	}
	return appendRaw(b, v)
}

// appendString writes plain strings, which are most, itself and leaves the others to encoding/json.
func appendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	b = append(b, s...)
	if plain(b[start+1:]) == len(s) {
		return append(b, '"')
	}
	quoted := bytes.NewBuffer(b[:start])
	enc := json.NewEncoder(quoted)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always marshals
	}
	return bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))
}

// appendRaw appends JSON without its white space, and null for what is no JSON.
func appendRaw(b []byte, v Value) []byte {
	compact := bytes.NewBuffer(b)
	if json.Compact(compact, *as[json.RawMessage](v)) != nil {
		return append(b, "null"...)
	}
	return compact.Bytes()
}
