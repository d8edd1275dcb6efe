package port

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"golang.org/x/sys/unix"
)

// Port is a slave or master interface, or the entry of the configuration that no
// interface matches. It does not change once it is in use.
type Port struct {
	// Name is the interface's name, or the text of a pattern that matches none.
	Name string
	// Index is the interface's index; 0 if there is none.
	Index int
	// Source is the address that packets leave from; invalid if Why is set.
	Source netip.Addr
	MAC    schemas.MAC
	// ND reports whether the link has Ethernet frames and Neighbor Discovery, so
	// that targets can be solicited. Otherwise only echo requests can be sent.
	ND bool
	// Master is set for a master that is not a slave too.
	Master bool
	// Why says why nothing can be sent, as the end of a sentence that begins with
	// the name; empty if the port is usable.
	Why string
	// Link is the interface; nil if there is none.
	Link *iface.Link
	// Echo sends an ICMPv6 echo request without waiting; nil if Why is set.
	Echo     func(target netip.Addr, seq uint16, cookie uint64) error
	Counters *Counters
}

// Location is the place where a target answered.
type Location struct {
	On  *Port
	MAC *schemas.MAC // nil if unknown
	// Proxied: another router answered for it (RFC 4861, section 7.2.8).
	Proxied bool
}

// Requester is a station that solicited for a target.
type Requester struct {
	On   *Port
	Addr netip.Addr
	MAC  schemas.MAC
}

// newPort makes the Port of an interface; master says that it is a master and not a slave.
func newPort(l *iface.Link, master bool) *Port {
	p := &Port{Name: l.Name, Index: l.Index, MAC: l.MAC, Link: l, Master: master}
	p.ND = l.Ethernet() && l.Flags&unix.IFF_NOARP == 0 && l.MAC != schemas.MAC{}
	if l.Port() {
		p.Why = portOf(l, p.Kind())
	} else {
		p.Source, p.Why = source(l, p.ND)
	}
	return p
}

// Kind returns "slave", or "master" for a master that is not a slave too.
func (p *Port) Kind() string {
	if p.Master {
		return "master"
	}
	return "slave"
}

// named reports whether the interface has the name or the alternative name.
func (p *Port) named(name string) bool {
	return p.Name == name || p.Link != nil && slices.Contains(p.Link.AltNames, name)
}

// Same reports whether two ports are the same interface in the same condition.
func (p *Port) Same(o *Port) bool {
	return p.Name == o.Name && p.Index == o.Index && p.Source == o.Source && p.MAC == o.MAC && p.ND == o.ND && p.Why == o.Why
}

// portOf says which interface the user of a port may have meant. What hosts send to a port is
// received by the bridge, so that none of them is found behind the port.
func portOf(l *iface.Link, kind string) string {
	if l.MasterKind == "openvswitch" { // its master is the datapath, which is not the bridge's own interface
		return fmt.Sprintf("is a port of an Open vSwitch bridge: is the bridge the %s?", kind)
	}
	return fmt.Sprintf("is a port of %s: is %s the %s?", l.Master, l.Master, kind)
}

// source returns the address that packets leave the interface from, or why there is
// none.
//
// It prefers the link-local address. Every host can reply to that on its link. To a
// global address a host replies by its route to that prefix, which may lead elsewhere,
// because a router that relays has one /64 on several links. Router advertisements
// have introduced the router to the target by its link-local address too.
//
// Without Neighbor Discovery (nd is false) it prefers a global address: no one forwards a
// packet from a link-local address to a host behind the other end of a tunnel, and
// WireGuard drops what comes from an address that is not among the peer's AllowedIPs.
func source(l *iface.Link, nd bool) (netip.Addr, string) {
	switch {
	case l.Loopback():
		return netip.Addr{}, "is the loopback interface"
	case !l.Up():
		return netip.Addr{}, "is down"
	case !l.Running():
		return netip.Addr{}, "has no carrier"
	}
	var best *iface.Address
	for i := range l.Addresses {
		a := &l.Addresses[i]
		switch {
		case !a.Prefix.Addr().Is6():
		case best == nil,
			usable(a) && !usable(best),
			usable(a) == usable(best) && a.Prefix.Addr().IsLinkLocalUnicast() == nd && best.Prefix.Addr().IsLinkLocalUnicast() != nd:
			best = a
		}
	}
	switch {
	case best == nil:
		return netip.Addr{}, fmt.Sprintf("has no IPv6 address of its own (see the sysctl net.ipv6.conf.%s.disable_ipv6)", l.Name)
	case usable(best):
		return best.Prefix.Addr(), ""
	case best.Flags&unix.IFA_F_DADFAILED != 0:
		return netip.Addr{}, fmt.Sprintf("has only the address %v, which another host on the link has too", best.Prefix.Addr())
	}
	return netip.Addr{}, fmt.Sprintf("is coming up: duplicate address detection for %v is under way", best.Prefix.Addr())
}

// usable reports whether packets can leave from the address: duplicate address
// detection is over, or optimistic (RFC 4429).
func usable(a *iface.Address) bool {
	return a.Flags&unix.IFA_F_DADFAILED == 0 &&
		(a.Flags&unix.IFA_F_TENTATIVE == 0 || a.Flags&unix.IFA_F_OPTIMISTIC != 0)
}
