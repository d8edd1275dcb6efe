package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/schemas"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// beliefs are what a host believes of its link, each in words that claims has
// too.
type beliefs map[string]bool

func (b beliefs) add(format string, args ...any) { b[fmt.Sprintf(format, args...)] = true }

// without returns what is not in the other, in its order.
func (b beliefs) without(other beliefs) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b)), func(s string) bool { return other[s] })
}

// The words of beliefs.
const (
	routeVia  = "%v is behind %v"
	onLink    = "%v is on the link"
	takes     = "takes addresses in %v"
	stationAt = "%v is at %v"
	isRouter  = "%v is a router"
	reachable = "%v is reachable"
	taken     = "%v is another's"
	hopLimit  = "hop limit %v"
	mtu       = "MTU %v"
	reachTime = "reachable time %v ms"
)

// beliefs returns what the host believes now, and where it sends what is for a
// destination.
func (v *victim) beliefs(destination netip.Addr) beliefs {
	v.t.Helper()
	b := beliefs{}
	addrs, err := v.Netlink.AddrList(v.Link("eth0"), netlink.FAMILY_V6)
	v.must(err)
	for _, a := range addrs {
		prefix := prefixOf(a.IPNet)
		switch {
		case a.Flags&unix.IFA_F_DADFAILED != 0:
			b.add(taken, prefix.Addr())
		case a.Flags&unix.IFA_F_PERMANENT == 0:
			b.add(takes, prefix.Masked())
		}
	}
	routes, err := v.Netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{LinkIndex: v.index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	v.must(err)
	for _, r := range routes {
		dst := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if r.Dst != nil {
			dst = prefixOf(r.Dst)
		}
		if len(r.Gw) == 0 {
			b.add(onLink, dst)
		} else {
			b.add(routeVia, dst, addressOf(r.Gw))
		}
	}
	if destination.IsValid() {
		routes, err := v.Netlink.RouteGet(destination.AsSlice())
		v.must(err)
		for _, r := range routes {
			if len(r.Gw) == 0 {
				b.add(routeVia, destination, destination)
			} else {
				b.add(routeVia, destination, addressOf(r.Gw))
			}
		}
	}
	neighbours, err := v.Netlink.NeighList(v.index, netlink.FAMILY_V6)
	v.must(err)
	for _, n := range neighbours {
		addr := addressOf(n.IP)
		if n.State == netlink.NUD_NOARP {
			continue // a group's, of its own
		}
		if len(n.HardwareAddr) > 0 && n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) == 0 {
			b.add(stationAt, addr, n.HardwareAddr)
		}
		if n.Flags&netlink.NTF_ROUTER != 0 {
			b.add(isRouter, addr)
		}
		if n.State == netlink.NUD_REACHABLE {
			b.add(reachable, addr)
		}
	}
	b.add(hopLimit, v.sysctl("conf/eth0/hop_limit"))
	b.add(mtu, v.sysctl("conf/eth0/mtu"))
	b.add(reachTime, v.sysctl("neigh/eth0/base_reachable_time_ms"))
	return b
}

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To16())
	return a
}

func prefixOf(n *net.IPNet) netip.Prefix {
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addressOf(n.IP), bits)
}

// claims returns what an event would have its receiver believe.
func claims(e *schemas.Event) beliefs {
	b := beliefs{}
	opt := e.ND.Opt
	if opt == nil {
		opt = &schemas.Options{}
	}
	source := e.Inet6.Source
	lladdr := func(addr netip.Addr, list []schemas.LinkLayer) {
		for _, o := range list {
			b.add(stationAt, addr, o.Address)
		}
	}
	switch nd := e.ND; {
	case nd.RA != nil:
		b.add(isRouter, source)
		b.add(hopLimit, nd.RA.CurHopLimit)
		b.add(reachTime, nd.RA.ReachableTimer)
		lladdr(source, opt.SourceLinkLayer)
		if nd.RA.Lifetime > 0 {
			b.add(routeVia, "::/0", source)
		}
		for _, o := range opt.PrefixInfo {
			prefix := netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked()
			if o.Flag.OnLink {
				b.add(onLink, prefix)
			}
			if o.Flag.Autoconf {
				b.add(takes, prefix)
			}
		}
		for _, o := range opt.RouteInfo {
			b.add(routeVia, netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked(), source)
		}
		for _, o := range opt.MTU {
			b.add(mtu, o.MTU)
		}
	case nd.NS != nil && source.IsUnspecified():
		b.add(taken, nd.NS.TargetAddress)
	case nd.NA != nil:
		target := nd.NA.TargetAddress
		b.add(taken, target)
		lladdr(target, opt.TargetLinkLayer)
		if nd.NA.Flag.Router {
			b.add(isRouter, target)
		}
		if nd.NA.Flag.Solicited {
			b.add(reachable, target)
		}
	case nd.RD != nil:
		b.add(routeVia, nd.RD.DestinationAddress, nd.RD.TargetAddress)
		b.add(isRouter, nd.RD.TargetAddress)
		lladdr(nd.RD.TargetAddress, opt.TargetLinkLayer)
	default:
		lladdr(source, opt.SourceLinkLayer)
	}
	return b
}
