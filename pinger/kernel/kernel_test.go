package kernel

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
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	upstream = "2001:db8:1::ff"
	onHost1  = "2001:db8:1::11"
	onHost2  = "2001:db8:1::42"
)

// newRouter makes a router with 2001:db8:1::/64 on its master m0 alone, and slaves s1
// and s2, all of which lead to another namespace, and opens its kernel.
func newRouter(t *testing.T) (router, peer *lab.Namespace, k *Kernel) {
	t.Helper()
	router, peer = lab.New(t, "router"), lab.New(t, "peer")
	for _, name := range []string{"m0", "s1", "s2"} {
		router.Veth(name, peer, name)
		router.LinkLocal(name)
	}
	router.Address("m0", "2001:db8:1::1/64")
	var err error
	router.Do(func() { k, err = Open(false) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return router, peer, k
}

func check(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
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
	router, _, k := newRouter(t)
	addRoute(t, router, "2001:db8:2::/48", "m0", "")       // on the link without an address in it
	addRoute(t, router, "2001:db8:3::/48", "m0", upstream) // behind a gateway
	addRoute(t, router, "2001:db8:1::77/128", "s1", "")    // a host behind a slave, as we make them
	addRoute(t, router, "::/0", "s2", "")                  // everything on the link, as with PPP
	addRoute(t, router, "2001:db8:1:0:5::/80", "s2", "")   // more specific, elsewhere
	m0, s2 := router.Index("m0"), router.Index("s2")
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
		got, err := k.OnLink(netip.MustParseAddr(test.target), test.index)
		if err != nil || got != test.want {
			t.Errorf("%s on interface %d: %v, %v, want %v", test.target, test.index, got, err, test.want)
		}
	}
}

func TestLinkOf(t *testing.T) {
	router, _, k := newRouter(t)
	router.Address("s1", "2001:db8:5::1/64")
	addRoute(t, router, "2001:db8:3::/48", "m0", upstream)
	addRoute(t, router, "2001:db8:1::77/128", "s2", "")
	if err := k.SetRoute(netip.MustParseAddr(onHost2), router.Index("s2")); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		onHost1:            "m0",
		"2001:db8:5::9":    "s1",
		"2001:db8:1::77":   "s2", // another program has made that route
		onHost2:            "",   // the pinger has
		"2001:db8:3::1":    "",   // behind a gateway
		"2001:db8:1234::1": "",
	} {
		index := 0
		if want != "" {
			index = router.Index(want)
		}
		if got, err := k.LinkOf(netip.MustParseAddr(target)); err != nil || got != index {
			t.Errorf("%s is on the link of %d, %v, want %d (%s)", target, got, err, index, want)
		}
	}
}

func TestLeads(t *testing.T) {
	router, peer, k := newRouter(t)
	router.Tun("tun0", peer, "tun0")
	addRoute(t, router, "2001:db8:1::40/124", "tun0", "")
	addRoute(t, router, "2001:db8:1::50/124", "tun0", "2001:db8:1::41") // a gateway at the other end
	addRoute(t, router, "2001:db8:1::4f/128", "s1", "")                 // more specific, elsewhere
	addRoute(t, router, "2001:db8:3::/48", "tun0", "")
	addRoute(t, router, "::/0", "tun0", "")
	host, tun0 := netip.MustParseAddr(onHost2), router.Index("tun0")
	leads := func(want bool, targets ...string) {
		t.Helper()
		for _, target := range targets {
			if peer, routed, err := k.Leads(netip.MustParseAddr(target), tun0, router.Index("m0")); err != nil || peer != want || routed != want {
				t.Errorf("%s: %v, %v, %v, want %v", target, peer, routed, err, want)
			}
		}
	}
	leads(true, onHost2, "2001:db8:1::51")
	leads(false, onHost1, "2001:db8:1::4f", "2001:db8:3::1", "2001:4860:4860::8888")
	// A host route that we have made hides neither this route nor that there is none.
	for _, target := range []netip.Addr{host, netip.MustParseAddr(onHost1)} {
		if err := k.SetRoute(target, router.Index("s1")); err != nil {
			t.Fatal(err)
		}
	}
	leads(true, onHost2)
	leads(false, onHost1)
	// The same prefix on both is not enough.
	addRoute(t, router, "2001:db8:1::/64", "tun0", "")
	leads(false, onHost1)
	router.Delete("tun0")
	leads(false, onHost2)
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

// What other programs have made for the same targets is neither changed nor removed, and
// the pinger's is removed by every sweep.
func TestHostRoutesNextToThoseOfOthers(t *testing.T) {
	router, _, k := newRouter(t)
	m0, s1, s2 := router.Index("m0"), router.Index("s1"), router.Index("s2")
	theirs := netip.MustParseAddr(onHost1)
	addRoute(t, router, onHost1+"/128", "s1", "")
	if err := router.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: m0, Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: theirs.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	before, theirProxy := hostRoutes(t, router), []string{"m0 " + onHost1 + " proto 0"}
	ours := netip.MustParseAddr(onHost2)
	for _, target := range []netip.Addr{theirs, ours, ours} { // ours twice
		if err := k.SetRoute(target, s2); err != nil {
			t.Fatal(err)
		}
	}
	// An earlier version has left this behind.
	if _, err := k.request(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_ACK, &netlink.Ndmsg{Family: unix.AF_INET6, Index: uint32(m0), State: unix.NUD_PERMANENT, Flags: netlink.NTF_PROXY},
		nl.NewRtAttr(netlink.NDA_DST, ours.AsSlice()), nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{routeProtocol})); err != nil {
		t.Fatal(err)
	}
	want := append([]string{
		fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s2),
		fmt.Sprintf("%v dev %d proto 78 metric 4861", theirs, s2),
	}, before...)
	slices.Sort(want)
	check(t, "routes", hostRoutes(t, router), want)
	// Theirs goes first.
	routes, err := router.Netlink.RouteGet(theirs.AsSlice())
	if err != nil || len(routes) != 1 || routes[0].LinkIndex != s1 {
		t.Errorf("route to %v: %v, %v", theirs, routes, err)
	}
	// It moves, in one step.
	if err := k.SetRoute(ours, s1); err != nil {
		t.Fatal(err)
	}
	want[slices.IndexFunc(want, func(s string) bool { return s == fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s2) })] =
		fmt.Sprintf("%v dev %d proto 78 metric 4861", ours, s1)
	check(t, "routes after the move", hostRoutes(t, router), want)

	log := slog.New(slog.DiscardHandler)
	for range 2 {
		owned, err := k.OwnHostRoutes(log)
		if err != nil || owned == nil {
			t.Fatalf("not owned: %v, %v", owned, err)
		}
		check(t, "routes after the sweep", hostRoutes(t, router), before)
		check(t, "proxy entries after the sweep", router.Proxies(), theirProxy)
		for _, err := range []error{
			k.RemoveRoute(theirs, s2), // and nothing is left of ours
			k.RemoveRoute(ours, 9999),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		owned.Close()
	}
}

func TestTableSize(t *testing.T) {
	lab.ReserveNeighbours(t, 256)
	_, peer, k := newRouter(t)
	// The table is one for all namespaces, and others use it meanwhile.
	const ours = 200
	for i := range ours {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:1::5:%x", i))
		if err := peer.Netlink.NeighAdd(&netlink.Neigh{LinkIndex: peer.Index("s1"), Family: unix.AF_INET6, State: unix.NUD_PERMANENT,
			IP: a.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	// Only in the initial namespace the sysctl is readable.
	text, err := os.ReadFile("/proc/sys/net/ipv6/neigh/default/gc_thresh3")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if entries, got, err := k.TableSize(); err != nil || got != most || entries < ours {
		t.Errorf("%d of %d entries, %v: want at least %d of %d", entries, got, err, ours, most)
	}
}
