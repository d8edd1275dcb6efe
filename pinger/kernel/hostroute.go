package kernel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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
	if r == nil || err != nil || r.Protocol == routeProtocol && r.Priority == routeMetric {
		return 0, err
	}
	return r.LinkIndex, nil
}

// OnLink reports whether a target is on-link at an interface: a route to its prefix,
// but not a default route, leads there without a gateway.
func (k *Kernel) OnLink(target netip.Addr, index int) (bool, error) {
	// With an interface and no source the kernel uses no other interface's route.
	r, err := k.routeTo(target, index)
	return r != nil && r.LinkIndex == index, err
}

// routeTo returns the route that leads to a target without a gateway, through an
// interface unless that is 0; nil if there is none.
func (k *Kernel) routeTo(target netip.Addr, index int) (*netlink.Route, error) {
	routes, err := k.handle.RouteGetWithOptions(target.AsSlice(), &netlink.RouteGetOptions{OifIndex: index, FIBMatch: true})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking up the route to %v through interface %d (rtnetlink): %w", target, index, err)
	case len(routes) != 1:
		return nil, nil
	}
	r := &routes[0]
	// By a default route without a gateway, as point-to-point links have it, every
	// address would be on-link.
	if r.Gw != nil || r.Via != nil || r.Type != unix.RTN_UNICAST || r.Dst == nil {
		return nil, nil
	}
	if bits, _ := r.Dst.Mask.Size(); bits == 0 {
		return nil, nil
	}
	return r, nil
}

func hostRoute(target netip.Addr, index int) *netlink.Route {
	return &netlink.Route{
		Family:    netlink.FAMILY_V6,
		Table:     unix.RT_TABLE_MAIN,
		Dst:       &net.IPNet{IP: target.AsSlice(), Mask: net.CIDRMask(128, 128)},
		LinkIndex: index,
		Protocol:  routeProtocol,
		Priority:  routeMetric,
	}
}

// SetRoute makes a /128 route to a target through an interface. It replaces the
// pinger's own route to that target and no other.
func (k *Kernel) SetRoute(target netip.Addr, index int) error {
	if err := k.handle.RouteReplace(hostRoute(target, index)); err != nil {
		return fmt.Errorf("route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// RemoveRoute removes what SetRoute has made. A missing route is not an error.
func (k *Kernel) RemoveRoute(target netip.Addr, index int) error {
	err := k.handle.RouteDel(hostRoute(target, index))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// SetProxy makes a proxy neighbour entry for a target on an interface, unless there is
// one already.
func (k *Kernel) SetProxy(target netip.Addr, index int) error {
	// Adding an entry of another program would make it ours.
	if entry, err := k.neighbourEntry(target, index, netlink.NTF_PROXY); err != nil || entry != nil {
		return err
	}
	err := k.proxyRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, target, index)
	if err != nil {
		return fmt.Errorf("proxy neighbour entry for %v on interface %d: %w", target, index, err)
	}
	return nil
}

// RemoveProxy removes what SetProxy has made, and no entry of another program. A missing
// entry is not an error.
func (k *Kernel) RemoveProxy(target netip.Addr, index int) error {
	entry, err := k.neighbourEntry(target, index, netlink.NTF_PROXY)
	if errors.Is(err, unix.ENODEV) || err == nil && (entry == nil || entry.protocol != routeProtocol) {
		return nil
	}
	if err == nil {
		err = k.proxyRequest(unix.RTM_DELNEIGH, unix.NLM_F_ACK, target, index)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the proxy neighbour entry for %v on interface %d: %w", target, index, err)
	}
	return nil
}

func (k *Kernel) proxyRequest(kind, flags int, target netip.Addr, index int) error {
	req := k.request(kind, flags)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index), State: unix.NUD_PERMANENT, Flags: netlink.NTF_PROXY})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, target.AsSlice()))
	req.AddData(nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{routeProtocol}))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// OwnHostRoutes makes the caller the only pinger in this network namespace that may keep
// host routes, until the result is closed, and removes the routes and proxy entries
// that an earlier one has left behind. The result is nil if another pinger owns them.
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
	req := k.request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Flags: netlink.NTF_PROXY})
	entries, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
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
		log.Info("removing the proxy neighbour entry that an earlier pinger left behind", "target", target)
		if err := k.RemoveProxy(target, n.LinkIndex); err != nil {
			return err
		}
	}
	return nil
}
