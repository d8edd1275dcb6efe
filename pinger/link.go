package pinger

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// link is an interface as the kernel has it.
type link struct {
	name      string
	index     int
	flags     uint32 // unix.IFF_*
	loopback  bool
	nd        bool        // it has Ethernet frames, and the kernel does ND on it
	mac       schemas.MAC // if nd
	master    string      // of which bridge, bond or VRF it is a port; "" if of none
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

// slave is an interface that targets are looked for behind, or what is said in place
// of one that is not there. With Config.Proxy the masters are such interfaces too.
// An interface may be both.
// It does not change once it is part of a prober's state.
type slave struct {
	name   string
	index  int // of the interface; 0 if there is none
	source netip.Addr
	mac    schemas.MAC
	// nd: targets behind it can be solicited. Otherwise an echo has to do.
	nd bool
	// master: it is a master, and no slave.
	master bool
	// why says why nothing can leave, as the end of a sentence; "" if it can.
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
	slaves  []*slave // in the order of the configuration
	masters []*slave // those that are slaves too are the same
	own     map[netip.Addr]struct{}
}

// newState selects slaves and masters among the links; they have no conn yet. A
// pattern that selects none has a place among them, so that results and log say so.
func newState(slaves, masters []pattern, links []link, metrics func(slave string) *slaveMetrics) *state {
	s := &state{own: make(map[netip.Addr]struct{})}
	for i := range links {
		for _, a := range links[i].addresses {
			s.own[a.addr] = struct{}{}
			// A router answers to the subnet-router anycast address of its
			// prefixes (RFC 4291, section 2.6.1).
			s.own[a.prefix.Masked().Addr()] = struct{}{}
		}
	}
	s.slaves = selected(slaves, links)
	s.masters = selected(masters, links)
	for i, m := range s.masters {
		if both := slices.IndexFunc(s.slaves, func(sl *slave) bool { return sl.name == m.name }); both >= 0 {
			s.masters[i] = s.slaves[both]
		} else {
			m.master = true
		}
	}
	for _, sl := range s.ports() {
		sl.metrics = metrics(sl.name)
	}
	return s
}

func selected(patterns []pattern, links []link) (list []*slave) {
	add := func(sl *slave) {
		if !slices.ContainsFunc(list, func(o *slave) bool { return o.name == sl.name }) {
			list = append(list, sl)
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
	return list
}

func newSlave(l *link) *slave {
	source, why := l.source()
	return &slave{name: l.name, index: l.index, source: source, mac: l.mac, nd: l.nd, why: why}
}

// same reports whether two are the same interface in the same condition.
func (s *slave) same(o *slave) bool {
	return s.name == o.name && s.index == o.index && s.source == o.source && s.mac == o.mac && s.nd == o.nd && s.why == o.why
}

// ports are all interfaces, each once.
func (s *state) ports() []*slave {
	list := slices.Clone(s.slaves)
	for _, m := range s.masters {
		if m.master {
			list = append(list, m)
		}
	}
	return list
}

// port returns the slave or master of a name, nil if there is none.
func (s *state) port(name string) *slave {
	return s.find(func(sl *slave) bool { return sl.name == name })
}

// at returns the slave or master that is the interface with an index, nil if none
// is.
func (s *state) at(index int) *slave {
	return s.find(func(sl *slave) bool { return sl.index == index })
}

func (s *state) find(is func(*slave) bool) *slave {
	for _, list := range [...][]*slave{s.slaves, s.masters} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// behind returns the interfaces behind which a target may be that was solicited: not
// where that was, for there it answers by itself. What is on the masters is looked
// for only for those behind the slaves, or for nobody on the wire, and only to
// proxy for it.
func (s *state) behind(sol *schemas.Solicitation, proxy bool) []*slave {
	list := s.slaves
	asked := func(sl *slave) bool { return sol != nil && sl.name == sol.Interface }
	if proxy && (sol == nil || sol.Direction == schemas.In && slices.ContainsFunc(s.slaves, asked)) {
		list = s.ports()
	}
	if !slices.ContainsFunc(list, asked) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), asked)
}

// unusable returns why no command can be carried out, which may take at most rate
// probes, or nil.
func (s *state) unusable(rate int) error {
	if len(s.slaves) > rate {
		return fmt.Errorf("no command can be carried out: each takes a probe out of every slave, and %d are more than PINGER_RATE=%d", len(s.slaves), rate)
	}
	var all []string
	for _, sl := range s.slaves {
		if sl.why == "" {
			return nil
		}
		all = append(all, sl.name+" "+sl.why)
	}
	return errors.New("no slave is usable: " + strings.Join(all, "; "))
}

// isOwn reports whether the address is one of the host's.
func (s *state) isOwn(a netip.Addr) bool {
	_, ok := s.own[a]
	return ok
}
