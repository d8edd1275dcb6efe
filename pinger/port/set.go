package port

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
)

// Set is the slaves and masters, and the host's own addresses, at one moment.
type Set struct {
	Slaves  []*Port // in the order of the configuration
	Masters []*Port // an interface that is a slave too has the same Port in both
	own     map[netip.Addr]struct{}
}

// NewSet selects slaves and masters among the links, which are listed with their
// addresses. A pattern that matches no link has an unusable Port, so that results and
// log report it. Echo of the ports is not set yet.
func NewSet(slaves, masters []iface.Pattern, links []iface.Link, metrics *Metrics) *Set {
	s := &Set{own: make(map[netip.Addr]struct{})}
	for i := range links {
		for _, a := range links[i].Addresses {
			s.own[a.Prefix.Addr()] = struct{}{}
			// A router has the subnet-router anycast address of its prefixes (RFC
			// 4291, section 2.6.1), but between two routers that is the other one's
			// own address (RFC 6164, section 5.1).
			if a.Prefix.Bits() < 127 {
				s.own[a.Prefix.Masked().Addr()] = struct{}{}
			}
		}
	}
	s.Slaves = selected(slaves, links, false)
	s.Masters = selected(masters, links, true)
	for i, m := range s.Masters {
		if both := slices.IndexFunc(s.Slaves, func(p *Port) bool { return p.Name == m.Name }); both >= 0 {
			s.Masters[i] = s.Slaves[both]
		}
	}
	for _, p := range s.All() {
		p.Counters = metrics.counters(p.Name)
	}
	return s
}

func selected(patterns []iface.Pattern, links []iface.Link, master bool) (list []*Port) {
	add := func(p *Port) {
		if !slices.ContainsFunc(list, func(o *Port) bool { return o.Name == p.Name }) {
			list = append(list, p)
		}
	}
	for _, pattern := range patterns {
		found := false
		for i := range links {
			if pattern.Matches(&links[i]) {
				found = true
				add(newPort(&links[i], master))
			}
		}
		why := "is a glob that no interface matches"
		switch {
		case found:
			continue
		case pattern.Exact():
			why = "does not exist"
		case pattern.Prefix().IsValid():
			why = "is a prefix that no interface has an address in"
		}
		add(&Port{Name: pattern.String(), Why: why, Master: master})
	}
	return list
}

// All returns all ports, each once.
func (s *Set) All() []*Port {
	list := slices.Clone(s.Slaves)
	for _, m := range s.Masters {
		if m.Master {
			list = append(list, m)
		}
	}
	return list
}

// Named returns the port of a name or alternative name, nil if there is none.
func (s *Set) Named(name string) *Port {
	return s.find(func(p *Port) bool { return p.named(name) })
}

// At returns the port that is the interface with an index, nil if there is none.
func (s *Set) At(index int) *Port {
	return s.find(func(p *Port) bool { return p.Index == index })
}

func (s *Set) find(is func(*Port) bool) *Port {
	for _, list := range [...][]*Port{s.Slaves, s.Masters} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// Behind returns the ports to look behind for a target that was solicited; nil stands
// for a target that no solicitation of this host asked for. The port where it was
// solicited is left out, because a target there answers by itself. Masters are
// included only with proxy, and only for a requester behind a slave or without a
// solicitation.
func (s *Set) Behind(sol *schemas.Solicitation, proxy bool) []*Port {
	list := s.Slaves
	solicited := func(p *Port) bool { return sol != nil && p.named(sol.Interface) }
	if proxy && (sol == nil || sol.Direction == schemas.In && slices.ContainsFunc(s.Slaves, solicited)) {
		list = s.All()
	}
	if !slices.ContainsFunc(list, solicited) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), solicited)
}

// Usable returns the names of the slaves that are usable.
func (s *Set) Usable() (names []string) {
	for _, p := range s.Slaves {
		if p.Why == "" {
			names = append(names, p.Name)
		}
	}
	return names
}

// Unusable returns why no command can be carried out, each of which sends one probe
// per slave out of at most rate per second; nil if commands can be carried out.
func (s *Set) Unusable(rate int) error {
	if len(s.Slaves) > rate {
		return fmt.Errorf("no command can be carried out: each takes a probe out of every slave, and %d are more than PINGER_RATE=%d", len(s.Slaves), rate)
	}
	var all []string
	for _, p := range s.Slaves {
		if p.Why == "" {
			return nil
		}
		all = append(all, p.Name+" "+p.Why)
	}
	return errors.New("no slave is usable: " + strings.Join(all, "; "))
}

// Owns reports whether the address is one of the host's.
func (s *Set) Owns(a netip.Addr) bool {
	_, ok := s.own[a]
	return ok
}
