package kernel

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestSweepsWhatACrashLeftAndNothingElse(t *testing.T) {
	router, _, k := newRouter(t)
	var log bytes.Buffer
	open := func() (tables *Tables) {
		var err error
		router.Do(func() { tables, err = k.OpenTables(4861000, slog.New(slog.NewTextHandler(&log, nil))) })
		if err != nil {
			t.Fatal(err)
		}
		return tables
	}
	links := func(names ...string) (list []*iface.Link) {
		for _, name := range names {
			list = append(list, &iface.Link{Name: name, Index: router.Index(name), Flags: unix.IFF_UP,
				Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}})
		}
		return list
	}
	// A crash: tables are made and not removed, the lock disappears with its process.
	crashed := open()
	if err := crashed.Sync(append(links("m0", "s2"), &iface.Link{Name: "deleted", Index: 4711})); err != nil {
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
		if err := router.Netlink.RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
	}
	route := crashed.route(4861000, router.Index("m0"))
	route.Protocol, route.Dst = 4, &net.IPNet{IP: net.ParseIP("2001:db8:77::"), Mask: net.CIDRMask(48, 128)}
	if err := router.Netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}

	tables := open()
	if err := tables.Sync(links("s1", "s2")); err != nil {
		t.Fatal(err)
	}
	const first, last, other = `0 oif "" table 255 proto 2`, `32766 oif "" table 254 proto 2`, `500 oif "s2" table 4861001 proto 4`
	kept := []string{`486 oif "s2" table 4860999 proto 78`, `486 oif "s2" table 4862000 proto 78`}
	const keptRoute = "2001:db8:77::/48 dev m0 table 4861000 proto 4"
	check(t, "rules", router.Rules(""), slices.Concat([]string{first}, kept,
		[]string{`486 oif "s1" table 4861000 proto 78`, `486 oif "s2" table 4861001 proto 78`, other, last}))
	check(t, "routes", router.Routes("table 4861"), []string{keptRoute,
		"::/0 dev s1 table 4861000 proto 78", "::/0 dev s2 table 4861001 proto 78"})
	if got := strings.Count(log.String(), "left behind"); got != 3 {
		t.Errorf("%d lines about what was left behind, want 3", got)
	}
	if err := tables.Close(); err != nil {
		t.Error(err)
	}
	check(t, "rules after the end", router.Rules(""), slices.Concat([]string{first}, kept, []string{other, last}))
	check(t, "routes after the end", router.Routes("table 4861"), []string{keptRoute})
}
