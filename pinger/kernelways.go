package pinger

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

// routeMetric is that of the routes to targets: behind that of every other route,
// so that a route that somebody else has made to a host goes first.
const routeMetric = 4861

// onLink implements wayKernel.
func (k *kernel) onLink(target netip.Addr, index int) (bool, error) {
	// With an interface and no source the kernel takes no other interface's route.
	routes, err := k.handle.RouteGetWithOptions(target.AsSlice(), &netlink.RouteGetOptions{OifIndex: index, FIBMatch: true})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking up the route to %v through interface %d (rtnetlink): %w", target, index, err)
	case len(routes) != 1:
		return false, nil
	}
	r := &routes[0]
	// A default route without a gateway, as point-to-point links have it, would
	// have everything on the link.
	if r.LinkIndex != index || r.Gw != nil || r.Via != nil || r.Type != unix.RTN_UNICAST || r.Dst == nil {
		return false, nil
	}
	bits, _ := r.Dst.Mask.Size()
	return bits > 0, nil
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

// setRoute implements wayKernel. The one route of ours to the target is replaced.
func (k *kernel) setRoute(target netip.Addr, index int) error {
	if err := k.handle.RouteReplace(hostRoute(target, index)); err != nil {
		return fmt.Errorf("route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// removeRoute implements wayKernel.
func (k *kernel) removeRoute(target netip.Addr, index int) error {
	err := k.handle.RouteDel(hostRoute(target, index))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the route to %v through interface %d: %w", target, index, err)
	}
	return nil
}

// setProxy implements wayKernel. Adding what is there would make it ours.
func (k *kernel) setProxy(target netip.Addr, index int) error {
	if entry, err := k.neighbourEntry(target, index, netlink.NTF_PROXY); err != nil || entry != nil {
		return err
	}
	err := k.proxyRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, target, index)
	if err != nil {
		return fmt.Errorf("proxy neighbour entry for %v on interface %d: %w", target, index, err)
	}
	return nil
}

// removeProxy implements wayKernel. It leaves what is somebody else's.
func (k *kernel) removeProxy(target netip.Addr, index int) error {
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

func (k *kernel) proxyRequest(kind, flags int, target netip.Addr, index int) error {
	req := k.request(kind, flags)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index), State: unix.NUD_PERMANENT, Flags: netlink.NTF_PROXY})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, target.AsSlice()))
	req.AddData(nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{routeProtocol}))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// claimWays makes the caller the one pinger in this network namespace that keeps
// ways, until the result is closed, and removes those that one before has left
// behind. If there is one that does, the result is nil.
func (k *kernel) claimWays(log *slog.Logger) (io.Closer, error) {
	lock, err := claim("ways")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := k.sweepWays(log); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func (k *kernel) sweepWays(log *slog.Logger) error {
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
		if err := k.removeProxy(target, n.LinkIndex); err != nil {
			return err
		}
	}
	return nil
}

// claim makes the caller the owner of a name in this network namespace, until the
// result is closed. The error is EADDRINUSE if it has an owner.
func claim(name string) (io.Closer, error) {
	// An abstract Unix socket belongs to the network namespace, as routes do, and
	// goes with its process, however that ends.
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@nd-pinger/" + name, Net: "unixgram"})
}
