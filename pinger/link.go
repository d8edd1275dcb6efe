package pinger

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// link is an interface as the kernel has it.
type link struct {
	name      string
	index     int
	flags     uint32 // unix.IFF_*
	loopback  bool
	master    string // of which bridge, bond or VRF it is a port; "" if of none
	addresses []address
}

// address is an IPv6 address of an interface.
type address struct {
	addr   netip.Addr
	prefix netip.Prefix
	flags  int // unix.IFA_F_*
}

// usable reports whether the address can be a source: duplicate address
// detection is over, or optimistic (RFC 4429).
func (a *address) usable() bool {
	return a.flags&unix.IFA_F_DADFAILED == 0 &&
		(a.flags&unix.IFA_F_TENTATIVE == 0 || a.flags&unix.IFA_F_OPTIMISTIC != 0)
}

// source returns the address that echoes out of the interface are sent from, or
// why there is none.
//
// It is the link-local one if possible. Every host can answer to that on its
// link, while to a global address it answers over the route that it has to its
// prefix, which may well be another way: a user of a relay has one /64 on several
// links. The target sees the router by the address by which it knows it from
// router advertisements.
func (l *link) source() (netip.Addr, string) {
	switch {
	case l.loopback:
		return netip.Addr{}, "is the loopback interface"
	case l.flags&unix.IFF_UP == 0:
		return netip.Addr{}, "is down"
	case l.flags&unix.IFF_RUNNING == 0:
		return netip.Addr{}, "has no carrier"
	}
	var best *address
	for i := range l.addresses {
		a := &l.addresses[i]
		switch {
		case best == nil,
			a.usable() && !best.usable(),
			a.usable() == best.usable() && a.addr.IsLinkLocalUnicast() && !best.addr.IsLinkLocalUnicast():
			best = a
		}
	}
	switch {
	case best == nil && l.master != "":
		return netip.Addr{}, fmt.Sprintf("is a port of %s and has no IPv6 address of its own: is %s the slave?", l.master, l.master)
	case best == nil:
		return netip.Addr{}, fmt.Sprintf("has no IPv6 address of its own (see the sysctl net.ipv6.conf.%s.disable_ipv6)", l.name)
	case best.usable():
		return best.addr, ""
	case best.flags&unix.IFA_F_DADFAILED != 0:
		return netip.Addr{}, fmt.Sprintf("has only the address %v, which another host on the link has too", best.addr)
	}
	return netip.Addr{}, fmt.Sprintf("is coming up: duplicate address detection for %v is under way", best.addr)
}

// routable reports whether the kernel takes an IPv6 route through the interface
// and keeps it.
func (l *link) routable() bool { return l.flags&unix.IFF_UP != 0 && len(l.addresses) > 0 }

// slave is an interface that echoes go out of, or what is said in place of one
// that is not there. It does not change once it is part of a prober's state.
type slave struct {
	name   string
	index  int // of the interface; 0 if there is none
	source netip.Addr
	// why says why no echo can leave, as the end of a sentence; "" if one can.
	why     string
	conn    sender // nil if why is set
	metrics *slaveMetrics
}

// sender sends an echo request out of a slave, without waiting.
type sender interface {
	send(target netip.Addr, seq uint16, cookie uint64) error
}

// state is what the pinger knows of the host's interfaces at a time. It does not
// change; a change in the kernel makes a new one.
type state struct {
	slaves []*slave // in the order of the configuration
	own    map[netip.Addr]struct{}
}

// newState selects the slaves among the links; they have no conn yet. A pattern that selects none has a
// place among them, so that results and log say so.
func newState(patterns []pattern, links []link, metrics func(slave string) *slaveMetrics) *state {
	s := &state{own: make(map[netip.Addr]struct{})}
	for i := range links {
		for _, a := range links[i].addresses {
			s.own[a.addr] = struct{}{}
			// A router answers to the subnet-router anycast address of its
			// prefixes (RFC 4291, section 2.6.1).
			s.own[a.prefix.Masked().Addr()] = struct{}{}
		}
	}
	seen := make(map[string]bool)
	add := func(sl *slave) {
		if !seen[sl.name] {
			seen[sl.name] = true
			sl.metrics = metrics(sl.name)
			s.slaves = append(s.slaves, sl)
		}
	}
	for _, p := range patterns {
		found := false
		for i := range links {
			if p.matches(&links[i]) {
				found = true
				add(newSlave(&links[i]))
			}
		}
		switch {
		case found:
		case p.exact():
			add(&slave{name: p.text, why: "does not exist"})
		case p.prefix.IsValid():
			add(&slave{name: p.text, why: "is a prefix that no interface has an address in"})
		default:
			add(&slave{name: p.text, why: "is a glob that no interface matches"})
		}
	}
	return s
}

func newSlave(l *link) *slave {
	source, why := l.source()
	return &slave{name: l.name, index: l.index, source: source, why: why}
}

// slave returns the slave of a name, nil if there is none.
func (s *state) slave(name string) *slave {
	for _, sl := range s.slaves {
		if sl.name == name {
			return sl
		}
	}
	return nil
}

// isOwn reports whether the address is one of the host's.
func (s *state) isOwn(a netip.Addr) bool {
	_, ok := s.own[a]
	return ok
}
