package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What other programs change is reported once, what the pinger changes and what is behind
// gateways is not.
func TestFollowRoutes(t *testing.T) {
	router, _, k := newRouter(t)
	var tables *Tables
	router.Do(func() { tables, _ = k.OpenTables(4861000, slog.New(slog.DiscardHandler)) })
	if err := tables.Sync([]*iface.Link{{Name: "s1", Index: router.Index("s1"), Flags: unix.IFF_UP,
		Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reports, ended := make(chan Rerouted, 100), make(chan error)
	go func() { ended <- k.FollowRoutes(ctx, 4861000, func(c Rerouted) { reports <- c }) }()
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	host := func(bits int) *net.IPNet { return &net.IPNet{IP: net.ParseIP(onHost1), Mask: net.CIDRMask(bits, 128)} }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want Rerouted) {
		t.Helper()
		select {
		case got := <-reports:
			got.Program = ""
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		case <-time.After(lab.Patience):
			t.Fatalf("%s is not reported", what)
		}
	}
	// Ours, and what is not on a link, in between a change of which the report comes last.
	target := netip.MustParseAddr(onHost1)
	must(k.SetRoute(target, router.Index("s1")))
	must(k.RemoveRoute(target, router.Index("s1")))
	must(k.SetRoute(target, router.Index("s1")))
	addRoute(t, router, "::/0", "m0", upstream)
	addRoute(t, router, "2001:db8:3::/48", "m0", upstream)
	router.Address("m0", "2001:db8:7::1/64")
	expect("a new prefix", Rerouted{Prefixes: prefixes("2001:db8:7::/64")})

	must(router.Netlink.RouteDel(&netlink.Route{Dst: host(128), Priority: routeMetric}))
	expect("a host route that was removed", Rerouted{Prefixes: prefixes(onHost1 + "/128"), Lost: 1})

	must(router.Netlink.RouteDel(tables.route(4861000, 0)))
	expect("a table that was flushed", Rerouted{Tables: true})
	must(router.Netlink.RuleDel(tables.rule("s1", 4861000)))
	expect("a rule that was removed", Rerouted{Tables: true})

	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.Table = unix.AF_INET6, 100, 100
	must(router.Netlink.RuleAdd(rule))
	expect("a rule of another program", Rerouted{All: true})

	n := 0
	lab.Eventually(t, "many prefixes at once", func() bool { // a slow machine may need longer than gather for them
		for range maxRerouted + 1 {
			addRoute(t, router, fmt.Sprintf("2001:db8:%x::/48", 0x1000+n), "m0", "")
			n++
		}
		got := <-reports
		return got.All && got.Prefixes == nil
	})
	cancel()
	must(<-ended)
}

// A program that removes the routes as often as they are made costs less and less, and
// delays nothing else.
func TestContestedRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := &rerouting{changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		var lost, links []time.Duration
		go r.report(ctx, func(c Rerouted) {
			if c.Lost == 0 {
				links = append(links, time.Since(start))
				return
			}
			lost = append(lost, time.Since(start))
			r.note(time.Now(), &r.lost, func(c *Rerouted) { c.Lost++ })
		})
		r.note(time.Now(), &r.lost, func(c *Rerouted) { c.Lost++ })
		time.Sleep(30 * time.Second)
		r.note(time.Now(), &r.links, func(c *Rerouted) { c.add(netip.MustParsePrefix("2001:db8::/64")) })
		time.Sleep(5 * time.Second)
		cancel()
		synctest.Wait()
		const ms = time.Millisecond
		if diff := cmp.Diff([]time.Duration{100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 12700 * ms, 22700 * ms, 32700 * ms}, lost); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]time.Duration{30100 * ms}, links); diff != "" {
			t.Error(diff)
		}
	})
}
