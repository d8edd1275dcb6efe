package pinger

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openKernelIn opens the kernel of a namespace.
func openKernelIn(t *testing.T, ns *lab.Namespace) *kernel {
	t.Helper()
	var k *kernel
	var err error
	ns.Do(func() { k, err = openKernel(false) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

func addRoute(t *testing.T, ns *lab.Namespace, dst, dev, via string) {
	t.Helper()
	r := &netlink.Route{LinkIndex: ns.Index(dev), Family: netlink.FAMILY_V6, Gw: net.ParseIP(via)}
	_, prefix, err := net.ParseCIDR(dst)
	if err == nil {
		r.Dst = prefix
		err = ns.Netlink.RouteAdd(r)
	}
	if err != nil {
		t.Fatalf("route to %s: %v", dst, err)
	}
}

func TestOnLink(t *testing.T) {
	l := newLab(t)
	k := openKernelIn(t, l.router)
	addRoute(t, l.router, "2001:db8:2::/48", "m0", "")       // on the link without an address in it
	addRoute(t, l.router, "2001:db8:3::/48", "m0", upstream) // behind a gateway
	addRoute(t, l.router, "2001:db8:1::77/128", "s1", "")    // a host behind a slave, as we make them
	addRoute(t, l.router, "::/0", "s2", "")                  // everything on the link, as with PPP
	addRoute(t, l.router, "2001:db8:1:0:5::/80", "s2", "")   // more specific, elsewhere
	m0, s2 := l.router.Index("m0"), l.router.Index("s2")
	for _, test := range []struct {
		target string
		index  int
		want   bool
	}{
		{onHost2, m0, true},
		{"2001:db8:2::1", m0, true},
		{"2001:db8:3::1", m0, false},
		{"2001:db8:1::77", m0, true},
		{"2001:db8:1:0:5::1", m0, true},
		{"2001:4860:4860::8888", m0, false},
		{"2001:4860:4860::8888", s2, false},
		{onHost2, 9999, false},
	} {
		got, err := k.onLink(netip.MustParseAddr(test.target), test.index)
		if err != nil || got != test.want {
			t.Errorf("%s on interface %d: %v, %v, want %v", test.target, test.index, got, err, test.want)
		}
	}
}

func TestHome(t *testing.T) {
	l := newLab(t)
	k := openKernelIn(t, l.router)
	l.router.Address("s1", "2001:db8:5::1/64")
	addRoute(t, l.router, "2001:db8:3::/48", "m0", upstream)
	addRoute(t, l.router, "2001:db8:1::77/128", "s2", "")
	if err := k.setRoute(netip.MustParseAddr(onHost2), l.router.Index("s2")); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		onHost1:            "m0",
		"2001:db8:5::9":    "s1",
		"2001:db8:1::77":   "s2", // somebody else has made that route
		onHost2:            "",   // we have
		"2001:db8:3::1":    "",   // behind a gateway
		"2001:db8:1234::1": "",
	} {
		index := 0
		if want != "" {
			index = l.router.Index(want)
		}
		if got, err := k.home(netip.MustParseAddr(target)); err != nil || got != index {
			t.Errorf("%s is at home on %d, %v, want %d (%s)", target, got, err, index, want)
		}
	}
}

// proxies lists the proxy entries of a namespace.
func proxies(t *testing.T, k *kernel, index int, targets ...string) []string {
	t.Helper()
	var list []string
	for _, target := range targets {
		entry, err := k.neighbourEntry(netip.MustParseAddr(target), index, netlink.NTF_PROXY)
		if err != nil {
			t.Fatal(err)
		}
		if entry != nil {
			list = append(list, fmt.Sprintf("%s proto %d", target, entry.protocol))
		}
	}
	return list
}

// hostRoutes lists the routes to hosts of a namespace.
func hostRoutes(t *testing.T, ns *lab.Namespace) []string {
	t.Helper()
	var list []string
	routes, err := ns.Netlink.RouteList(nil, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsLinkLocalUnicast() {
			continue
		}
		if ones, bits := r.Dst.Mask.Size(); ones == bits {
			list = append(list, fmt.Sprintf("%v dev %d proto %d metric %d", r.Dst.IP, r.LinkIndex, r.Protocol, r.Priority))
		}
	}
	slices.Sort(list)
	return list
}

// What others have made for the same targets is neither taken over nor removed,
// and what we have made goes, whoever sweeps.
func TestWaysBesideThoseOfOthers(t *testing.T) {
	l := newLab(t)
	k := openKernelIn(t, l.router)
	m0, s1, s2 := l.router.Index("m0"), l.router.Index("s1"), l.router.Index("s2")
	theirs := netip.MustParseAddr(onHost1)
	addRoute(t, l.router, onHost1+"/128", "s1", "")
	if err := l.router.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: m0, Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: theirs.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	before := hostRoutes(t, l.router)
	ours := netip.MustParseAddr(onHost2)
	for _, target := range []netip.Addr{theirs, ours, ours} { // ours twice
		if err := k.setRoute(target, s2); err != nil {
			t.Fatal(err)
		}
		if err := k.setProxy(target, m0); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "proxy entries", proxies(t, k, m0, onHost1, onHost2), []string{onHost1 + " proto 0", onHost2 + " proto 78"})
	want := append([]string{
		fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s2),
		fmt.Sprintf("%v dev %d proto 78 metric 4861", theirs, s2),
	}, before...)
	slices.Sort(want)
	check(t, "routes", hostRoutes(t, l.router), want)
	// Theirs goes first.
	routes, err := l.router.Netlink.RouteGet(theirs.AsSlice())
	if err != nil || len(routes) != 1 || routes[0].LinkIndex != s1 {
		t.Errorf("route to %v: %v, %v", theirs, routes, err)
	}
	// It moves, in one step.
	if err := k.setRoute(ours, s1); err != nil {
		t.Fatal(err)
	}
	want[slices.IndexFunc(want, func(s string) bool { return s == fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s2) })] =
		fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s1)
	check(t, "routes after the move", hostRoutes(t, l.router), want)

	log := slog.New(slog.DiscardHandler)
	for range 2 {
		lock, err := k.claimWays(log)
		if err != nil || lock == nil {
			t.Fatalf("claim: %v, %v", lock, err)
		}
		check(t, "routes after the sweep", hostRoutes(t, l.router), before)
		check(t, "proxy entries after the sweep", proxies(t, k, m0, onHost1, onHost2), []string{onHost1 + " proto 0"})
		for _, err := range []error{
			k.removeRoute(theirs, s2), k.removeProxy(theirs, m0), // and nothing is left of ours
			k.removeRoute(ours, 9999), k.removeProxy(ours, 9999),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		check(t, "proxy entries after removing ours", proxies(t, k, m0, onHost1), []string{onHost1 + " proto 0"})
		lock.Close()
	}
}

func TestTableSize(t *testing.T) {
	l := newLab(t)
	k := openKernelIn(t, l.router)
	// The table is one for all namespaces, and others use it meanwhile.
	const ours = 200
	for i := range ours {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:1::5:%x", i))
		if err := l.host1.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: l.host1.Index("h0"), Family: unix.AF_INET6, State: unix.NUD_PERMANENT,
			IP: a.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	// In the first namespace alone the sysctl tells how many there may be.
	text, err := os.ReadFile("/proc/sys/net/ipv6/neigh/default/gc_thresh3")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if size, err := k.tableSize(); err != nil || size.most != most || size.entries < ours {
		t.Errorf("%+v, %v: want %d at most, and at least %d entries", size, err, most, ours)
	}
}

// Two pingers of a namespace do not keep ways both, and one that keeps none sweeps
// none of the other's.
func TestOnePingerKeepsTheWays(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.Masters, cfg.Route, cfg.Proxy, cfg.HoldDown = []string{"m0"}, true, true, 0
	first := start(t, l.router, cfg)
	first.ask(onHost2, 1)
	k := openKernelIn(t, l.router)
	kept := func() bool { return len(proxies(t, k, l.router.Index("m0"), onHost2)) == 1 }
	lab.Eventually(t, "the way is kept", kept)

	cfg.Table += maxTables
	second := launch(t, l.router, cfg, nil)
	if err := <-second.ended; err == nil || !strings.Contains(err.Error(), "another pinger in this network namespace keeps the ways") {
		t.Errorf("error of the second one: %v", err)
	}
	cfg.Route, cfg.Proxy = false, false
	third := start(t, l.router, cfg)
	if !kept() {
		t.Error("swept by another one")
	}
	third.stop()
	first.stop()
	if kept() || len(hostRoutes(t, l.router)) != 0 {
		t.Errorf("after the stop there are %v", hostRoutes(t, l.router))
	}
	bare := launch(t, l.router, Config{Host: "r1", Slaves: cfg.Slaves, Masters: []string{"m0"}, Route: true, Rate: 10, Timeout: cfg.Timeout, Table: cfg.Table, Verify: cfg.Verify},
		keepCapabilities(unix.CAP_NET_RAW))
	if err := <-bare.ended; err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("error without the right to make routes: %v", err)
	}
	if diff := cmp.Diff([]string(nil), hostRoutes(t, l.router)); diff != "" {
		t.Error(diff)
	}
}
