//go:build linux

package lab

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Neighbour is an entry of the kernel's table of IPv6 neighbours.
type Neighbour struct {
	Interface string
	Address   netip.Addr
	// Ethernet is empty as long as it is not known.
	Ethernet net.HardwareAddr
	// State is what "ip neigh" calls it, such as REACHABLE.
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

func neighbourState(state int) string {
	switch state {
	case netlink.NUD_NONE:
		return "NONE"
	case netlink.NUD_INCOMPLETE:
		return "INCOMPLETE"
	case netlink.NUD_REACHABLE:
		return "REACHABLE"
	case netlink.NUD_STALE:
		return "STALE"
	case netlink.NUD_DELAY:
		return "DELAY"
	case netlink.NUD_PROBE:
		return "PROBE"
	case netlink.NUD_FAILED:
		return "FAILED"
	case netlink.NUD_NOARP:
		return "NOARP"
	case netlink.NUD_PERMANENT:
		return "PERMANENT"
	}
	return "unknown"
}
