package iface

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas/glob"
)

// MaxNameLength is the length in bytes of the longest name of an interface, which is
// an alternative one (ALTIFNAMSIZ in linux/if.h, less the final zero).
const MaxNameLength = 127

// linkLocal has a /64 in which every interface with IPv6 holds an address (RFC 4291,
// section 2.5.6).
var linkLocal = netip.MustParsePrefix("fe80::/10")

// Pattern selects interfaces: by name, by a glob of names (package glob), or by an address prefix,
// which selects the interfaces that hold an address in it. Names are alternative names (ip-link(8),
// altname) too. Two patterns are equal (==) if they are written alike.
type Pattern struct {
	text   string
	prefix netip.Prefix // valid in a pattern for addresses
}

// ParsePattern parses what a user writes for one or several interfaces. It ignores
// spaces around it and refuses what cannot match. The error does not name the option or
// variable, which the caller knows.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: strings.TrimSpace(text)}
	if p.text == "" {
		return p, errors.New("has an empty entry")
	}
	if strings.Contains(p.text, "/") {
		prefix, err := netip.ParsePrefix(p.text)
		switch {
		case err != nil || prefix.Addr().Is4In6():
			return p, fmt.Errorf("%q is not an address prefix such as 2001:db8::/64", p.text)
		case linkLocal.Contains(prefix.Addr()) && prefix.Bits() <= 64:
			return p, fmt.Errorf("%q selects no interface in particular, because each one with IPv6 has a link-local address", p.text)
		}
		p.prefix = prefix.Masked()
		return p, nil
	}
	if addr, err := netip.ParseAddr(p.text); err == nil {
		addr = addr.WithZone("").Unmap()
		return p, fmt.Errorf("%q is an address; as a prefix it is %s/%d", p.text, addr, addr.BitLen())
	}
	if err := glob.Check(p.text); err != nil {
		return p, fmt.Errorf("%q %w", p.text, err)
	}
	// What the kernel does not allow in names: dev_valid_name in net/core/dev.c.
	if p.text == "." || p.text == ".." || strings.ContainsFunc(p.text, func(r rune) bool { return r == ':' || r <= ' ' || r == 0x7f }) {
		return p, fmt.Errorf("%q cannot be the name of an interface", p.text)
	}
	if p.Exact() && len(p.text) > MaxNameLength {
		return p, fmt.Errorf("%q is too long for the name of an interface, which has at most %d bytes", p.text, MaxNameLength)
	}
	return p, nil
}

// ParsePatterns parses the entries of an option or variable. The error is one line
// that reports all bad entries and says what is accepted. The caller puts the name of
// the setting before it, as the user wrote it:
//
//	return fmt.Errorf("PINGER_SLAVES: %w", err)
func ParsePatterns(texts []string) ([]Pattern, error) {
	var patterns []Pattern
	var faults []string
	for _, text := range texts {
		p, err := ParsePattern(text)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		patterns = append(patterns, p)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s; give interface names, globs (eth*) or address prefixes (2001:db8::/64), separated by commas", strings.Join(faults, "; "))
	}
	return patterns, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Prefix returns the address prefix; it is not valid in a pattern for names.
func (p Pattern) Prefix() netip.Prefix { return p.prefix }

// Exact reports whether the pattern is the name of one interface.
func (p Pattern) Exact() bool { return !p.prefix.IsValid() && !glob.HasMeta(p.text) }

// Matches reports whether the pattern selects the interface. Only its name selects a
// loopback interface: globs and prefixes do not. For a prefix the interface must have
// been listed with its addresses.
func (p Pattern) Matches(l *Link) bool {
	switch {
	case p.Exact():
		return l.Name == p.text || slices.Contains(l.AltNames, p.text)
	case l.Loopback():
		return false
	case p.prefix.IsValid():
		return slices.ContainsFunc(l.Addresses, func(a Address) bool { return p.prefix.Contains(a.Prefix.Addr()) })
	}
	match := func(name string) bool { return glob.Match(p.text, name) }
	return match(l.Name) || slices.ContainsFunc(l.AltNames, match)
}
