// Package summary describes an event in one line.
package summary

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// Max bounds what Of returns, in bytes.
const Max = 400

// Of describes an event in one line, for a person:
//
//	NS fe80::1 (02:00:00:00:00:01) > ff02::1:ff00:42: who has 2001:db8::42, source MAC 02:00:00:00:00:01
//
// The line is at most Max bytes of printable characters, whatever the event holds.
func Of(e *schemas.Event) string {
	s, ok := line(make([]byte, 0, 256)).noFrame(e)
	if !ok {
		s = s.head(e).unusual(e).message(e.ND).options(e.ND)
	}
	return s.clean()
}

// noFrame describes an event that is no frame.
func (s line) noFrame(e *schemas.Event) (_ line, ok bool) {
	switch {
	case e.Lost != nil:
		return s.lost(e.Lost), true
	case e.Sensor != nil:
		return s.heartbeat(e.Sensor, " of a sensor that began to watch at "), true
	case e.Pinger != nil:
		return s.heartbeat(e.Pinger, " of a pinger that began to receive commands at "), true
	case e.Conflict != nil:
		return s.conflict(e.Conflict, e.Interface), true
	}
	return s, false
}

// line is the sentence as far as it is written.
type line []byte

// text appends no more of the text than clean can keep.
func (s line) text(text string) line { return append(s, text[:min(len(text), Max)]...) }

func (s line) number(n uint64) line   { return strconv.AppendUint(s, n, 10) }
func (s line) addr(a netip.Addr) line { return a.AppendTo(s) }
func (s line) mac(m schemas.MAC) line { return s.text(m.String()) }
func (s line) time(t time.Time) line  { return t.UTC().AppendFormat(s, "15:04:05.000") }
func (s line) date(t time.Time) line  { return t.UTC().AppendFormat(s, time.RFC3339) }

// flags appends the names of flags: letters together, words with spaces around.
func (s line) flags(names []string) line {
	s = s.text(", flags ")
	for i, name := range names {
		if i > 0 && len(names[i-1])+len(name) > 2 {
			s = s.text(" ")
		}
		s = s.text(name)
	}
	return s
}

// few appends what element appends for each of the first elements of a list, and how many there are beyond.
func few[T any](s line, list []T, element func(line, *T) line) line {
	const most = 4
	for i := range list {
		if i == most {
			return s.text(" and ").number(uint64(len(list) - most)).text(" more")
		}
		if i > 0 {
			s = s.text(" ")
		}
		s = element(s, &list[i])
	}
	return s
}

// more appends a list that has a name, unless it is empty.
func more[T any](s line, name string, list []T, element func(line, *T) line) line {
	if len(list) == 0 {
		return s
	}
	return few(s.text(", ").text(name).text(" "), list, element)
}

func (s line) seconds(n uint32) line {
	if n == 1<<32-1 {
		return s.text("infinity")
	}
	return append(s.number(uint64(n)), 's')
}

func (s line) lost(l *schemas.Lost) line {
	s = s.number(l.Kernel + l.Buffer).text(" frames lost between ").time(l.Since).text(" and ").time(l.Until)
	return s.text(": ").number(l.Kernel).text(" in the kernel, ").number(l.Buffer).text(" with the buffer full")
}

func (s line) heartbeat(state *schemas.Heartbeat, of string) line {
	if state.Stopped {
		s = s.text("last heartbeat")
	} else {
		s = s.text("heartbeat")
	}
	s = s.text(of).date(state.Started)
	return s.text(", one every ").seconds(state.Interval)
}

// conflict describes a conflict about an address that stays in use on an interface.
func (s line) conflict(c *schemas.Conflict, on string) line {
	s = s.addr(c.Address).text(" is in use on ").text(on).at(c.Ethernet)
	if c.DAD {
		return s.text(", so ndmon denied it to a host on ").text(c.OtherInterface).at(c.OtherEthernet)
	}
	return s.text(" and on ").text(c.OtherInterface).at(c.OtherEthernet).text(": traffic for it goes to ").text(on)
}

// at appends an Ethernet address, if there is one.
func (s line) at(m *schemas.MAC) line {
	if m == nil {
		return s
	}
	return s.text(" (").mac(*m).text(")")
}

// head appends the kind and the two ends.
func (s line) head(e *schemas.Event) line {
	switch e.Kind() {
	case schemas.KindRS:
		s = s.text("RS")
	case schemas.KindRA:
		s = s.text("RA")
	case schemas.KindNS:
		s = s.text("NS")
	case schemas.KindNA:
		s = s.text("NA")
	case schemas.KindRD:
		s = s.text("Redirect")
	default:
		s = s.text("frame that may hide ND")
	}
	if e.Inet6 != nil {
		s = s.text(" ").addr(e.Inet6.Source)
	}
	if e.Ethernet != nil {
		s = s.text(" (").mac(e.Ethernet.Source)
		if e.Link != nil && e.Link.Station != nil && e.Link.Station.Vendor != "" {
			s = s.text(", ").text(e.Link.Station.Vendor)
		}
		s = s.text(")")
	}
	if e.Inet6 != nil {
		s = s.text(" > ").addr(e.Inet6.Destination)
	} else if e.Ethernet != nil {
		s = s.text(" > ").mac(e.Ethernet.Destination)
	}
	if e.Ethernet != nil && e.Ethernet.VLAN != nil {
		s = s.text(" vlan ").number(uint64(*e.Ethernet.VLAN))
		if e.Ethernet.InnerVLAN != nil {
			s = s.text("/").number(uint64(*e.Ethernet.InnerVLAN))
		}
	}
	return s
}

func (s line) message(nd *schemas.ND) line {
	if nd == nil {
		return s
	}
	switch {
	case nd.RS != nil:
		s = s.text(": looks for routers")
	case nd.RA != nil:
		s = s.ra(nd)
	case nd.NS != nil:
		s = s.text(": who has ").addr(nd.NS.TargetAddress)
	case nd.NA != nil:
		s = s.text(": here is ").addr(nd.NA.TargetAddress)
		if flags := &schemas.AllFlags().NA; nd.NA.Flag != (schemas.NAFlags{}) {
			s = s.flags(flags.Names(flags.Encode(nd.NA.Flag)))
		}
	case nd.RD != nil:
		s = s.text(": reach ").addr(nd.RD.DestinationAddress)
		if nd.RD.TargetAddress == nd.RD.DestinationAddress {
			s = s.text(" on this link")
		} else {
			s = s.text(" by way of ").addr(nd.RD.TargetAddress)
		}
	}
	return s
}

func (s line) ra(nd *schemas.ND) line {
	ra := nd.RA
	s = s.text(": router lifetime ").seconds(uint32(ra.Lifetime))
	if ra.Lifetime == 0 && nd.Opt != nil {
		if i := slices.IndexFunc(nd.Opt.RouteInfo, router.IsDefault); i >= 0 {
			r := &nd.Opt.RouteInfo[i]
			s = s.text(", but a default router by its route to ").addr(r.Prefix).text("/").number(uint64(r.PrefixLength))
		}
	}
	if ra.Preference != "" && ra.Preference != schemas.PreferenceMedium {
		s = s.text(", preference ").text(ra.Preference)
	}
	if flags := &schemas.AllFlags().RA; ra.Flag != (schemas.RAFlags{}) {
		s = s.flags(flags.Names(flags.Encode(ra.Flag)))
	}
	if ra.CurHopLimit != 0 {
		s = s.text(", cur hop limit ").number(uint64(ra.CurHopLimit))
	}
	return s
}

func (s line) options(nd *schemas.ND) line {
	if nd == nil || nd.Opt == nil {
		return s
	}
	o := nd.Opt
	linkLayer := func(s line, l *schemas.LinkLayer) line { return s.mac(l.Address) }
	s = more(s, "source MAC", o.SourceLinkLayer, linkLayer)
	s = more(s, "target MAC", o.TargetLinkLayer, linkLayer)
	s = more(s, "prefix", o.PrefixInfo, func(s line, p *schemas.PrefixInfo) line {
		return s.addr(p.Prefix).text("/").number(uint64(p.PrefixLength)).
			text(" (valid ").seconds(p.ValidLifetime).text(", preferred ").seconds(p.PreferredLifetime).text(")")
	})
	s = more(s, "MTU", o.MTU, func(s line, m *schemas.MTU) line { return s.number(uint64(m.MTU)) })
	s = more(s, "route", o.RouteInfo, func(s line, r *schemas.RouteInfo) line {
		return s.addr(r.Prefix).text("/").number(uint64(r.PrefixLength)).text(" (").seconds(r.Lifetime).text(")")
	})
	s = more(s, "DNS", o.RDNSS, func(s line, r *schemas.RDNSS) line {
		return few(s, r.Address, func(s line, a *netip.Addr) line { return s.addr(*a) })
	})
	s = more(s, "search", o.DNSSL, func(s line, d *schemas.DNSSL) line {
		return few(s, d.Domain, func(s line, domain *string) line { return s.text(*domain) })
	})
	s = more(s, "NAT64", o.PREF64, func(s line, p *schemas.PREF64) line {
		return s.addr(p.Prefix).text("/").number(uint64(p.PrefixLength))
	})
	for _, statement := range o.Statements(nil, worded) {
		if s = s.text(", ").text(statement.Name()).text(" ").text(statement.Text); len(s) > Max {
			break
		}
	}
	return s
}

// worded reports whether options has words of its own for an option, or none.
func worded(member string) bool {
	switch member {
	case "sourcelinklayer", "targetlinklayer", "prefixinfo", "mtu", "routeinfo", "rdnss", "dnssl", "pref64", "redirectedheader":
		return true
	}
	return false
}

// unusual appends what sets the frame apart from a valid one. It comes before
// the content, of which a hostile message can have very much.
func (s line) unusual(e *schemas.Event) line {
	start := len(s)
	s = s.form(e)
	if l := e.Link; l != nil {
		for i := range l.Claim {
			if c := &l.Claim[i]; c.Contested && c.Previous != nil {
				s = s.next(start).addr(c.Address).text(" was at ").mac(*c.Previous).text(", is claimed for ").mac(c.Ethernet)
			}
		}
		if l.DAD != nil {
			s = s.next(start).mac(l.DAD.Prober).text(" was about to take ").addr(l.DAD.Target)
		}
		if l.RA != nil && len(l.RA.Change) > 0 {
			s = s.next(start).text("changed: ").text(strings.Join(l.RA.Change, "; "))
		}
	}
	return s.end(start)
}

// form appends what is unusual in the form of the frame, after an opening bracket.
func (s line) form(e *schemas.Event) line {
	start := len(s)
	if e.ICMP6 != nil && e.Inet6 != nil && e.Inet6.HopLimit != 255 {
		s = s.next(start).text("hop limit ").number(uint64(e.Inet6.HopLimit))
	}
	if e.Inet6 != nil && e.Inet6.Fragment != nil {
		s = s.next(start).text("fragment at ").number(uint64(e.Inet6.Fragment.Offset))
		if e.Inet6.Fragment.More {
			s = s.text(" of more")
		}
	}
	if e.ND != nil && e.ND.Malformed != "" {
		s = s.next(start).text("malformed: ").text(e.ND.Malformed)
	}
	return s
}

// next begins the first part of what is in brackets from start on, or another one.
func (s line) next(start int) line {
	if len(s) == start {
		return s.text(" [")
	}
	return s.text(", ")
}

// end ends the brackets, if there are any.
func (s line) end(start int) line {
	if len(s) == start {
		return s
	}
	return s.text("]")
}

// clean makes the line printable and short: names and domains come from the wire.
func (s line) clean() string {
	const ellipsis = "…"
	out := make([]byte, 0, min(len(s), Max))
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		s = s[size:]
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			r = '?'
		}
		if len(out)+utf8.RuneLen(r) > Max-len(ellipsis) {
			return string(append(out, ellipsis...))
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
