package pinger

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/ndmon/ndmon/schemas"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernel is what the pinger asks of the kernel over rtnetlink. All of its
// sockets are opened at once, in the network namespace of the calling thread.
type kernel struct {
	handle  *netlink.Handle
	changes *nl.NetlinkSocket // says that links or addresses changed
	neighbours
}

func openKernel() (*kernel, error) {
	changes, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribing to changes of interfaces (rtnetlink): %w", err)
	}
	k := &kernel{changes: changes}
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
		k.neighbours.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	}
	if err != nil {
		k.close()
		return nil, fmt.Errorf("opening an rtnetlink socket: %w", err)
	}
	return k, nil
}

func (k *kernel) close() {
	k.changes.Close()
	if k.handle != nil {
		k.handle.Close()
	}
	if k.neighbours.fd > 0 {
		unix.Close(k.neighbours.fd)
	}
}

// follow calls changed when links or addresses changed, until ctx ends and
// k.changes is closed. What changed is not said: to look anew is simple, cannot get out of
// step, and right even when the kernel had to drop notifications.
func (k *kernel) follow(ctx context.Context, changed func()) error {
	for {
		_, _, err := k.changes.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
			changed()
		default:
			return fmt.Errorf("waiting for changes of interfaces (rtnetlink): %w", err)
		}
	}
}

// links returns all interfaces with their IPv6 addresses, by rising index.
func (k *kernel) links() ([]link, error) {
	// What changes in between is notified, and looked at anew.
	list, err := complete(k.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing interfaces (rtnetlink): %w", err)
	}
	addresses, err := complete(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, netlink.FAMILY_V6) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses (rtnetlink): %w", err)
	}
	links := make([]link, len(list))
	byIndex := make(map[int]*link, len(list))
	for i, l := range list {
		attrs := l.Attrs()
		links[i] = link{
			name:     attrs.Name,
			index:    attrs.Index,
			flags:    attrs.RawFlags,
			loopback: attrs.RawFlags&unix.IFF_LOOPBACK != 0,
		}
		byIndex[attrs.Index] = &links[i]
	}
	for _, l := range list {
		if master := byIndex[l.Attrs().MasterIndex]; master != nil {
			byIndex[l.Attrs().Index].master = master.name
		}
	}
	for _, a := range addresses {
		addr, ok := netip.AddrFromSlice(a.IP)
		l := byIndex[a.LinkIndex]
		if !ok || l == nil {
			continue
		}
		ones, _ := a.Mask.Size()
		l.addresses = append(l.addresses, address{addr: addr, prefix: netip.PrefixFrom(addr, ones), flags: a.Flags})
	}
	return links, nil
}

// complete calls list anew while changes in the kernel interrupt it, but not for
// ever: then it takes what there is.
func complete[T any](list func() ([]T, error)) ([]T, error) {
	for range 9 {
		if items, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return items, err
		}
	}
	items, err := list()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return items, err
}

// routed returns the indexes of the interfaces that have a route of their own
// besides the link-local one in the main table.
func (k *kernel) routed() (map[int]bool, error) {
	linkLocal := netip.MustParsePrefix("fe80::/10")
	indexes := make(map[int]bool)
	err := k.handle.RouteListFilteredIter(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE,
		func(r netlink.Route) bool {
			if r.Dst != nil {
				if dst, ok := netip.AddrFromSlice(r.Dst.IP); ok && linkLocal.Contains(dst) {
					return true
				}
			}
			indexes[r.LinkIndex] = true
			for _, hop := range r.MultiPath {
				indexes[hop.LinkIndex] = true
			}
			return true
		})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing routes (rtnetlink): %w", err)
	}
	return indexes, nil
}

// neighbours reads single entries of the kernel's neighbour table, which needs
// Linux 5.0. It has a socket of its own, so that it never waits for a dump.
type neighbours struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf [4096]byte
}

// neighbour is an entry of the kernel's neighbour table.
type neighbour struct {
	// confirmed: the neighbour answered a solicitation, or its reachability
	// was confirmed otherwise, within ReachableTime (RFC 4861, section 7.3.2:
	// REACHABLE).
	confirmed bool
	// mac is its Ethernet address, nil if the kernel knows none.
	mac *schemas.MAC
}

// neighbour returns the entry for an address on an interface, the zero value if
// there is none.
func (n *neighbours) neighbour(addr netip.Addr, ifindex int) (neighbour, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.Seq = n.seq
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(ifindex)})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, addr.AsSlice()))
	fail := func(err error) (neighbour, error) {
		return neighbour{}, fmt.Errorf("neighbour %v on interface %d (rtnetlink): %w", addr, ifindex, err)
	}
	if err := unix.Sendto(n.fd, req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail(err)
	}
	for {
		// The kernel has answered before Sendto returned.
		length, _, err := unix.Recvfrom(n.fd, n.buf[:], unix.MSG_DONTWAIT)
		if err != nil {
			return fail(err)
		}
		messages, err := syscall.ParseNetlinkMessage(n.buf[:length])
		if err != nil {
			return fail(err)
		}
		for _, m := range messages {
			if m.Header.Seq != n.seq {
				continue
			}
			switch m.Header.Type {
			case unix.NLMSG_ERROR:
				errno := unix.EIO
				if len(m.Data) >= 4 {
					errno = syscall.Errno(-int32(nl.NativeEndian().Uint32(m.Data)))
				}
				if errno == unix.ENOENT {
					return neighbour{}, nil
				}
				return fail(errno)
			case unix.RTM_NEWNEIGH:
				entry, err := netlink.NeighDeserialize(m.Data)
				if err != nil {
					return fail(err)
				}
				found := neighbour{confirmed: entry.State&unix.NUD_REACHABLE != 0}
				if len(entry.HardwareAddr) == len(schemas.MAC{}) {
					mac := schemas.MAC(entry.HardwareAddr)
					found.mac = &mac
				}
				return found, nil
			}
		}
	}
}
