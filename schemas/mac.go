package schemas

import "github.com/ndmon/ndmon/schemas/internal/wire"

// MAC is a 48-bit Ethernet address. Its text form is lower-case hexadecimal
// with colons, 02:00:00:00:00:01.
type MAC [6]byte

// ParseMAC reads an Ethernet address written with colons, dashes or dots, in
// either case. It refuses addresses that are not 48 bits long.
func ParseMAC(s string) (MAC, error) { return wire.ParseEthernet([]byte(s)) }

// IsMulticast reports whether the address is a multicast or broadcast address
// (IEEE 802, the I/G bit).
func (m MAC) IsMulticast() bool { return m[0]&1 == 1 }

// IsLocal reports whether the address is locally administered, so that its first
// octets name no maker (IEEE 802, the U/L bit).
func (m MAC) IsLocal() bool { return m[0]&2 == 2 }

// String returns the text form.
func (m MAC) String() string { return string(wire.AppendEthernet(make([]byte, 0, 17), m)) }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return wire.AppendEthernet(nil, m), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It reads what ParseMAC reads.
func (m *MAC) UnmarshalText(text []byte) (err error) {
	*m, err = wire.ParseEthernet(text)
	return err
}

// Uint64 returns the address as a number, for use as a key.
func (m MAC) Uint64() uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 |
		uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

// MACOf returns the address whose Uint64 is n.
func MACOf(n uint64) MAC {
	return MAC{byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}
