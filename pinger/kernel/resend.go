package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Where the filters are that catch packets which leave an interface (tc(8)).
const (
	clsact     = 0xfffffff1 // TC_H_CLSACT
	clsactID   = 0xffff0000
	ingress    = 0xfffffff2
	egress     = 0xfffffff3
	filterPref = routeMetric
)

// nowhere is the Ethernet address that waiting packets are sent to: the group of the nearest
// bridge (IEEE 802.1Q, table 8-1). No bridge forwards such frames, and should one leave, no
// host forwards an IPv6 packet that it received by multicast.
var nowhere = schemas.MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}

// Resend has the kernel route the packets again that wait for a target on a master's link,
// where no one answers, after the target has got its host route. It reports whether any wait.
//
// The kernel sends them when the neighbour entry gets an Ethernet address. On their way out
// of the master, a filter for that address returns each to the interface that it came in
// on. Thus the firewall judges it again, now with the interface that it really leaves by.
// Packets of this host itself, and those that came in on no interface of from, are lost.
func (k *Kernel) Resend(target netip.Addr, on int, from []*iface.Link) (waiting bool, err error) {
	entry, err := k.neighbourEntry(target, on)
	if err != nil || entry == nil || entry.State&unix.NUD_INCOMPLETE == 0 {
		return false, err
	}
	fail := func(what string, err error) (bool, error) {
		return true, fmt.Errorf("packets that wait for %v on interface %d: %s (rtnetlink): %w", target, on, what, err)
	}
	switch err := k.clsact(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, on); {
	case err == nil:
		k.queues = append(k.queues, on)
	case !errors.Is(err, unix.EEXIST): // another program has filters there
		return fail("adding clsact", err)
	}
	defer k.removeFilters(on)
	for _, l := range from {
		if err := k.addFilter(on, l); err != nil {
			return fail("adding a filter for "+l.Name, err)
		}
	}
	// Without NLM_F_REPLACE, the address of a station that has answered by now stays.
	err = k.neighbour(unix.RTM_NEWNEIGH, target, on, nl.NewRtAttr(netlink.NDA_LLADDR, nowhere[:]))
	if err == nil {
		err = k.neighbour(unix.RTM_DELNEIGH, target, on)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fail("changing the neighbour entry", err)
	}
	return true, nil
}

// neighbour requests a change of a neighbour entry.
func (k *Kernel) neighbour(kind int, target netip.Addr, index int, more ...nl.NetlinkRequestData) error {
	head := &netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(index), State: unix.NUD_STALE}
	_, err := k.request(kind, unix.NLM_F_ACK, append([]nl.NetlinkRequestData{head, nl.NewRtAttr(netlink.NDA_DST, target.AsSlice())}, more...)...)
	return err
}

// clsact requests a change of the queueing discipline that filters are attached to.
func (k *Kernel) clsact(kind, flags, index int) error {
	_, err := k.request(kind, flags|unix.NLM_F_ACK, &nl.TcMsg{Ifindex: int32(index), Handle: clsactID, Parent: clsact}, nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("clsact")))
	return err
}

// filterHead is the head of requests about the filters of Resend on an interface.
func filterHead(index int) *nl.TcMsg {
	protocol := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_IPV6))
	return &nl.TcMsg{Ifindex: int32(index), Parent: egress, Info: filterPref<<16 | uint32(protocol)}
}

// addFilter returns packets to an interface that came in there.
func (k *Kernel) addFilter(on int, from *iface.Link) error {
	key := func(offset int32, b []byte, mask uint32) nl.TcU32Key { // in network byte order
		return nl.TcU32Key{Mask: mask, Val: binary.NativeEndian.Uint32(b), Off: offset}
	}
	const ethernetLen = 14
	halves := append(nowhere[:], 0, 0)
	sel := nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: 2, Keys: []nl.TcU32Key{
		key(-ethernetLen, halves[:4], 0xffffffff),
		key(-ethernetLen+4, halves[4:], binary.NativeEndian.Uint32([]byte{0xff, 0xff, 0, 0})),
	}}
	back := netlink.NewMirredAction(from.Index)
	back.MirredAction = netlink.TCA_INGRESS_REDIR
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_U32_SEL, sel.Serialize())
	options.AddRtAttr(nl.TCA_U32_INDEV, nl.ZeroTerminated(from.Name))
	if err := netlink.EncodeActions(options.AddRtAttr(nl.TCA_U32_ACT, nil), []netlink.Action{back}); err != nil {
		return err
	}
	_, err := k.request(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, filterHead(on), nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("u32")), options)
	return err
}

// removeFilters removes the filters of Resend. One that cannot be removed does no harm:
// nothing else is sent to that Ethernet address.
func (k *Kernel) removeFilters(index int) {
	_, _ = k.request(unix.RTM_DELTFILTER, unix.NLM_F_ACK, filterHead(index), nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("u32")))
}

// closeQueues removes what Resend has made on the masters, unless another program uses it.
func (k *Kernel) closeQueues() {
	for _, index := range k.queues {
		used := false
		for _, side := range []uint32{ingress, egress} {
			filters, err := k.request(unix.RTM_GETTFILTER, unix.NLM_F_DUMP, &nl.TcMsg{Ifindex: int32(index), Parent: side})
			used = used || err != nil || len(filters) > 0
		}
		if !used {
			_ = k.clsact(unix.RTM_DELQDISC, 0, index)
		}
	}
}
