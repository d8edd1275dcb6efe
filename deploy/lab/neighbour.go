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
