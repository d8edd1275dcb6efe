package pinger

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/pinger/kernel"
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

func TestMakesAgainWhatWasRemoved(t *testing.T) {
	l := newLab(t)
	r := start(t, l.router, testConfig())
	removals := map[string]func() error{
		"rule": func() error {
			rules, err := l.router.Netlink.RuleListFiltered(unix.AF_INET6, &netlink.Rule{Table: 4861001}, netlink.RT_FILTER_TABLE)
			if err != nil || len(rules) != 1 {
				return fmt.Errorf("%d rules, %w", len(rules), err)
			}
			return l.router.Netlink.RuleDel(&rules[0])
		},
		"route": func() error {
			return l.router.Netlink.RouteDel(&netlink.Route{Family: unix.AF_INET6, Table: 4861001, Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}})
		},
	}
	rules, routes := ours(l, 4861000, "s1", "s2")
	i := 0
	for what, remove := range removals {
		if err := remove(); err != nil {
			t.Fatalf("removing the %s: %v", what, err)
		}
		i++
		lab.Eventually(t, what+" is made again", func() bool {
			return strings.Count(r.log.String(), "made it again") == i && slices.Equal(l.router.Rules(""), rules) && slices.Equal(l.router.Routes("table 4861"), routes)
		})
	}
	if got := r.ask(onHost2, 2)["s2"]; got.Status != schemas.Reachable || got.Reason != "" {
		t.Errorf("result is %+v", got)
	}
	r.stop()
}

// A rule that precedes ours is named, once.
func TestRuleThatHidesTheTables(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.OifName, rule.Type = unix.AF_INET6, 100, "s2", unix.RTN_UNREACHABLE
	if err := l.router.Netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	warnings := func() int {
		r.ask(onHost2, 2)
		return strings.Count(r.log.String(), `level=WARN msg="no echo request leaves s2"`)
	}
	lab.Eventually(t, "the warning is logged", func() bool { return warnings() > 0 })
	if warnings() != 1 || !strings.Contains(r.log.String(), "ip rule 100: from all to all") {
		t.Error("it is logged again, or does not name the rule")
	}
	if err := l.router.Netlink.RuleDel(rule); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "its end is logged", func() bool {
		r.ask(onHost2, 2)
		return strings.Contains(r.log.String(), "echo requests leave s2 again")
	})
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
	other.Table += kernel.MaxTables
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
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "CAP_NET_RAW") || !strings.Contains(err.Error(), "ping_group_range") ||
		!errors.Is(err, unix.EPERM) || !errors.Is(err, unix.EACCES) {
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
func TestEchoWithoutTablesHasNoRoute(t *testing.T) {
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

// Only one pinger of a namespace keeps host routes, and one that keeps none does not
// sweep the other's.
func TestOnePingerKeepsHostRoutes(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.Masters, cfg.Route, cfg.Proxy, cfg.HoldDown = []string{"m0"}, true, true, 0
	first := start(t, l.router, cfg)
	first.ask(onHost2, 1)
	hostRoutes := func() []string { return l.router.Routes("table 254 proto 78") }
	kept := func() bool { return len(hostRoutes()) == 1 }
	lab.Eventually(t, "the host route is kept", kept)

	cfg.Table += kernel.MaxTables
	second := launch(t, l.router, cfg, nil)
	if err := <-second.ended; err == nil || !strings.Contains(err.Error(), "another pinger in this network namespace keeps host routes") {
		t.Errorf("error of the second one: %v", err)
	}
	cfg.Route, cfg.Proxy = false, false
	third := start(t, l.router, cfg)
	if !kept() {
		t.Error("swept by another one")
	}
	third.stop()
	first.stop()
	if len(hostRoutes()) != 0 {
		t.Errorf("after the stop there are %v", hostRoutes())
	}
	bare := launch(t, l.router, Config{Host: "r1", Slaves: cfg.Slaves, Masters: []string{"m0"}, Route: true, Rate: 10, Timeout: cfg.Timeout, Table: cfg.Table, Verify: cfg.Verify},
		keepCapabilities(unix.CAP_NET_RAW))
	if err := <-bare.ended; err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("error without the right to make routes: %v", err)
	}
	if diff := cmp.Diff([]string(nil), hostRoutes()); diff != "" {
		t.Error(diff)
	}
}

// Apart from ndmon, known targets are answered for without a relay command: NATS may be
// away.
func TestKnownTargetsAreAnsweredForWithoutCommands(t *testing.T) {
	l := newLab(t)
	l.router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	cfg := testConfig()
	cfg.Masters, cfg.Route, cfg.Proxy, cfg.HoldDown = []string{"m0"}, true, true, 0
	r := start(t, l.router, cfg)
	for _, target := range []string{onHost2, upstream} { // host 2 solicits for upstream too
		r.ask(target, 1)
	}
	lab.Eventually(t, "the host route is kept", func() bool { return len(l.router.Routes("table 254 proto 78")) == 1 })
	ping := l.upstream.Ping(netip.MustParseAddr(onHost2), 20*time.Millisecond)
	ping.WaitForReply()
	r.stop()
}
