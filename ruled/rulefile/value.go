package rulefile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// parseValue reads one value that a field is compared with. The error says what values the
// field has.
func parseValue(f *schemas.Field, value string) (rules.Value, error) {
	switch f.Type {
	case schemas.EthernetAddress:
		mac, err := markup.ParseMAC(value)
		if err != nil {
			return rules.Value{}, fmt.Errorf("field %s: %s is not an ethernet address such as %s", f.Name, printable.Quote(value), f.Example)
		}
		return exactly(mac.Uint64()), nil
	case schemas.IPv6Address:
		prefix, err := parsePrefix(value)
		if err != nil {
			return rules.Value{}, fmt.Errorf("field %s: %w", f.Name, err)
		}
		return rules.Value{Prefix: prefix}, nil
	case schemas.String:
		return parseString(f, value)
	}
	n, err := markup.ParseNumber(value, f.Max)
	if err != nil {
		return rules.Value{}, fmt.Errorf("field %s: %s is not a %s from 0 to %d", f.Name, printable.Quote(value), f.Type, f.Max)
	}
	return exactly(n), nil
}

// maxPattern is the longest string or pattern of a condition, in bytes.
const maxPattern = 1024

func parseString(f *schemas.Field, value string) (rules.Value, error) {
	switch {
	case f.Enum != nil && !slices.Contains(f.Enum, value):
		return rules.Value{}, fmt.Errorf("field %s: %s is not one of %s", f.Name, printable.Quote(value), strings.Join(f.Enum, ", "))
	case value == "":
		return rules.Value{}, fmt.Errorf("field %s: the value is empty", f.Name)
	case len(value) > maxPattern:
		return rules.Value{}, fmt.Errorf("field %s: the value has %d bytes; at most %d are taken", f.Name, len(value), maxPattern)
	}
	if f.Enum != nil || !glob.HasMeta(value) {
		return rules.Value{Str: value}, nil
	}
	if err := glob.Check(value); err != nil {
		return rules.Value{}, fmt.Errorf("field %s: %s %w", f.Name, printable.Quote(value), err)
	}
	return rules.Value{Str: value, Glob: true}, nil
}

// parsePrefix reads an IPv6 address or a prefix. Bits of a prefix behind its
// length are cleared.
func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	text, length, isPrefix := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	switch {
	case err == nil && addr.Zone() != "":
		return netip.Prefix{}, fmt.Errorf("%s has a zone; ask for the field interface instead", printable.Quote(s))
	case err != nil || !addr.Is6():
		return netip.Prefix{}, fmt.Errorf("%s is not an ipv6 address or prefix such as fe80::/10", printable.Quote(s))
	case !isPrefix:
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	bits, err := markup.ParseNumber(length, uint64(addr.BitLen()))
	if err != nil || strings.TrimSpace(length) != length {
		return netip.Prefix{}, fmt.Errorf("%s: the prefix length is not a number from 0 to 128", printable.Quote(s))
	}
	return netip.PrefixFrom(addr, int(bits)).Masked(), nil
}

// exactly returns the value that one number, or Ethernet address, matches.
func exactly(n uint64) rules.Value { return rules.Value{Min: n, Max: n} }
