package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// parseValue reads one value that a field is compared with. The error says what
// the field takes instead.
func parseValue(f *schemas.Field, value string) (Value, error) {
	switch f.Type {
	case schemas.EthernetAddress:
		mac, err := parseMAC(value)
		if err != nil {
			return Value{}, fmt.Errorf("field %s: %s is not an ethernet address such as %s", f.Name, quote(value), f.Example)
		}
		return exactly(mac.Uint64()), nil
	case schemas.IPv6Address:
		prefix, err := parsePrefix(value)
		if err != nil {
			return Value{}, fmt.Errorf("field %s: %w", f.Name, err)
		}
		return Value{Prefix: prefix}, nil
	case schemas.String:
		return parseString(f, value)
	}
	n, err := parseNumber(value, f.Max)
	if err != nil {
		return Value{}, fmt.Errorf("field %s: %s is not a %s from 0 to %d", f.Name, quote(value), f.Type, f.Max)
	}
	return exactly(n), nil
}

// maxPattern is the longest string or pattern that is asked for, in bytes.
const maxPattern = 1024

func parseString(f *schemas.Field, value string) (Value, error) {
	switch {
	case f.Enum != nil && !slices.Contains(f.Enum, value):
		return Value{}, fmt.Errorf("field %s: %s is not one of %s", f.Name, quote(value), strings.Join(f.Enum, ", "))
	case value == "":
		return Value{}, fmt.Errorf("field %s: the value is empty", f.Name)
	case len(value) > maxPattern:
		return Value{}, fmt.Errorf("field %s: the value has %d bytes; at most %d are taken", f.Name, len(value), maxPattern)
	}
	return Value{Str: value, Glob: f.Enum == nil && strings.ContainsAny(value, wildcards)}, nil
}

// parseNumber reads decimal digits, as NDPMon does.
func parseNumber(s string, most uint64) (uint64, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "+") {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && n > most {
		err = strconv.ErrRange
	}
	return n, err
}

// parseMAC reads an Ethernet address with colons or dashes in either case. An
// octet may be one digit, as ether_aton(3) takes it and NDPMon writes it.
func parseMAC(s string) (schemas.MAC, error) {
	s = strings.TrimSpace(s)
	octets := strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == '-' })
	if len(octets) == len(schemas.MAC{}) && strings.Count(s, ":")+strings.Count(s, "-") == len(octets)-1 {
		for i, o := range octets {
			if len(o) == 1 {
				octets[i] = "0" + o
			}
		}
		separator := ":"
		if strings.Contains(s, "-") {
			if strings.Contains(s, ":") {
				return schemas.MAC{}, strconv.ErrSyntax
			}
			separator = "-"
		}
		s = strings.Join(octets, separator)
	}
	return schemas.ParseMAC(s)
}

// parsePrefix reads an IPv6 address or a prefix. Bits of a prefix behind its
// length are cleared.
func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	text, length, isPrefix := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	switch {
	case err == nil && addr.Zone() != "":
		return netip.Prefix{}, fmt.Errorf("%s has a zone; ask for the field interface instead", quote(s))
	case err != nil || !addr.Is6():
		return netip.Prefix{}, fmt.Errorf("%s is not an ipv6 address or prefix such as fe80::/10", quote(s))
	case !isPrefix:
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	bits, err := parseNumber(length, uint64(addr.BitLen()))
	if err != nil || strings.TrimSpace(length) != length {
		return netip.Prefix{}, fmt.Errorf("%s: the prefix length is not a number from 0 to 128", quote(s))
	}
	return netip.PrefixFrom(addr, int(bits)).Masked(), nil
}
