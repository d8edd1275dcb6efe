package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"unicode/utf8"
)

// AppendEthernet appends an Ethernet address as lower-case hexadecimal with
// colons.
func AppendEthernet(b []byte, address [6]byte) []byte {
	const digits = "0123456789abcdef"
	for i, octet := range address {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return b
}

// ParseEthernet reads an Ethernet address written with colons, dashes or dots, in
// either case. It refuses addresses that are not 48 bits long. It does not
// allocate for what AppendEthernet writes.
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
	const digits = "0123456789abcdef"
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

// parseAddr reads an IPv6 address without a copy of the text. Without a zone,
// netip keeps none of the text in the address, and the caller formats an error
// before the text changes.
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

// plain returns how many bytes precede the first quote, backslash, control
// character or byte that is not ASCII. It looks at eight bytes at a time, because
// the frame of an event is long.
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
