package lab_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestTablesOfTheKernel(t *testing.T) {
	t.Parallel()
	n, peer := lab.New(t, "a"), lab.New(t, "b")
	n.Veth("x", peer, "y")
	address := netip.MustParseAddr("2001:db8:77::1")
	index := n.Index("x")
	const protocol = 99
	before := n.NeighbourTable()
	for what, err := range map[string]error{
		"proxy": n.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: index, Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: address.AsSlice()}),
		"route": n.Netlink.RouteAdd(&netlink.Route{LinkIndex: index, Table: 1234, Protocol: protocol,
			Dst: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(128, 128)}}),
	} {
		if err != nil {
			t.Fatalf("add a %s: %v", what, err)
		}
	}
	rule := netlink.NewRule()
	rule.Family, rule.OifName, rule.Table, rule.Priority, rule.Protocol = unix.AF_INET6, "x", 1234, 500, protocol
	if err := n.Netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"x 2001:db8:77::1 proto 0"}, n.Proxies()); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2001:db8:77::1/128 dev x table 1234 proto 99"}, n.Routes("proto 99")); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`500 oif "x" table 1234 proto 99`}, n.Rules("proto 99")); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if other := append(append(n.Rules("proto 98"), n.Routes("proto 98")...), peer.Proxies()...); len(other) > 0 {
		t.Errorf("of others: %v", other)
	}

	// A host that does not answer fills the table, which is one for all.
	n.Address("x", "2001:db8:78::1/64")
	const asked = 50
	for i := range asked {
		n.Solicit(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: 0x78, 15: byte(i + 10)}))
	}
	after := peer.NeighbourTable()
	if after.Entries < asked || after.Most != before.Most || after.Most < after.Entries || after.Free() <= 0 || after.Free() >= 1 {
		t.Errorf("the table has %+v after %+v and %d more", after, before, asked)
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	n, peer := lab.New(t, "a"), lab.New(t, "b")
	n.Veth("x", peer, "y")
	n.Address("x", "2001:db8:77::1/64")
	address := netip.MustParseAddr("2001:db8:77::2")
	p := n.Ping(address, time.Millisecond)
	peer.AddressWithDAD("y", "2001:db8:77::2/64")
	p.WaitForReply()
	peer.RemoveAddress("y", "2001:db8:77::2/64")
	gone := time.Now()
	lab.Eventually(t, "requests without a reply", func() bool {
		echoes := p.Echoes()
		return echoes[len(echoes)-1].Sent.After(gone.Add(20 * time.Millisecond))
	})
	for _, e := range p.Stop() {
		if !e.Answered.IsZero() && e.Answered.Before(e.Sent) {
			t.Errorf("echo sent at %v, answered at %v", e.Sent, e.Answered)
		}
	}
	if p.Answered(gone) {
		t.Error("an echo is answered after the address is gone")
	}
}

func TestCapabilitiesWithoutRoot(t *testing.T) {
	t.Parallel()
	n := lab.New(t, "alone")
	p := n.Start(lab.Command{Path: "/bin/sh", Args: []string{"-c", "grep -E 'Uid|CapEff' /proc/self/status"}, UID: 65534, Capabilities: []uintptr{unix.CAP_NET_RAW}})
	p.Wait()
	// CAP_NET_RAW is 13.
	if out := p.Stdout.String(); !strings.Contains(out, "65534") || !strings.Contains(out, "CapEff:\t0000000000002000") {
		t.Errorf("status of the process: %s", out)
	}
}
