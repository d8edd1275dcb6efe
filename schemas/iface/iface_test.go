package iface

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	n, host := lab.New(t, "router"), lab.New(t, "host")
	n.Veth("eth0", host, "eth0")
	n.Bridge("br0", "eth0")
	n.Down("br0")
	mac := schemas.MAC{2, 0, 0, 0, 0, 7}
	check(t, n.Netlink.LinkSetHardwareAddr(n.Link("eth0"), mac[:]))
	check(t, n.Netlink.LinkAddAltName(n.Link("eth0"), "uplink-of-the-router"))
	n.Address("eth0", "10.1.2.3/24")
	n.Address("eth0", "2001:db8::1/64")

	byName := map[string]Link{}
	list, err := List(n.Netlink, true)
	check(t, err)
	for _, l := range list {
		byName[l.Name] = l
	}
	if l := byName["lo"]; l.Ethernet() || !l.Loopback() || l.Type != "loopback" || !l.Up() {
		t.Errorf("lo: %+v", l)
	}
	if l := byName["br0"]; !l.Ethernet() || l.Loopback() || l.Up() || l.Running() || l.Master != "" {
		t.Errorf("br0: %+v", l)
	}
	l := byName["eth0"]
	if !l.Ethernet() || !l.Up() || !l.Running() || l.MAC != mac || l.Index != n.Index("eth0") || l.Master != "br0" || l.MasterKind != "bridge" || !l.Port() ||
		!slices.Equal(l.AltNames, []string{"uplink-of-the-router"}) {
		t.Errorf("eth0: %+v", l)
	}
	for prefix, flags := range map[string]int{"10.1.2.3/24": unix.IFA_F_PERMANENT, "2001:db8::1/64": unix.IFA_F_PERMANENT | unix.IFA_F_NODAD} {
		if want := (Address{netip.MustParsePrefix(prefix), flags}); !slices.Contains(l.Addresses, want) {
			t.Errorf("eth0 has not %+v but %+v", want, l.Addresses)
		}
	}
	if !slices.IsSortedFunc(list, func(a, b Link) int { return a.Index - b.Index }) {
		t.Errorf("not by index: %+v", list)
	}
	n.Do(func() { list, err = List(&netlink.Handle{}, false) })
	check(t, err)
	if len(list) != len(byName) || slices.ContainsFunc(list, func(l Link) bool { return l.Addresses != nil }) {
		t.Errorf("of the thread, without addresses: %+v", list)
	}
}

func watch(t *testing.T, n *lab.Namespace, addresses bool) (<-chan struct{}, func()) {
	t.Helper()
	var changes <-chan struct{}
	var stop func()
	var err error
	n.Do(func() { changes, stop, err = Watch(addresses, slog.New(slog.DiscardHandler)) })
	check(t, err)
	return changes, stop
}

func TestWatch(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	links, stopLinks := watch(t, n, false)
	addresses, stopAddresses := watch(t, n, true)
	defer stopAddresses()
	n.Address("br0", "192.0.2.1/24")
	<-addresses
	if len(links) > 0 {
		t.Error("a watch of interfaces reports an address")
	}
	n.Delete("br0")
	<-links
	<-addresses
	stopLinks()
	for range links { // until it is closed
	}
}

// A socket that fails is replaced in the same namespace, which is not the process's.
func TestWatchReopens(t *testing.T) {
	n := lab.New(t, "router")
	var log bytes.Buffer
	w := newTestWatcher(t, n, &log)
	n.Do(func() { w.namespace, _ = netns.Get() })
	go w.run()
	for _, name := range []string{"br0", "br1"} {
		w.mu.Lock()
		w.socket.Close()
		w.mu.Unlock()
		<-w.changes
		n.Bridge(name)
		<-w.changes
	}
	w.stop()
	if n := strings.Count(log.String(), "subscribing again"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
}

// A watcher goes on after more notifications than the kernel could keep.
func TestWatchOverflow(t *testing.T) {
	n := lab.New(t, "router")
	n.Bridge("br0")
	link := n.Link("br0")
	var log bytes.Buffer
	w := newTestWatcher(t, n, &log)
	check(t, w.socket.SetReceiveBufferSize(1, true)) // the least there is
	overflow := func() error {
		for i := range 100 { // while nothing is read
			check(t, n.Netlink.LinkSetMTU(link, 1400-i))
		}
		_, _, err := unix.Recvfrom(w.socket.GetFd(), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err
	}
	if err := overflow(); err != unix.ENOBUFS {
		t.Fatalf("no overflow: %v", err)
	}
	// That took the error away: it takes another overflow, which needs an empty queue.
	for {
		if _, _, err := unix.Recvfrom(w.socket.GetFd(), make([]byte, 1), unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	for i := range 100 {
		check(t, n.Netlink.LinkSetMTU(link, 1300-i))
	}
	go w.run()
	<-w.changes
	n.Delete("br0")
	<-w.changes
	w.stop()
	if log.Len() > 0 {
		t.Errorf("an overflow is no failure:\n%s", &log)
	}
}

// newTestWatcher returns a watcher that does not run yet.
func newTestWatcher(t *testing.T, n *lab.Namespace, log *bytes.Buffer) *watcher {
	t.Helper()
	w := &watcher{namespace: netns.None(), groups: []uint{unix.RTNLGRP_LINK}, log: slog.New(slog.NewTextHandler(log, nil)),
		changes: make(chan struct{}, 1), stopping: make(chan struct{})}
	var err error
	n.Do(func() { w.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, w.groups...) })
	check(t, err)
	return w
}

// A list that changed while it was sent is requested again, but not for ever.
func TestDump(t *testing.T) {
	for _, tt := range []struct {
		failures, calls int
		err             error
	}{
		{0, 1, nil},
		{3, 4, nil},
		{100, dumpAttempts, netlink.ErrDumpInterrupted},
	} {
		calls := 0
		_, err := dump(func() ([]int, error) {
			if calls++; calls <= tt.failures {
				return nil, netlink.ErrDumpInterrupted
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
