package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// NeighbourTable is the fill level of the kernel's table of IPv6 neighbours. All
// namespaces share one table.
type NeighbourTable struct {
	Entries int
	// Most is gc_thresh3, the largest number of entries.
	Most int
}

// Free returns the free share of the table, from 0 to 1.
func (t NeighbourTable) Free() float64 { return 1 - float64(t.Entries)/float64(t.Most) }

// NeighbourTable returns what the kernel's table of IPv6 neighbours holds now.
func (n *Namespace) NeighbourTable() NeighbourTable {
	n.t.Helper()
	var table NeighbourTable
	var err error
	n.Do(func() { table, err = readNeighbourTable() })
	n.must(err, "look at the neighbour table")
	return table
}

// readNeighbourTable asks like "ip -6 ntable": rtnetlink reports it in every
// namespace, the sysctl exists only in the first one.
func readNeighbourTable() (NeighbourTable, error) {
	// linux/neighbour.h
	const (
		name, thresh3, config = 1, 4, 5
		entriesAt             = 4 // in struct ndt_config
		header                = 4 // struct ndtmsg
	)
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	req.AddRawData([]byte{unix.AF_INET6, 0, 0, 0})
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) {
		return NeighbourTable{}, err
	}
	var t NeighbourTable
	for _, m := range messages {
		if len(m) < header || m[0] != unix.AF_INET6 {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[header:])
		if err != nil {
			return t, err
		}
		for _, a := range attrs {
			switch {
			case a.Attr.Type == thresh3 && len(a.Value) >= 4:
				t.Most = int(binary.NativeEndian.Uint32(a.Value))
			case a.Attr.Type == config && len(a.Value) >= entriesAt+4:
				t.Entries = int(binary.NativeEndian.Uint32(a.Value[entriesAt:]))
			}
		}
	}
	if t.Most == 0 {
		return t, errors.New("the kernel does not report its bounds")
	}
	return t, nil
}

// Proxies returns the proxy neighbour entries, each as "INTERFACE ADDRESS proto
// NUMBER", in their order.
func (n *Namespace) Proxies() []string {
	n.t.Helper()
	var messages [][]byte
	var err error
	n.Do(func() {
		req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		req.AddData(&netlink.Ndmsg{Family: unix.AF_INET6, Flags: netlink.NTF_PROXY})
		messages, err = req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	})
	if errors.Is(err, nl.ErrDumpInterrupted) {
		err = nil
	}
	n.must(err, "list the proxy neighbour entries")
	var list []string
	for _, m := range messages {
		entry, err := netlink.NeighDeserialize(m)
		n.must(err, "read a proxy neighbour entry")
		addr, _ := netip.AddrFromSlice(entry.IP)
		attrs, err := nl.ParseRouteAttr(m[unix.SizeofNdMsg:])
		n.must(err, "read a proxy neighbour entry")
		list = append(list, fmt.Sprintf("%s %v proto %d", n.nameOf(entry.LinkIndex), addr, protocolOf(attrs)))
	}
	slices.Sort(list)
	return list
}

func protocolOf(attrs []syscall.NetlinkRouteAttr) uint8 {
	for _, a := range attrs {
		if a.Attr.Type == netlink.NDA_PROTOCOL && len(a.Value) > 0 {
			return a.Value[0]
		}
	}
	return 0
}

// Routes returns the IPv6 routes of all routing tables that contain a text, each
// as "DESTINATION dev INTERFACE table NUMBER proto NUMBER", in their order.
func (n *Namespace) Routes(with string) []string {
	n.t.Helper()
	routes, err := n.Netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	n.must(err, "list the routes")
	var list []string
	for _, r := range routes {
		route := fmt.Sprintf("%v dev %s table %d proto %d", r.Dst, n.nameOf(r.LinkIndex), r.Table, int(r.Protocol))
		if strings.Contains(route, with) {
			list = append(list, route)
		}
	}
	slices.Sort(list)
	return list
}

// Rules returns the IPv6 routing rules that contain a text, each as "PRIORITY oif
// INTERFACE table NUMBER proto NUMBER", in the order in which the kernel applies
// them. INTERFACE is quoted.
func (n *Namespace) Rules(with string) []string {
	n.t.Helper()
	rules, err := n.Netlink.RuleList(unix.AF_INET6)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	n.must(err, "list the routing rules")
	var list []string
	for _, r := range rules {
		rule := fmt.Sprintf("%d oif %q table %d proto %d", r.Priority, r.OifName, r.Table, r.Protocol)
		if strings.Contains(rule, with) {
			list = append(list, rule)
		}
	}
	return list
}

// nameOf returns the name of an interface that may be gone.
func (n *Namespace) nameOf(index int) string {
	if l, err := n.Netlink.LinkByIndex(index); err == nil {
		return l.Attrs().Name
	}
	return fmt.Sprintf("if%d", index)
}

// Neighbour is an entry of the kernel's table of IPv6 neighbours.
type Neighbour struct {
	Interface string
	Address   netip.Addr
	// Ethernet is empty if the address is not resolved.
	Ethernet net.HardwareAddr
	// State has the name that "ip neigh" uses, such as REACHABLE.
	State string
}

// Neighbours returns the namespace's table of IPv6 neighbours.
func (n *Namespace) Neighbours() []Neighbour {
	n.t.Helper()
	list, err := n.Netlink.NeighList(0, netlink.FAMILY_V6)
	n.must(err, "list the neighbours")
	names := map[int]string{}
	links, err := n.Netlink.LinkList()
	n.must(err, "list the interfaces")
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var table []Neighbour
	for _, entry := range list {
		addr, _ := netip.AddrFromSlice(entry.IP)
		table = append(table, Neighbour{names[entry.LinkIndex], addr, entry.HardwareAddr, neighbourState(entry.State)})
	}
	return table
}

// NeighbourState returns the state of a neighbour on an interface, "" when there
// is no entry.
func (n *Namespace) NeighbourState(name string, addr netip.Addr) string {
	n.t.Helper()
	for _, entry := range n.Neighbours() {
		if entry.Interface == name && entry.Address == addr {
			return entry.State
		}
	}
	return ""
}

// neighbourState returns the name of a state, "" for an unknown one.
func neighbourState(state int) string {
	return map[int]string{
		netlink.NUD_NONE: "NONE", netlink.NUD_INCOMPLETE: "INCOMPLETE", netlink.NUD_REACHABLE: "REACHABLE", netlink.NUD_STALE: "STALE",
		netlink.NUD_DELAY: "DELAY", netlink.NUD_PROBE: "PROBE", netlink.NUD_FAILED: "FAILED", netlink.NUD_NOARP: "NOARP", netlink.NUD_PERMANENT: "PERMANENT",
	}[state]
}
