package sensor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas/iface"
)

// selection says which interfaces are captured.
type selection struct {
	interfaces, masters, proxies []iface.Pattern
}

// marks are members that the configuration sets in all events of an interface.
type marks struct{ master, proxy bool }

// all reports whether every Ethernet interface that is up is captured.
func (s selection) all() bool {
	return len(s.interfaces) == 0 && len(s.masters) == 0 && len(s.proxies) == 0
}

// patterns returns all patterns, each once.
func (s selection) patterns() []iface.Pattern {
	list := slices.Concat(s.masters, s.proxies, s.interfaces)
	slices.SortFunc(list, func(a, b iface.Pattern) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(list)
}

// byAddress reports whether the selection depends on the interfaces' addresses.
func (s selection) byAddress() bool {
	return slices.ContainsFunc(s.patterns(), func(p iface.Pattern) bool { return p.Prefix().IsValid() })
}

// selects reports whether the interface is to be captured, and its marks. captured says
// that it is captured already: without a configuration, an interface stays captured when
// it goes down.
func (s selection) selects(l *iface.Link, captured bool) (selected bool, m marks) {
	if !l.Ethernet() {
		return false, m
	}
	if s.all() {
		return l.Up() || captured, m
	}
	matches := func(p iface.Pattern) bool { return p.Matches(l) }
	m.master, m.proxy = slices.ContainsFunc(s.masters, matches), slices.ContainsFunc(s.proxies, matches)
	return m != marks{} || slices.ContainsFunc(s.interfaces, matches), m
}

// unmatched returns why the pattern selects no interface of the list to capture, or
// empty if it selects one.
func unmatched(p iface.Pattern, list []iface.Link) string {
	reason := "there is no such interface"
	if p.Prefix().IsValid() {
		reason = "no interface has an address in it"
	}
	for i := range list {
		switch l := &list[i]; {
		case !p.Matches(l):
		case l.Ethernet():
			return ""
		default:
			reason = fmt.Sprintf("%s has no Ethernet frames (link type %s)", l.Name, l.Type)
		}
	}
	return reason
}
