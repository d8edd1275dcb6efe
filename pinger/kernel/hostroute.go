package kernel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeMetric is the metric of the host routes: larger than that of every other route,
// so that a host route of another program takes precedence.
const routeMetric = 4861

// LinkOf returns the index of the interface on whose link the kernel itself looks for a
// target; 0 if there is none. The pinger's host routes do not count.
func (k *Kernel) LinkOf(target netip.Addr) (index int, err error) {
	r, err := k.routeTo(target, 0)
	if r.ours() || r.gateway {
		return 0, err
	}
	return r.link, err
}

// OnLink reports whether a target is on-link at an interface: a route to its prefix,
// but not a default route, leads there without a gateway.
func (k *Kernel) OnLink(target netip.Addr, index int) (bool, error) {
	r, err := k.routeTo(target, index)
	return r.link == index && !r.gateway, err
}

// Leads reports whether a target is the address of a peer of a tunnel: a route through it,
// or what WireGuard allows its peers, is more specific than the route that makes the target
// on-link at another interface. routed is set if the kernel sends what is for the target
// through the tunnel already. The pinger's host routes do not count.
func (k *Kernel) Leads(target netip.Addr, tunnel, onLink int) (peer, routed bool, err error) {
	at, err := k.routeTo(target, onLink)
	if err != nil || at.link != onLink || at.gateway {
		return false, false, err
	}
	r, err := k.routeTo(target, 0)
	if r.ours() {
		r, err = k.routeTo(target, tunnel)
	}
	routed = r.link == tunnel && !r.ours() && r.prefix.Bits() > at.prefix.Bits()
	return routed || k.peers.allows(target, tunnel) > at.prefix.Bits(), routed, err
}

// routeTo returns the kernel's route to a target, through no other interface than index
// unless that is 0.
func (k *Kernel) routeTo(target netip.Addr, index int) (route, error) {
	query := []nl.NetlinkRequestData{
		&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: 128, Flags: unix.RTM_F_FIB_MATCH}}, nl.NewRtAttr(unix.RTA_DST, target.AsSlice()),
	}
	if index != 0 {
		// With an interface and no source the kernel uses no other interface's route.
		query = append(query, number(unix.RTA_OIF, index))
	}
	answers, err := k.request(unix.RTM_GETROUTE, 0, query...)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV):
		return route{}, nil
	case err == nil && (len(answers) != 1 || len(answers[0]) < unix.SizeofRtMsg):
		err = fmt.Errorf("%d answers", len(answers))
	}
	var r route
	if err == nil {
		r, err = parseRoute(answers[0])
	}
	if err != nil {
		return route{}, fmt.Errorf("looking up the route to %v through interface %d (rtnetlink): %w", target, index, err)
	}
	return r, nil
}

// parseRoute returns what routeTo returns.
func parseRoute(data []byte) (route, error) {
	r, err := readRoute(data)
	// By a default route without a gateway, as point-to-point links have it, every
	// address would be on-link.
	if err != nil || !r.unicast || r.prefix.Bits() == 0 {
		return route{}, err
	}
	return r, nil
}

func number(attr, n int) nl.NetlinkRequestData { return nl.NewRtAttr(attr, nl.Uint32Attr(uint32(n))) }

// hostRoute requests a change of a host route.
func (k *Kernel) hostRoute(kind, flags int, target netip.Addr, index int) error {
	head := nl.NewRtMsg()
	head.Family, head.Dst_len, head.Protocol = unix.AF_INET6, 128, routeProtocol
	_, err := k.request(kind, flags|unix.NLM_F_ACK, head, nl.NewRtAttr(unix.RTA_DST, target.AsSlice()), number(unix.RTA_OIF, index), number(unix.RTA_PRIORITY, routeMetric))
	return err
}

// SetRoute makes a /128 route to a target through an interface. It replaces the
// pinger's own route to that target and no other.
func (k *Kernel) SetRoute(target netip.Addr, index int) error {
	if err := k.hostRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, target, index); err != nil {
		return fmt.Errorf("route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// RemoveRoute removes what SetRoute has made. A missing route is not an error.
func (k *Kernel) RemoveRoute(target netip.Addr, index int) error {
	err := k.hostRoute(unix.RTM_DELROUTE, 0, target, index)
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// OwnHostRoutes makes the caller the only pinger in this network namespace that may keep
// host routes, until the result is closed, and removes the routes that an earlier one has
// left behind, and the proxy neighbour entries of an earlier version. The result is nil if
// another pinger owns them.
func (k *Kernel) OwnHostRoutes(log *slog.Logger) (io.Closer, error) {
	owned, err := lock("host-routes")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := k.sweepHostRoutes(log); err != nil {
		owned.Close()
		return nil, err
	}
	return owned, nil
}

func (k *Kernel) sweepHostRoutes(log *slog.Logger) error {
	var left []netlink.Route
	err := k.handle.RouteListFilteredIter(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: routeProtocol},
		netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL, func(r netlink.Route) bool {
			if r.Priority == routeMetric {
				left = append(left, r)
			}
			return true
		})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("listing routes (rtnetlink): %w", err)
	}
	for i := range left {
		log.Info("removing the route that an earlier pinger left behind", "route", left[i].Dst.String())
		if err := k.handle.RouteDel(&left[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing the route to %v: %w", left[i].Dst, err)
		}
	}
	return k.sweepProxies(log)
}

// sweepProxies removes the proxy neighbour entries of an earlier version. The kernel
// would answer duplicate address detection for them: a host that moves to the master's
// link would lose its address.
func (k *Kernel) sweepProxies(log *slog.Logger) error {
	entries, err := k.request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, &netlink.Ndmsg{Family: unix.AF_INET6, Flags: netlink.NTF_PROXY})
	if err != nil {
		return fmt.Errorf("listing proxy neighbour entries (rtnetlink): %w", err)
	}
	for _, data := range entries {
		n, err := parseNeighbour(data)
		if err != nil {
			return fmt.Errorf("listing proxy neighbour entries (rtnetlink): %w", err)
		}
		target, ok := netip.AddrFromSlice(n.IP)
		if !ok || n.protocol != routeProtocol || n.Flags&netlink.NTF_PROXY == 0 {
			continue
		}
		log.Info("removing the proxy neighbour entry that an earlier version left behind", "target", target)
		_, err = k.request(unix.RTM_DELNEIGH, unix.NLM_F_ACK, &netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(n.LinkIndex), Flags: netlink.NTF_PROXY},
			nl.NewRtAttr(netlink.NDA_DST, target.AsSlice()))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("removing the proxy neighbour entry for %v on interface %d: %w", target, n.LinkIndex, err)
		}
	}
	return nil
}
