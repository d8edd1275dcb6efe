package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// admin is a protocol number that an administrator's routes have
// (RTPROT_STATIC).
const (
	admin   = 4
	byAdmin = "proto 4"
)

// Entries of other programs for a target do not disturb, and stay.
func TestForeignEntriesStay(t *testing.T) {
	t.Parallel()
	w := lab.NewProxyRouter(t, false)
	r := w.Router
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	index := func(name string) int { return r.Link(name).Attrs().Index }
	single := func(a netip.Addr) *net.IPNet { return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(128, 128)} }
	// Routes to the target itself, a right and a wrong one, with metrics
	// that prefer them or do not, and one in the table of a slave.
	for _, route := range []netlink.Route{
		{LinkIndex: index(lab.Slave2), Dst: single(lab.Host2Address), Priority: 2048, Table: unix.RT_TABLE_MAIN},
		{LinkIndex: index(lab.Slave1), Dst: single(lab.Host2Address), Priority: 4096, Table: unix.RT_TABLE_MAIN},
		{LinkIndex: index(lab.Slave1), Dst: single(lab.Host2Address), Table: 4321},
	} {
		route.Protocol = admin
		must("add a route", r.Netlink.RouteAdd(&route))
	}
	rule := netlink.NewRule()
	rule.Family, rule.OifName, rule.Table, rule.Priority, rule.Protocol = unix.AF_INET6, lab.Slave2, 4321, 30000, admin
	must("add a rule", r.Netlink.RuleAdd(rule))
	// A proxy neighbour entry has no protocol number by default.
	for _, a := range []netip.Addr{lab.Host2Address, lab.Host1Address} {
		must("add a proxy neighbour entry", r.Netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: index(lab.Master), Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: a.AsSlice()}))
	}
	foreign := func() []string {
		list := append(r.Routes(byAdmin), r.Rules(byAdmin)...)
		for _, proxy := range r.Proxies() {
			if !strings.HasSuffix(proxy, byUs) {
				list = append(list, proxy)
			}
		}
		slices.Sort(list)
		return list
	}
	before := foreign()
	if len(before) != 6 {
		t.Fatalf("entries of others: %v", before)
	}
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before, foreign()); diff != "" {
			t.Errorf("entries of others %s (-want +got):\n%s", when, diff)
		}
	}

	p := startProxy(t, r, "--route", "--proxy")
	check("after the start")
	ping := r.Upstream.Ping(lab.Host2Address, often)
	ping.WaitForReply()
	settled(t, ping, 20)
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	check("while the target is known")
	r.Host2.RemoveAddress("eth0", w.Host)
	lab.Eventually(t, "the host route is gone", func() bool { return len(hostRoutes(r)) == 0 })
	check("after the target has gone")
	r.Host2.Address("eth0", w.Host)
	ping.WaitForReply()
	check("after the target is back")
	p.Signal(syscall.SIGKILL)
	p.Wait()
	p = startProxy(t, r)
	check("after kill -9 and a start")
	stop(t, p)
	check("after the end")
	if list := append(r.Routes(byUs), r.Rules(byUs)...); len(list) > 0 {
		t.Errorf("left of ndmon's own: %v", list)
	}
}

// NS-Monitor's ping fails where a /128 for the target exists, on all slaves.
func TestRelayWithARouteOfAnother(t *testing.T) {
	t.Parallel()
	for _, through := range []string{lab.Slave1, lab.Slave2, lab.Master} {
		t.Run(through, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			route := netlink.Route{LinkIndex: r.Link(through).Attrs().Index, Protocol: admin,
				Dst: &net.IPNet{IP: lab.Host2Address.AsSlice(), Mask: net.CIDRMask(128, 128)}}
			must(t, r.Netlink.RouteAdd(&route))
			before := r.Routes(byAdmin)
			p := startRelay(t, r)
			results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
			r.Wire(lab.Master).Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame())
			if found := resultsOf(t, results, lab.Host2Address); found[lab.Slave2].Status != "reachable" || found[lab.Slave1].Status != "unreachable" {
				t.Errorf("results: %+v", found)
			}
			p.Stop()
			if diff := cmp.Diff(before, r.Routes(byAdmin)); diff != "" {
				t.Errorf("routes of others (-want +got):\n%s", diff)
			}
		})
	}
}
