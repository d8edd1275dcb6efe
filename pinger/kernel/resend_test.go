package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A packet between two slaves waits on the master's link until its target has a host route.
// Then the target gets it, unless the router may not forward between the slaves.
func TestWaitingPacketsAreRoutedAgain(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		t.Run(fmt.Sprintf("forbidden %v", forbidden), func(t *testing.T) {
			router, _, k := newRouter(t)
			router.Sysctl("net.ipv6.conf.all.forwarding", "1")
			host1, host2 := lab.New(t, "host1"), lab.New(t, "host2")
			router.Veth("h1", host1, "h0")
			router.Veth("h2", host2, "h0")
			host1.Address("h0", onHost1+"/128")
			host2.Address("h0", onHost2+"/128")
			host1.DefaultRoute("h0", router.LinkLocal("h1"))
			target, m0 := netip.MustParseAddr(onHost2), router.Index("m0")
			var receiver net.PacketConn
			var err error
			host2.Do(func() { receiver, err = net.ListenPacket("udp6", "["+onHost2+"]:9") })
			if err != nil {
				t.Fatal(err)
			}
			defer receiver.Close()

			host1.Solicit(target) // sends a datagram
			lab.Eventually(t, "the datagram waits", func() bool { return router.NeighbourState("m0", target) == "INCOMPLETE" })
			wire := router.Wire("m0")
			for addr, slave := range map[string]string{onHost1: "h1", onHost2: "h2"} {
				if err := k.SetRoute(netip.MustParseAddr(addr), router.Index(slave)); err != nil {
					t.Fatal(err)
				}
			}
			if forbidden { // as a firewall does: what comes from h1 does not reach the target
				rule := netlink.NewRule()
				rule.Family, rule.IifName, rule.Type, rule.Priority = unix.AF_INET6, "h1", unix.RTN_PROHIBIT, 1
				if err := router.Netlink.RuleAdd(rule); err != nil {
					t.Fatal(err)
				}
			}
			denied := router.Wire("h1")
			from := []*iface.Link{{Name: "m0", Index: m0}, {Name: "h1", Index: router.Index("h1")}, {Name: "h2", Index: router.Index("h2")}}
			if waiting, err := k.Resend(target, m0, from); !waiting || err != nil {
				t.Fatalf("waiting %v, %v", waiting, err)
			}
			if forbidden { // the router says so to the sender
				lab.Eventually(t, "the datagram is refused", func() bool {
					return slices.ContainsFunc(denied.Frames(), func(f lab.Frame) bool { return f.Out && len(f.Data) > 54 && f.Data[54] == 1 })
				})
			} else {
				receiver.SetDeadline(time.Now().Add(5 * time.Second))
				if _, _, err := receiver.ReadFrom(make([]byte, 10)); err != nil {
					t.Errorf("the datagram: %v", err)
				}
			}
			if left := wire.Frames(); slices.ContainsFunc(left, func(f lab.Frame) bool { return f.Data[0] == nowhere[0] }) {
				t.Error("it left by the master")
			}
			if state := router.NeighbourState("m0", target); state != "" {
				t.Errorf("the neighbour entry is %s", state)
			}
			if waiting, err := k.Resend(target, m0, from); waiting || err != nil {
				t.Errorf("once more: waiting %v, %v", waiting, err)
			}
			k.closeQueues()
			if list, err := router.Netlink.QdiscList(router.Link("m0")); err != nil || slices.ContainsFunc(list, func(q netlink.Qdisc) bool { return q.Type() == "clsact" }) {
				t.Errorf("left behind: %v, %v", list, err)
			}
		})
	}
}
