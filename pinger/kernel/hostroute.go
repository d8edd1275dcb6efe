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
	link, ours, err := k.routeTo(target, 0)
	if ours {
		return 0, err
	}
	return link, err
}

// OnLink reports whether a target is on-link at an interface: a route to its prefix,
// but not a default route, leads there without a gateway.
func (k *Kernel) OnLink(target netip.Addr, index int) (bool, error) {
	// With an interface and no source the kernel uses no other interface's route.
	link, _, err := k.routeTo(target, index)
	return link == index, err
}

// routeTo returns the index of the interface to which a route leads that has no
// gateway, and no other interface than index unless that is 0. The result is 0 if there
// is none. ours is set for the pinger's own host routes.
func (k *Kernel) routeTo(target netip.Addr, index int) (link int, ours bool, err error) {
	query := []nl.NetlinkRequestData{
		&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: 128, Flags: unix.RTM_F_FIB_MATCH}}, nl.NewRtAttr(unix.RTA_DST, target.AsSlice()),
	}
	if index != 0 {
		query = append(query, number(unix.RTA_OIF, index))
	}
	answers, err := k.request(unix.RTM_GETROUTE, 0, query...)
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV):
		return 0, false, nil
	case err == nil && (len(answers) != 1 || len(answers[0]) < unix.SizeofRtMsg):
		err = fmt.Errorf("%d answers", len(answers))
	}
	if err == nil {
		link, ours, err = parseRoute(answers[0])
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking up the route to %v through interface %d (rtnetlink): %w", target, index, err)
	}
	return link, ours, nil
}

// parseRoute returns what routeTo returns.
func parseRoute(data []byte) (link int, ours bool, err error) {
	head := nl.DeserializeRtMsg(data)
	// By a default route without a gateway, as point-to-point links have it, every
	// address would be on-link.
	if head.Type != unix.RTN_UNICAST || head.Dst_len == 0 {
		return 0, false, nil
	}
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	if err != nil {
		return 0, false, err
	}
	metric := 0
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			return 0, false, nil
		case unix.RTA_OIF:
			link = int(nl.NativeEndian().Uint32(attr.Value))
		case unix.RTA_PRIORITY:
			metric = int(nl.NativeEndian().Uint32(attr.Value))
		}
	}
	return link, head.Protocol == routeProtocol && metric == routeMetric, nil
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
	_, err := k.request(kind, flags, &netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index), State: unix.NUD_PERMANENT, Flags: netlink.NTF_PROXY},
		nl.NewRtAttr(netlink.NDA_DST, target.AsSlice()), nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{routeProtocol}))
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
		log.Info("removing the proxy neighbour entry that an earlier pinger left behind", "target", target)
		if err := k.RemoveProxy(target, n.LinkIndex); err != nil {
			return err
		}
	}
	return nil
}
