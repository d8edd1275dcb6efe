package summary

import (
	"net/netip"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// Deed says in plain words who did what to whom. Each text is at most Max bytes of printable characters.
type Deed struct {
	// Full is the deed, such as
	//
	//	fe80::1 (02:00:00:00:00:02, Cisco Systems) tells all nodes: default router for 1800s
	//
	// and Brief the same with only the Ethernet address of the sender.
	Full, Brief string
	// More is the rest, to be appended to one of them, or empty.
	More string
}

// DeedOf returns who did what to whom by a frame.
func DeedOf(e *schemas.Event) Deed {
	var d Deed
	d.Full = line(make([]byte, 0, 128)).deed(e, line.sender).clean()
	d.Brief = line(make([]byte, 0, 128)).deed(e, line.station).clean()
	s := line(make([]byte, 0, 128)).taken(e)
	if e.ND != nil && e.ND.RA != nil {
		s = s.offer(e)
	}
	d.More = s.form(e).end(len(s)).clean()
	return d
}

// deed appends who does what to whom.
func (s line) deed(e *schemas.Event, who func(line, *schemas.Event) line) line {
	nd := e.ND
	if nd == nil {
		nd = &schemas.ND{}
	}
	switch s = who(s, e); {
	case nd.RS != nil:
		return s.text(" looks for routers")
	case nd.RA != nil:
		return s.text(" tells ").whom(e).role(e)
	case nd.NS != nil && e.Inet6 != nil && e.Inet6.Source.IsUnspecified():
		return s.text(" tests whether ").addr(nd.NS.TargetAddress).text(" is in use")
	case nd.NS != nil:
		return s.text(" asks for ").addr(nd.NS.TargetAddress)
	case nd.NA != nil:
		return s.claim(e)
	case nd.RD != nil && nd.RD.TargetAddress == nd.RD.DestinationAddress:
		return s.text(" tells ").whom(e).text(" that ").addr(nd.RD.DestinationAddress).text(" is on this link")
	case nd.RD != nil:
		return s.text(" tells ").whom(e).text(" to reach ").addr(nd.RD.DestinationAddress).text(" through ").addr(nd.RD.TargetAddress)
	}
	if s = s.text(" sends ").whom(e); e.Inet6 != nil && e.Inet6.Fragment != nil {
		return s.text(" a fragment that may hide ND")
	}
	return s.text(" a frame that may hide ND")
}

// sender appends the sender's address and its station with its vendor.
func (s line) sender(e *schemas.Event) line {
	if e.Inet6 == nil || e.Ethernet == nil {
		return s.station(e)
	}
	if e.Inet6.Source.IsUnspecified() || e.ND != nil && e.ND.NA != nil && e.Inet6.Source == e.ND.NA.TargetAddress {
		return s.station(e)
	}
	s = s.addr(e.Inet6.Source).text(" (").station(e)
	if e.Link != nil && e.Link.Station != nil && e.Link.Station.Vendor != "" {
		vendor, _, _ := strings.Cut(e.Link.Station.Vendor, ",") // without its legal form
		s = s.text(", ").text(vendor)
	}
	return s.text(")")
}

// station appends the sender's Ethernet address.
func (s line) station(e *schemas.Event) line {
	switch {
	case e.Ethernet != nil:
		return s.mac(e.Ethernet.Source)
	case e.Inet6 != nil:
		return s.addr(e.Inet6.Source)
	}
	return s.text("a station")
}

// whom appends the receiver.
func (s line) whom(e *schemas.Event) line {
	switch {
	case e.Inet6 == nil && e.Ethernet == nil:
		return s.text("the link")
	case e.Inet6 == nil:
		return s.mac(e.Ethernet.Destination)
	case e.Inet6.Destination == schemas.AllNodes:
		return s.text("all nodes")
	case e.Inet6.Destination == schemas.AllRouters:
		return s.text("all routers")
	}
	return s.addr(e.Inet6.Destination)
}

// claim appends what a Neighbor Advertisement does.
func (s line) claim(e *schemas.Event) line {
	target := e.ND.NA.TargetAddress
	if e.Link != nil && e.Link.DAD != nil {
		return s.text(" denies ").mac(e.Link.DAD.Prober).text(" the address ").addr(e.Link.DAD.Target)
	}
	if from := previous(e, target); from != nil {
		s = s.text(" takes ").addr(target).text(" from ").mac(*from)
	} else {
		s = s.text(" claims ").addr(target)
	}
	if to := e.ND.Opt; to != nil && len(to.TargetLinkLayer) > 0 && e.Ethernet != nil && to.TargetLinkLayer[0].Address != e.Ethernet.Source {
		s = s.text(" for ").mac(to.TargetLinkLayer[0].Address)
	}
	if e.Inet6 != nil && !e.Inet6.Destination.IsMulticast() {
		s = s.text(", to ").whom(e)
	}
	return s
}

// previous returns the station that an address is taken from, nil if it is from none.
func previous(e *schemas.Event, address netip.Addr) *schemas.MAC {
	if e.Link == nil {
		return nil
	}
	for i := range e.Link.Claim {
		if c := &e.Link.Claim[i]; c.Contested && c.Address == address {
			return c.Previous
		}
	}
	return nil
}

// taken appends which other addresses than the target of an advertisement the frame takes from whom.
func (s line) taken(e *schemas.Event) line {
	if e.Link == nil {
		return s
	}
	for i := range e.Link.Claim {
		c := &e.Link.Claim[i]
		if c.Contested && c.Previous != nil && (e.ND == nil || e.ND.NA == nil || e.ND.NA.TargetAddress != c.Address) {
			s = s.text(", takes ").addr(c.Address).text(" from ").mac(*c.Previous)
		}
	}
	return s
}

// role appends as what a Router Advertisement announces its sender, unless it differs from earlier ones: offer appends how.
func (s line) role(e *schemas.Event) line {
	switch ra := e.ND.RA; {
	case changed(e):
		return s
	case ra.Lifetime == 0:
		return s.text(": no default router")
	default:
		return s.text(": default router for ").seconds(uint32(ra.Lifetime))
	}
}

func changed(e *schemas.Event) bool {
	return e.Link != nil && e.Link.RA != nil && len(e.Link.RA.Change) > 0
}

// offer appends what a Router Advertisement offers, or how it has changed.
func (s line) offer(e *schemas.Event) line {
	o := e.ND.Opt
	switch {
	case changed(e):
		return s.text(": ").text(strings.Join(e.Link.RA.Change, "; "))
	case o == nil:
		return s
	}
	s = more(s, "prefix", o.PrefixInfo, func(s line, p *schemas.PrefixInfo) line {
		return s.addr(p.Prefix).text("/").number(uint64(p.PrefixLength))
	})
	s = more(s, "route", o.RouteInfo, func(s line, r *schemas.RouteInfo) line {
		return s.addr(r.Prefix).text("/").number(uint64(r.PrefixLength))
	})
	s = more(s, "DNS", o.RDNSS, func(s line, r *schemas.RDNSS) line {
		return few(s, r.Address, func(s line, a *netip.Addr) line { return s.addr(*a) })
	})
	return more(s, "search", o.DNSSL, func(s line, d *schemas.DNSSL) line {
		return few(s, d.Domain, func(s line, domain *string) line { return s.text(*domain) })
	})
}
