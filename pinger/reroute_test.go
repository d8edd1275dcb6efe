package pinger

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host routes follow what other programs do to the kernel's routes and settings.
func TestHostRoutesFollowTheKernelsRoutes(t *testing.T) {
	l := newLab(t)
	l.router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	cfg := testConfig()
	cfg.Masters, cfg.Route, cfg.Proxy, cfg.HoldDown = []string{"m0"}, true, true, 0
	r := start(t, l.router, cfg)
	r.ask(onHost2, 1)
	kept := func(what string, want ...string) {
		t.Helper()
		lab.Eventually(t, what, func() bool { return slices.Equal(l.router.Routes("table 254 proto 78"), want) })
	}
	warned := func(what, text string) {
		t.Helper()
		lab.Eventually(t, what, func() bool { return strings.Contains(r.log.String(), `level=WARN msg="`+text) })
	}
	const route = onHost2 + "/128 dev s2 table 254 proto 78"
	kept("the host route", route)

	target := netip.MustParseAddr(onHost2)
	if err := l.router.Netlink.RouteDel(&netlink.Route{Family: unix.AF_INET6, Priority: 4861,
		Dst: &net.IPNet{IP: target.AsSlice(), Mask: net.CIDRMask(128, 128)}}); err != nil {
		t.Fatal(err)
	}
	warned("the loss is logged", "another program has removed host routes")
	kept("the host route is made again", route)

	// The master is renumbered. A prefix that is on-link without an address will do.
	address, err := netlink.ParseAddr(ownGlobal + "/64")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.router.Netlink.AddrDel(l.router.Link("m0"), address); err != nil {
		t.Fatal(err)
	}
	kept("no host route without the prefix")
	if err := l.router.Netlink.RouteAdd(&netlink.Route{LinkIndex: l.router.Index("m0"), Dst: &net.IPNet{IP: net.ParseIP("2001:db8:1::"), Mask: net.CIDRMask(64, 128)}}); err != nil {
		t.Fatal(err)
	}
	kept("the host route is back with the prefix", route)

	l.router.Sysctl("net.ipv6.conf.all.forwarding", "0")
	warned("the setting is logged", "this host does not forward")
	r.stop()
}
