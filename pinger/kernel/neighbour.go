package kernel

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

// Neighbour returns what the neighbour table has for an address on an interface.
// reachable is set if its reachability was confirmed within ReachableTime (RFC 4861,
// section 7.3.2: REACHABLE); mac is nil if the table has none.
func (k *Kernel) Neighbour(addr netip.Addr, index int) (reachable bool, mac *schemas.MAC, err error) {
	entry, err := k.neighbourEntry(addr, index)
	if entry == nil || err != nil {
		return false, nil, err
	}
	if len(entry.HardwareAddr) == len(schemas.MAC{}) {
		m := schemas.MAC(entry.HardwareAddr)
		mac = &m
	}
	return entry.State&unix.NUD_REACHABLE != 0, mac, nil
}

// neighbourEntry returns the entry for an address on an interface, nil if there is none. It
// needs Linux 5.0.
func (k *Kernel) neighbourEntry(addr netip.Addr, index int) (*netlink.Neigh, error) {
	answers, err := k.request(unix.RTM_GETNEIGH, 0,
		&netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index)}, nl.NewRtAttr(netlink.NDA_DST, addr.AsSlice()))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err == nil && len(answers) != 1 {
		err = fmt.Errorf("%d answers", len(answers))
	}
	var entry *netlink.Neigh
	if err == nil {
		entry, err = netlink.NeighDeserialize(answers[0])
	}
	if err != nil {
		return nil, fmt.Errorf("neighbour %v on interface %d (rtnetlink): %w", addr, index, err)
	}
	return entry, nil
}

// neighbour is an entry with what netlink leaves out.
type neighbour struct {
	*netlink.Neigh
	// protocol is the program that made the entry (NDA_PROTOCOL); 0 is the kernel
	// or an administrator.
	protocol uint8
}

func parseNeighbour(data []byte) (*neighbour, error) {
	entry, err := netlink.NeighDeserialize(data)
	if err != nil {
		return nil, err
	}
	n := &neighbour{Neigh: entry}
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

// FollowNeighbours calls heard for each neighbour whose entry changes, and, at the
// start and whenever the kernel had to drop notifications, for all. present says that
// the neighbour is there (REACHABLE, STALE, DELAY or PROBE); otherwise its entry is
// FAILED or was removed. It ends with ctx, and can be called once.
func (k *Kernel) FollowNeighbours(ctx context.Context, heard func(addr netip.Addr, index int, present bool)) error {
	defer context.AfterFunc(ctx, k.neighbours.Close)()
	report := func(n *netlink.Neigh, removed bool) {
		const there = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
		addr, ok := netip.AddrFromSlice(n.IP)
		if failed := removed || n.State&unix.NUD_FAILED != 0; ok && (failed || n.State&there != 0) {
			heard(addr, n.LinkIndex, !failed)
		}
	}
	all := func() {
		list, err := complete(func() ([]netlink.Neigh, error) { return k.handle.NeighList(0, netlink.FAMILY_V6) })
		if err != nil {
			return // the next notifications have to do
		}
		for i := range list {
			report(&list[i], false)
		}
	}
	all()
	for {
		messages, _, err := k.neighbours.Receive()
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
				report(n, m.Header.Type == unix.RTM_DELNEIGH)
			}
		}
	}
}

// TableSize returns how many entries the kernel's neighbour table has, and may have at
// most (gc_thresh3). All network namespaces share the table. The sysctls are readable
// in the initial one only, but rtnetlink reports the sizes in all.
func (k *Kernel) TableSize() (entries, most int, err error) {
	const ( // linux/neighbour.h
		thresh3 = 4
		config  = 5
		// struct ndt_config begins with two lengths of 16 bits.
		entriesAt = 4
		headLen   = 4 // struct ndtmsg
	)
	fail := func(err error) (int, int, error) {
		return 0, 0, fmt.Errorf("size of the neighbour table (rtnetlink): %w", err)
	}
	answers, err := k.request(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP, &nl.RtGenMsg{RtGenmsg: unix.RtGenmsg{Family: unix.AF_INET6}})
	if err != nil {
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
		entries, most = -1, 0
		for _, attr := range attrs {
			switch {
			case attr.Attr.Type == thresh3 && len(attr.Value) >= 4:
				most = int(nl.NativeEndian().Uint32(attr.Value))
			case attr.Attr.Type == config && len(attr.Value) >= entriesAt+4:
				entries = int(nl.NativeEndian().Uint32(attr.Value[entriesAt:]))
			}
		}
		// Only the first message of a table has them; the others are of interfaces.
		if most > 0 && entries >= 0 {
			return entries, most, nil
		}
	}
	return fail(errors.New("the kernel does not report it"))
}
