//go:build linux

package links

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func list(t *testing.T, n *lab.Namespace, addresses bool) map[string]Link {
	t.Helper()
	var found []Link
	var err error
	n.Do(func() { found, err = List(addresses) })
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Link{}
	for _, l := range found {
		byName[l.Name] = l
	}
	return byName
}

func TestList(t *testing.T) {
	n, host := lab.New(t, "router"), lab.New(t, "host")
	n.Veth("eth0", host, "eth0")
	n.Bridge("br0")
	n.Down("br0")
	n.Address("eth0", "10.1.2.3/24")
	n.Address("eth0", "2001:db8::1/64")
	link := n.Link("eth0")
	mac := schemas.MAC{2, 0, 0, 0, 0, 7}
	if err := n.Netlink.LinkSetHardwareAddr(link, mac[:]); err != nil {
		t.Fatal(err)
	}
	if err := n.Netlink.LinkAddAltName(link, "uplink-of-the-router"); err != nil {
		t.Fatal(err)
	}

	found := list(t, n, true)
	lo, eth0, br0 := found["lo"], found["eth0"], found["br0"]
	if lo.Ethernet() || lo.Type != "loopback" || !lo.Up {
		t.Errorf("lo: %+v", lo)
	}
	if !br0.Ethernet() || br0.Up || br0.Running {
		t.Errorf("br0: %+v", br0)
	}
	if !eth0.Ethernet() || !eth0.Up || !eth0.Running || eth0.MAC != mac || eth0.Index != link.Attrs().Index ||
		!slices.Equal(eth0.AltNames, []string{"uplink-of-the-router"}) {
		t.Errorf("eth0: %+v", eth0)
	}
	for _, a := range []string{"10.1.2.3", "2001:db8::1"} {
		if !slices.Contains(eth0.Addresses, netip.MustParseAddr(a)) {
			t.Errorf("eth0 has not %s but %v", a, eth0.Addresses)
		}
	}
	host.Down("eth0")
	lab.Eventually(t, "eth0 has no carrier", func() bool { l := list(t, n, false)["eth0"]; return l.Up && !l.Running })
	if a := list(t, n, false)["eth0"].Addresses; a != nil {
		t.Errorf("addresses %v although not wanted", a)
	}
}

func watch(t *testing.T, n *lab.Namespace, addresses bool) *Watcher {
	t.Helper()
	var w *Watcher
	var err error
	n.Do(func() { w, err = Watch(addresses) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// settled reports whether the watcher has nothing to tell.
func settled(w *Watcher) bool {
	select {
	case <-w.C:
		return false
	default:
		return true
	}
}

func TestWatch(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	n.Down("br0")
	links, addresses := watch(t, n, false), watch(t, n, true)
	n.Up("br0")
	<-links.C
	<-addresses.C
	lab.Eventually(t, "the watchers are settled", func() bool { return settled(links) && settled(addresses) })
	n.Address("br0", "192.0.2.1/24")
	<-addresses.C
	if !settled(links) {
		t.Error("a watcher of links tells of addresses")
	}
	n.Delete("br0")
	<-links.C
	links.Close()
	if _, ok := <-links.C; ok || links.Err() != nil {
		t.Errorf("closed: %v, %v", ok, links.Err())
	}
}

// A watcher that was told more at once than the kernel could keep goes on.
func TestOverflow(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	n.Down("br0")
	var socket *nl.NetlinkSocket
	var err error
	n.Do(func() { socket, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK) })
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.SetReceiveBufferSize(1, true); err != nil { // the least there is
		t.Fatal(err)
	}
	for i := range 100 { // while nobody reads
		if err := n.Netlink.LinkSetMTU(n.Link("br0"), 1400+i); err != nil {
			t.Fatal(err)
		}
	}
	// The first to receive is told of the overflow.
	probe := func() error {
		_, _, err := unix.Recvfrom(socket.GetFd(), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err
	}
	if err := probe(); err != unix.ENOBUFS {
		t.Fatalf("no overflow: %v", err)
	}
	// That took the error away: it takes another overflow.
	for probe() == nil {
		if _, _, err := unix.Recvfrom(socket.GetFd(), make([]byte, 1), unix.MSG_DONTWAIT); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if err := n.Netlink.LinkSetMTU(n.Link("br0"), 1300+i); err != nil {
			t.Fatal(err)
		}
	}
	w := newWatcher(socket)
	t.Cleanup(w.Close)
	<-w.C
	lab.Eventually(t, "the watcher is settled", func() bool { return settled(w) })
	n.Up("br0")
	if _, ok := <-w.C; !ok {
		t.Errorf("the watcher ended: %v", w.Err())
	}
}

// A list that changed while it was sent is asked for again, not for ever.
func TestDump(t *testing.T) {
	interrupted := fmt.Errorf("list: %w", netlink.ErrDumpInterrupted)
	for _, tt := range []struct {
		failures, calls int
		err             error
	}{
		{0, 1, nil},
		{3, 4, nil},
		{100, dumpAttempts, interrupted},
	} {
		calls := 0
		_, err := dump(func() ([]int, error) {
			if calls++; calls <= tt.failures {
				return nil, interrupted
			}
			return []int{1}, nil
		})
		if calls != tt.calls || err != tt.err {
			t.Errorf("%d failures: %d calls, %v", tt.failures, calls, err)
		}
	}
	if _, err := dump(func() ([]int, error) { return nil, unix.EPERM }); err != unix.EPERM {
		t.Error(err)
	}
}
