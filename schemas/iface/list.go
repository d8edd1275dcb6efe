// Package iface is the home of the host's network interfaces: List lists them, Watch
// reports that they changed, and Pattern is how a user names them in an option or an
// environment variable. What a process does with an interface is not here.
package iface

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/schemas"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	// AltNames are further names of the interface (ip-link(8), altname).
	AltNames []string
	// Type is the name of the link layer, "ether" for everything that has
	// Ethernet frames: bridges, bonds, VLANs, veth and dummy interfaces too.
	Type string
	// MAC is the Ethernet address of an interface of type "ether", or zero.
	MAC schemas.MAC
	// Flags are unix.IFF_*.
	Flags uint32
	// Master is the name of the bridge, bond or VRF whose port the interface is, or empty.
	// MasterKind is its kind, as in ip-link(8): bridge, bond, team, openvswitch, vrf.
	Master, MasterKind string
	// Addresses are the interface's IPv4 and IPv6 addresses, if they were asked for.
	Addresses []Address
}

// Address is an address of an interface.
type Address struct {
	// Prefix is the address with the length of its on-link prefix.
	Prefix netip.Prefix
	// Flags are unix.IFA_F_*.
	Flags int
}

// Ethernet reports whether the interface has Ethernet frames.
func (l *Link) Ethernet() bool { return l.Type == "ether" }

// Up reports whether the administrator has set the interface up (IFF_UP).
func (l *Link) Up() bool { return l.Flags&unix.IFF_UP != 0 }

// Running reports whether the interface can pass frames, for which it needs a carrier
// too (IFF_RUNNING).
func (l *Link) Running() bool { return l.Flags&unix.IFF_RUNNING != 0 }

// Loopback reports whether it is the loopback interface.
func (l *Link) Loopback() bool { return l.Flags&unix.IFF_LOOPBACK != 0 }

// Port reports whether the interface passes the frames that it receives to its master, and not
// to the host's own stack: so does a port of a bridge or bond, but not an interface of a VRF.
func (l *Link) Port() bool { return l.Master != "" && l.MasterKind != "vrf" }

// dumpAttempts is how often a list is requested that changes while the kernel sends it.
const dumpAttempts = 10

// List returns the interfaces by rising index, and their addresses if requested. The
// network namespace is the handle's, or with the zero handle the calling thread's.
func List(h *netlink.Handle, addresses bool) ([]Link, error) {
	found, err := dump(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	slices.SortFunc(found, func(a, b netlink.Link) int { return cmp.Compare(a.Attrs().Index, b.Attrs().Index) })
	list := make([]Link, len(found))
	byIndex := make(map[int]*Link, len(found))
	kinds := make(map[int]string, len(found))
	for i, f := range found {
		a := f.Attrs()
		kinds[a.Index] = f.Type()
		list[i] = Link{Index: a.Index, Name: a.Name, AltNames: a.AltNames, Type: a.EncapType, Flags: a.RawFlags}
		if list[i].Ethernet() && len(a.HardwareAddr) == len(schemas.MAC{}) {
			list[i].MAC = schemas.MAC(a.HardwareAddr)
		}
		byIndex[a.Index] = &list[i]
	}
	for i, f := range found {
		if master := byIndex[f.Attrs().MasterIndex]; master != nil {
			list[i].Master, list[i].MasterKind = master.Name, kinds[master.Index]
		}
	}
	if !addresses {
		return list, nil
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list the addresses of the network interfaces: %w", err)
	}
	for _, a := range addrs {
		l := byIndex[a.LinkIndex]
		if l == nil || a.IPNet == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			bits, _ := a.Mask.Size()
			l.Addresses = append(l.Addresses, Address{Prefix: netip.PrefixFrom(ip.Unmap(), bits), Flags: a.Flags})
		}
	}
	return list, nil
}

// dump requests a list again that changed while the kernel sent it, because such a list
// may lack what exists.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for n := 1; ; n++ {
		found, err := list()
		if err == nil || n == dumpAttempts || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
	}
}
