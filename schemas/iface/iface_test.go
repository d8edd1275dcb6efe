package iface

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// namespace makes a network namespace, and returns how to call a function in it and a
// netlink handle in it. It skips the test without root, but fails it with CI=true.
func namespace(t *testing.T) (do func(func()), h *netlink.Handle) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to make a network namespace, and CI=true forbids to skip")
		}
		t.Skip("needs root to make a network namespace")
	}
	calls, returned := make(chan func()), make(chan struct{})
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for f := range calls {
			f()
			returned <- struct{}{}
		}
	}()
	do = func(f func()) { calls <- f; <-returned }
	t.Cleanup(func() { close(calls) })
	var err error
	do(func() {
		var ns netns.NsHandle
		if ns, err = netns.New(); err == nil {
			ns.Close()
			h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		}
	})
	check(t, err)
	t.Cleanup(h.Close)
	return do, h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add makes a bridge, which is down: an Ethernet interface that every kernel has.
func add(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(t, h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	return find(t, h, name)
}

func find(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	check(t, err)
	return l
}

func address(t *testing.T, h *netlink.Handle, l netlink.Link, cidr string, flags int) {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	check(t, err)
	a.Flags = flags
	check(t, h.AddrAdd(l, a))
}

func TestList(t *testing.T) {
	do, h := namespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	check(t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
	check(t, h.LinkSetUp(find(t, h, "peer")))
	eth0 := find(t, h, "eth0")
	check(t, h.LinkSetMaster(eth0, add(t, h, "br0")))
	mac := [6]byte{2, 0, 0, 0, 0, 7}
	check(t, h.LinkSetHardwareAddr(eth0, mac[:]))
	check(t, h.LinkAddAltName(eth0, "uplink-of-the-router"))
	check(t, h.LinkSetUp(eth0))
	check(t, h.LinkSetUp(find(t, h, "lo")))
	address(t, h, eth0, "10.1.2.3/24", 0)
	address(t, h, eth0, "2001:db8::1/64", unix.IFA_F_NODAD)

	byName := map[string]Link{}
	list, err := List(h, true)
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
	if !l.Ethernet() || !l.Up() || !l.Running() || l.MAC != mac || l.Index != eth0.Attrs().Index || l.Master != "br0" ||
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
	do(func() { list, err = List(&netlink.Handle{}, false) })
	check(t, err)
	if len(list) != len(byName) || slices.ContainsFunc(list, func(l Link) bool { return l.Addresses != nil }) {
		t.Errorf("of the thread, without addresses: %+v", list)
	}
}

func watch(t *testing.T, do func(func()), addresses bool) (<-chan struct{}, func()) {
	t.Helper()
	var changes <-chan struct{}
	var stop func()
	var err error
	do(func() { changes, stop, err = Watch(addresses, slog.New(slog.DiscardHandler)) })
	check(t, err)
	return changes, stop
}

func TestWatch(t *testing.T) {
	do, h := namespace(t)
	eth0 := add(t, h, "eth0")
	links, stopLinks := watch(t, do, false)
	addresses, stopAddresses := watch(t, do, true)
	defer stopAddresses()
	address(t, h, eth0, "192.0.2.1/24", 0)
	<-addresses
	if len(links) > 0 {
		t.Error("a watch of interfaces reports an address")
	}
	check(t, h.LinkDel(eth0))
	<-links
	<-addresses
	stopLinks()
	for range links { // until it is closed
	}
}

// A socket that fails is replaced in the same namespace, which is not the process's.
func TestWatchReopens(t *testing.T) {
	do, h := namespace(t)
	var log bytes.Buffer
	w := newTestWatcher(t, do, &log)
	w.namespace = netns.None()
	do(func() { w.namespace, _ = netns.Get() })
	go w.run()
	for n := range 2 {
		w.mu.Lock()
		w.socket.Close()
		w.mu.Unlock()
		<-w.changes
		add(t, h, string(rune('a'+n)))
		<-w.changes
	}
	w.stop()
	if n := strings.Count(log.String(), "subscribing again"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
}

// A watcher goes on after more notifications than the kernel could keep.
func TestWatchOverflow(t *testing.T) {
	do, h := namespace(t)
	eth0 := add(t, h, "eth0")
	var log bytes.Buffer
	w := newTestWatcher(t, do, &log)
	check(t, w.socket.SetReceiveBufferSize(1, true)) // the least there is
	overflow := func() error {
		for i := range 100 { // while nothing is read
			check(t, h.LinkSetMTU(eth0, 1400-i))
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
		check(t, h.LinkSetMTU(eth0, 1300-i))
	}
	go w.run()
	<-w.changes
	check(t, h.LinkDel(eth0))
	<-w.changes
	w.stop()
	if log.Len() > 0 {
		t.Errorf("an overflow is no failure:\n%s", &log)
	}
}

// newTestWatcher returns a watcher that does not run yet.
func newTestWatcher(t *testing.T, do func(func()), log *bytes.Buffer) *watcher {
	t.Helper()
	w := &watcher{namespace: netns.None(), groups: []uint{unix.RTNLGRP_LINK}, log: slog.New(slog.NewTextHandler(log, nil)),
		changes: make(chan struct{}, 1), stopping: make(chan struct{})}
	var err error
	do(func() { w.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, w.groups...) })
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
