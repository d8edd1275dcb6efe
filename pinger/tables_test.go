package pinger

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// standardRules are those that every namespace has.
var standardRules = []string{`0 oif "" table 255 proto 2`, `32766 oif "" table 254 proto 2`}

func check(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func ours(l *network, base int, slaves ...string) (rules, routes []string) {
	for i, s := range slaves {
		rules = append(rules, fmt.Sprintf("486 oif %q table %d proto 78", s, base+i))
		routes = append(routes, fmt.Sprintf("::/0 dev %s table %d proto 78", s, base+i))
	}
	return append(append(standardRules[:1:1], rules...), standardRules[1]), routes
}

func TestTablesComeAndGo(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	rules, routes := ours(l, 4861000, "s1", "s2")
	check(t, "rules", l.router.Rules(""), rules)
	check(t, "routes", l.router.Routes("table 4861"), routes)

	l.router.Down("s1") // takes the route along
	l.router.Up("s1")
	r.untilStatus(onHost1, "s1", schemas.Reachable)
	_, routes = ours(l, 4861000, "s1", "s2")
	// The host is found at once, also while the route is being made again.
	lab.Eventually(t, "the routes are back", func() bool { return slices.Equal(l.router.Routes("table 4861"), routes) })
	check(t, "routes after down and up", l.router.Routes("table 4861"), routes)

	r.stop()
	check(t, "rules after stop", l.router.Rules(""), standardRules)
	check(t, "routes after stop", l.router.Routes("table 4861"), nil)
}

// Traffic that no program binds to a slave goes where it went before.
func TestTablesDivertNothing(t *testing.T) {
	l := newLab(t)
	before, err := l.router.Netlink.RouteGet(net.ParseIP(onHost2))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, l.router, testConfig())
	after, err := l.router.Netlink.RouteGet(net.ParseIP(onHost2))
	if err != nil {
		t.Fatal(err)
	}
	if before[0].LinkIndex != l.router.Index("m0") || after[0].LinkIndex != before[0].LinkIndex || after[0].Table != before[0].Table {
		t.Errorf("the route was %v and is %v", before[0], after[0])
	}
	r.stop()
}

// What the main table has for a target makes no difference to its probe.
func TestRoutesInTheMainTableDoNotMatter(t *testing.T) {
	l := newLab(t)
	host := func(bits int) *net.IPNet {
		mask := net.CIDRMask(bits, 128)
		return &net.IPNet{IP: net.ParseIP(onHost2).Mask(mask), Mask: mask}
	}
	routes := []*netlink.Route{
		{Dst: host(128), LinkIndex: l.router.Index("s1")},
		{Dst: host(127), Type: unix.RTN_UNREACHABLE},
	}
	cfg := testConfig()
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	for _, route := range routes {
		if err := l.router.Netlink.RouteAdd(route); err != nil {
			t.Fatal(err)
		}
		results := r.ask(onHost2, 2)
		if results["s1"].Status != schemas.Unreachable || results["s2"].Status != schemas.Reachable {
			t.Errorf("with %v: %+v", route, results)
		}
		if err := l.router.Netlink.RouteDel(route); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
}

func TestSweepsWhatACrashLeftAndNothingElse(t *testing.T) {
	l := newLab(t)
	// A crash: tables are made and not removed, the lock goes with its process.
	var crashed *tables
	var err error
	l.router.Do(func() { crashed, err = openTables(l.router.Netlink, 4861000, slog.New(slog.DiscardHandler)) })
	if err != nil {
		t.Fatal(err)
	}
	links := []*link{
		{name: "m0", index: l.router.Index("m0"), flags: unix.IFF_UP, addresses: make([]address, 1)},
		{name: "s2", index: l.router.Index("s2"), flags: unix.IFF_UP, addresses: make([]address, 1)},
		{name: "deleted", index: 4711},
	}
	if err := crashed.sync(links); err != nil {
		t.Fatal(err)
	}
	crashed.lock.Close()

	foreign := []*netlink.Rule{
		crashed.rule("s2", 4860999), crashed.rule("s2", 4862000), // of a pinger with other tables
		crashed.rule("s2", 4861001), // like ours, of another originator
	}
	foreign[2].Protocol = 4
	foreign[2].Priority = 500
	for _, rule := range foreign {
		if err := l.router.Netlink.RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
	}
	route := crashed.route(4861000, l.router.Index("m0"))
	route.Protocol, route.Dst = 4, &net.IPNet{IP: net.ParseIP("2001:db8:77::"), Mask: net.CIDRMask(48, 128)}
	if err := l.router.Netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}

	r := start(t, l.router, testConfig())
	rules, routes := ours(l, 4861000, "s1", "s2")
	kept := []string{`486 oif "s2" table 4860999 proto 78`, `486 oif "s2" table 4862000 proto 78`}
	const other = `500 oif "s2" table 4861001 proto 4`
	keptRoute := "2001:db8:77::/48 dev m0 table 4861000 proto 4"
	check(t, "rules", l.router.Rules(""), append(append(append(rules[:1:1], kept...), rules[1:3]...), other, rules[3]))
	check(t, "routes", l.router.Routes("table 4861"), slices.Sorted(slices.Values([]string{routes[0], keptRoute, routes[1]})))
	if got := strings.Count(r.log.String(), "left behind"); got != 3 {
		t.Errorf("%d lines about what was left behind, want 3", got)
	}
	if got := r.ask(onHost2, 2)["s2"].Status; got != schemas.Reachable {
		t.Errorf("status is %s", got)
	}
	r.stop()
	check(t, "rules after stop", l.router.Rules(""), append(append(standardRules[:1:1], kept...), other, standardRules[1]))
	check(t, "routes after stop", l.router.Routes("table 4861"), []string{keptRoute})
}

func TestMakesAgainWhatSomebodyRemoved(t *testing.T) {
	l := newLab(t)
	r := start(t, l.router, testConfig())
	removals := map[string]func(*tables) error{
		"rule":  func(tb *tables) error { return tb.handle.RuleDel(tb.rule("s2", 4861001)) },
		"route": func(tb *tables) error { return tb.handle.RouteDel(tb.route(4861001, 0)) },
	}
	i := 0
	for what, remove := range removals {
		if err := remove(&tables{handle: l.router.Netlink}); err != nil {
			t.Fatalf("removing the %s: %v", what, err)
		}
		i++
		target := fmt.Sprintf("2001:db8:1::99:%x", i)
		l.host2.Address("h0", target+"/64")
		got := r.ask(target, 2)["s2"]
		if got.Status != schemas.Reachable || got.Reason != schemas.NoRoute || !strings.Contains(got.Error, "the route through s2 was gone") {
			t.Errorf("%s removed: result is %+v", what, got)
		}
		lab.Eventually(t, "it is logged", func() bool { return strings.Count(r.log.String(), "made it again") >= i })
	}
	rules, routes := ours(l, 4861000, "s1", "s2")
	check(t, "rules", l.router.Rules(""), rules)
	check(t, "routes", l.router.Routes("table 4861"), routes)
	r.stop()
}

func TestTwoPingersInOneNamespace(t *testing.T) {
	l := newLab(t)
	first := start(t, l.router, testConfig())
	second := launch(t, l.router, testConfig(), nil)
	if err := <-second.ended; err == nil || !strings.Contains(err.Error(), "another pinger in this network namespace") ||
		!strings.Contains(err.Error(), "PINGER_TABLE=4861000") {
		t.Errorf("error of the second pinger: %v", err)
	}
	other := testConfig()
	other.Table += maxTables
	third := start(t, l.router, other)
	third.stop()
	rules, routes := ours(l, 4861000, "s1", "s2")
	check(t, "rules of the first pinger", l.router.Rules(""), rules)
	check(t, "routes of the first pinger", l.router.Routes("table 4861"), routes)
	if got := first.ask(onHost2, 2)["s2"].Status; got != schemas.Reachable {
		t.Errorf("status is %s", got)
	}
	first.stop()
}

// keepCapabilities leaves the calling thread no capability but these.
func keepCapabilities(keep ...int) func() error {
	return func() error {
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		for _, c := range keep {
			data[c/32].Effective |= 1 << (c % 32)
			data[c/32].Permitted |= 1 << (c % 32)
		}
		return unix.Capset(&header, &data[0])
	}
}

func TestWithoutCapNetAdmin(t *testing.T) {
	l := newLab(t)
	l.router.Address("s1", "2001:db8:5::1/64")
	l.host1.Address("h0", "2001:db8:5::11/64")
	r := launch(t, l.router, testConfig(), keepCapabilities(unix.CAP_NET_RAW))
	r.ready()
	check(t, "rules", l.router.Rules(""), standardRules)
	if log := r.log.String(); strings.Count(log, "slaves without a route of their own") != 1 ||
		!strings.Contains(log, "slaves=[s2] why=\"the pinger lacks CAP_NET_ADMIN\"") {
		t.Errorf("log does not say once that s2 has no route")
	}
	if got := r.ask("2001:db8:5::11", 2); got["s1"].Status != schemas.Reachable || got["s1"].Ethernet == nil {
		t.Errorf("a target that s1 has a route to: %+v", got)
	}
	got := r.ask(onHost2, 2)["s2"]
	if got.Status != schemas.Reachable || got.Reason != schemas.NoRoute || !strings.Contains(got.Error, "CAP_NET_ADMIN") {
		t.Errorf("a target that s2 has no route to: %+v", got)
	}
	r.stop()
}

func TestWithoutAnyCapability(t *testing.T) {
	l := newLab(t)
	l.router.Address("s1", "2001:db8:5::1/64")
	l.host1.Address("h0", "2001:db8:5::11/64")
	r := launch(t, l.router, testConfig(), keepCapabilities())
	var none *NoSocketError
	if err := <-r.ended; !errors.As(err, &none) || !strings.Contains(err.Error(), "CAP_NET_RAW") || !strings.Contains(err.Error(), "ping_group_range") ||
		!errors.Is(none.Raw, unix.EPERM) || !errors.Is(none.Datagram, unix.EACCES) {
		t.Fatalf("error is %v", err)
	}
	l.router.Sysctl("net.ipv4.ping_group_range", "0 2147483647")
	r = launch(t, l.router, testConfig(), keepCapabilities())
	r.ready()
	if got := r.ask("2001:db8:5::11", 2)["s1"]; got.Status != schemas.Reachable || got.Ethernet == nil {
		t.Errorf("with a datagram socket alone: %+v", got)
	}
	r.stop()
}

// The tables are for a router with one /64: this is what happens without them.
func TestNaiveWayFails(t *testing.T) {
	l := newLab(t)
	r := start(t, l.router, testConfig())
	lab.Eventually(t, "found with the tables", func() bool { return r.ask(onHost2, 2)["s2"].Status == schemas.Reachable })
	r.stop()
	bare := launch(t, l.router, testConfig(), keepCapabilities(unix.CAP_NET_RAW))
	bare.ready()
	if got := bare.ask(onHost2, 2)["s2"].Reason; got != schemas.NoRoute {
		t.Errorf("reason without the tables is %q, want %s", got, schemas.NoRoute)
	}
	bare.stop()
}
