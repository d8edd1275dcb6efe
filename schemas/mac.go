package schemas

import (
	"fmt"
	"net"
)

// MAC is a 48-bit Ethernet address. Its text form is lower-case hexadecimal
// with colons, 02:00:00:00:00:01.
type MAC [6]byte

// ParseMAC reads an Ethernet address written with colons, dashes or dots, in
// either case. It refuses addresses that are not 48 bits long.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(MAC{}) {
		return MAC{}, fmt.Errorf("%q is not an Ethernet address such as 02:00:00:00:00:01", s)
	}
	return MAC(hw), nil
}

// IsMulticast reports whether the address is a group address, the broadcast
// address among them (IEEE 802, the I/G bit).
func (m MAC) IsMulticast() bool { return m[0]&1 == 1 }

// IsLocal reports whether the address was not given by its maker but locally, so
// that its first octets name none (IEEE 802, the U/L bit).
func (m MAC) IsLocal() bool { return m[0]&2 == 2 }

// String returns the text form.
func (m MAC) String() string { return string(m.appendTo(make([]byte, 0, 17))) }

// AppendText implements encoding.TextAppender.
func (m MAC) AppendText(b []byte) ([]byte, error) { return m.appendTo(b), nil }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return m.appendTo(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes what ParseMAC
// takes.
func (m *MAC) UnmarshalText(text []byte) error {
	if m.parseCanonical(text) {
		return nil
	}
	parsed, err := ParseMAC(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}

// parseCanonical reads the form that String writes, which is what events hold,
// without the allocations of net.ParseMAC.
func (m *MAC) parseCanonical(text []byte) bool {
	if len(text) != 3*len(m)-1 {
		return false
	}
	var parsed MAC
	for i := range parsed {
		high, low := hexDigit(text[3*i]), hexDigit(text[3*i+1])
		if high|low > 0xf || i > 0 && text[3*i-1] != ':' {
			return false
		}
		parsed[i] = high<<4 | low
	}
	*m = parsed
	return true
}

// hexDigit returns a digit's value, or 0xff.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

func (m MAC) appendTo(b []byte) []byte {
	const digits = "0123456789abcdef"
	for i, octet := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return b
}

// Uint64 returns the address as a number, for use as a key.
func (m MAC) Uint64() uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 |
		uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

// MACOf returns the address of which n is the number, as Uint64 gives it.
func MACOf(n uint64) MAC {
	return MAC{byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}
