package pinger

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

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
	// heard says that neighbours changed; nil where nobody wants to know.
	heard *nl.NetlinkSocket
	// requests carries what netlink has no function for. It is not the handle's
	// socket, so it never waits for a dump of that.
	requests map[int]*nl.SocketHandle
}

func openKernel() (k *kernel, err error) {
	k = &kernel{}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.changes, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR); err != nil {
		return nil, fmt.Errorf("subscribing to changes of interfaces (rtnetlink): %w", err)
	}
	if k.heard, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH); err != nil {
		return nil, fmt.Errorf("subscribing to changes of neighbours (rtnetlink): %w", err)
	}
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("opening an rtnetlink socket: %w", err)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening an rtnetlink socket: %w", err)
	}
	k.requests = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	return k, nil
}

func (k *kernel) close() {
	for _, socket := range []*nl.NetlinkSocket{k.changes, k.heard} {
		if socket != nil {
			socket.Close()
		}
	}
	for _, socket := range k.requests {
		socket.Close()
	}
	if k.handle != nil {
		k.handle.Close()
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
		if attrs.EncapType == "ether" && attrs.RawFlags&unix.IFF_NOARP == 0 && len(attrs.HardwareAddr) == len(links[i].mac) {
			links[i].nd, links[i].mac = true, schemas.MAC(attrs.HardwareAddr)
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
func (k *kernel) neighbour(addr netip.Addr, index int) (neighbour, error) {
	entry, err := k.neighbourEntry(addr, index, 0)
	if entry == nil || err != nil {
		return neighbour{}, err
	}
	found := neighbour{confirmed: entry.State&unix.NUD_REACHABLE != 0}
	if len(entry.HardwareAddr) == len(schemas.MAC{}) {
		mac := schemas.MAC(entry.HardwareAddr)
		found.mac = &mac
	}
	return found, nil
}

// neighbourEntry returns the entry for an address on an interface, with NTF_PROXY
// in flags that of a proxy; nil if there is none. It needs Linux 5.0.
func (k *kernel) neighbourEntry(addr netip.Addr, index int, flags uint8) (*neighbourMessage, error) {
	req := k.request(unix.RTM_GETNEIGH, 0)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index), Flags: flags})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, addr.AsSlice()))
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err == nil && len(answers) != 1 {
		err = fmt.Errorf("%d answers", len(answers))
	}
	if err != nil {
		return nil, fmt.Errorf("neighbour %v on interface %d (rtnetlink): %w", addr, index, err)
	}
	return parseNeighbour(answers[0])
}

func (k *kernel) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = k.requests
	return req
}

// neighbourMessage is an entry with what netlink leaves out.
type neighbourMessage struct {
	*netlink.Neigh
	// protocol says who made the entry (NDA_PROTOCOL); 0 is the kernel, or an
	// administrator.
	protocol uint8
}

func parseNeighbour(data []byte) (*neighbourMessage, error) {
	entry, err := netlink.NeighDeserialize(data)
	if err != nil {
		return nil, err
	}
	n := &neighbourMessage{Neigh: entry}
	const headLen = 12 // struct ndmsg
	attrs, err := nl.ParseRouteAttr(data[headLen:])
	if err != nil {
		return nil, err
	}
	for _, attr := range attrs {
		if attr.Attr.Type == netlink.NDA_PROTOCOL && len(attr.Value) > 0 {
			n.protocol = attr.Value[0]
		}
	}
	return n, nil
}

// followNeighbours calls heard with each entry that changes or, where the kernel
// had to drop notifications, with all; gone says that the entry is no more. It ends
// when ctx does and k.heard is closed.
func (k *kernel) followNeighbours(ctx context.Context, heard func(n *netlink.Neigh, gone bool)) error {
	all := func() {
		list, err := complete(func() ([]netlink.Neigh, error) { return k.handle.NeighList(0, netlink.FAMILY_V6) })
		if err != nil {
			return // the next ones tell
		}
		for i := range list {
			heard(&list[i], false)
		}
	}
	all()
	for {
		messages, _, err := k.heard.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			all()
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for changes of neighbours (rtnetlink): %w", err)
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH {
				continue
			}
			if n, err := netlink.NeighDeserialize(m.Data); err == nil && n.Family == unix.AF_INET6 && n.Flags&netlink.NTF_PROXY == 0 {
				heard(n, m.Header.Type == unix.RTM_DELNEIGH)
			}
		}
	}
}

// tableSize returns the fill of the kernel's neighbour table, which is one for all
// network namespaces. The sysctls that bound it are not to be read in others than
// the first one, but rtnetlink tells it in all.
func (k *kernel) tableSize() (tableSize, error) {
	const ( // linux/neighbour.h
		thresh3 = 4
		config  = 5
		// struct ndt_config begins with two lengths of 16 bits.
		entriesAt = 4
		headLen   = 4 // struct ndtmsg
	)
	req := k.request(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	req.AddData(&nl.RtGenMsg{RtGenmsg: unix.RtGenmsg{Family: unix.AF_INET6}})
	fail := func(err error) (tableSize, error) {
		return tableSize{}, fmt.Errorf("size of the neighbour table (rtnetlink): %w", err)
	}
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fail(err)
	}
	for _, answer := range answers {
		if len(answer) < headLen || answer[0] != unix.AF_INET6 {
			continue
		}
		attrs, err := nl.ParseRouteAttr(answer[headLen:])
		if err != nil {
			return fail(err)
		}
		size := tableSize{entries: -1}
		for _, attr := range attrs {
			switch {
			case attr.Attr.Type == thresh3 && len(attr.Value) >= 4:
				size.most = int(nl.NativeEndian().Uint32(attr.Value))
			case attr.Attr.Type == config && len(attr.Value) >= entriesAt+4:
				size.entries = int(nl.NativeEndian().Uint32(attr.Value[entriesAt:]))
			}
		}
		// Only the first message of a table has them; the others are of interfaces.
		if size.most > 0 && size.entries >= 0 {
			return size, nil
		}
	}
	return fail(errors.New("the kernel does not tell"))
}
