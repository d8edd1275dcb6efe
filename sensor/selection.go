//go:build linux

package sensor

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/sensor/internal/links"
)

// maxNameLength is the length in bytes of the longest interface name, which is
// an alternative name (ALTIFNAMSIZ in linux/if.h, less the final zero).
const maxNameLength = 127

// pattern selects interfaces by name or by address.
type pattern struct {
	text string
	// prefix is valid in a pattern for addresses.
	prefix netip.Prefix
}

// parsePattern refuses what can never match.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: strings.TrimSpace(text)}
	if p.text == "" {
		return p, errors.New("an element is empty")
	}
	if strings.ContainsRune(p.text, '/') {
		prefix, err := netip.ParsePrefix(p.text)
		if err != nil || prefix.Addr().Is4In6() {
			return p, fmt.Errorf("%q is not an address prefix such as 2001:db8::/64", p.text)
		}
		p.prefix = prefix
		return p, nil
	}
	if addr, err := netip.ParseAddr(p.text); err == nil && addr.Is6() {
		return p, fmt.Errorf("%q is an address; as a prefix it is %s/128", p.text, addr.WithZone(""))
	}
	if _, err := path.Match(p.text, ""); err != nil {
		return p, fmt.Errorf("%q is not a glob: a bracket is not closed or empty, or a backslash ends it", p.text)
	}
	// What the kernel does not allow in names, dev_valid_name in net/core/dev.c.
	if p.text == "." || p.text == ".." || strings.ContainsFunc(p.text, func(r rune) bool { return r == ':' || r <= ' ' || r == 0x7f }) {
		return p, fmt.Errorf("%q cannot be the name of an interface", p.text)
	}
	if p.exact() && len(p.text) > maxNameLength {
		return p, fmt.Errorf("%q is too long for the name of an interface", p.text)
	}
	return p, nil
}

// exact reports whether the pattern is the name of one interface.
func (p pattern) exact() bool {
	return !p.prefix.IsValid() && !strings.ContainsAny(p.text, `*?[\`)
}

func (p pattern) matches(l *links.Link) bool {
	if p.prefix.IsValid() {
		return slices.ContainsFunc(l.Addresses, p.prefix.Contains)
	}
	return p.matchesName(l.Name) || slices.ContainsFunc(l.AltNames, p.matchesName)
}

func (p pattern) matchesName(name string) bool {
	ok, err := path.Match(p.text, name)
	return err == nil && ok
}

// selection is which interfaces are captured.
type selection struct {
	interfaces, masters, proxies []pattern
}

// marks are what the configuration says of an interface in all its events.
type marks struct{ master, proxy bool }

func newSelection(c Config) (selection, error) {
	var s selection
	for _, list := range []struct {
		variable string
		texts    []string
		patterns *[]pattern
	}{
		{"SENSOR_INTERFACES", c.Interfaces, &s.interfaces},
		{"SENSOR_MASTERS", c.Masters, &s.masters},
		{"SENSOR_PROXIES", c.Proxies, &s.proxies},
	} {
		for _, text := range list.texts {
			p, err := parsePattern(text)
			if err != nil {
				return selection{}, fmt.Errorf("%s: %w; it takes interface names, globs and address prefixes separated by commas", list.variable, err)
			}
			*list.patterns = append(*list.patterns, p)
		}
	}
	return s, nil
}

// all reports whether every Ethernet interface that is up is captured.
func (s selection) all() bool {
	return len(s.interfaces) == 0 && len(s.masters) == 0 && len(s.proxies) == 0
}

// patterns returns all patterns, each once.
func (s selection) patterns() []pattern {
	list := slices.Concat(s.masters, s.proxies, s.interfaces)
	slices.SortFunc(list, func(a, b pattern) int { return strings.Compare(a.text, b.text) })
	return slices.Compact(list)
}

// byAddress reports whether the selection depends on the interfaces' addresses.
func (s selection) byAddress() bool {
	return slices.ContainsFunc(s.patterns(), func(p pattern) bool { return p.prefix.IsValid() })
}

// selects reports whether the interface is to be captured, and its marks. An
// interface that was selected for being up stays so when it goes down, which
// held tells.
func (s selection) selects(l *links.Link, held bool) (selected bool, m marks) {
	if !l.Ethernet() {
		return false, m
	}
	if s.all() {
		return l.Up || held, m
	}
	matches := func(p pattern) bool { return p.matches(l) }
	m.master, m.proxy = slices.ContainsFunc(s.masters, matches), slices.ContainsFunc(s.proxies, matches)
	return m != marks{} || slices.ContainsFunc(s.interfaces, matches), m
}

// unmatched returns why the pattern selects nothing in the list, and "" if it
// does.
func (p pattern) unmatched(list []links.Link) string {
	reason := "there is no such interface"
	if p.prefix.IsValid() {
		reason = "no interface has an address in it"
	}
	for i := range list {
		switch l := &list[i]; {
		case !p.matches(l):
		case l.Ethernet():
			return ""
		default:
			reason = fmt.Sprintf("%s has no Ethernet frames (link type %s)", l.Name, l.Type)
		}
	}
	return reason
}

// Missing returns which of the configured interfaces do not exist, as they stand
// in the configuration, and the names of the interfaces that do exist and can be
// captured. It is for programs that would rather end than wait, as Run does.
func Missing(c Config) (missing, existing []string, err error) {
	s, err := newSelection(c)
	if err != nil {
		return nil, nil, err
	}
	list, err := links.List(s.byAddress())
	if err != nil {
		return nil, nil, err
	}
	for _, p := range s.patterns() {
		if p.unmatched(list) != "" {
			missing = append(missing, p.text)
		}
	}
	for i := range list {
		if list[i].Ethernet() {
			existing = append(existing, list[i].Name)
		}
	}
	return missing, existing, nil
}
