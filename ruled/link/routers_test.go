package link

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// configured is the gateway as a configuration has it.
func configured(change ...func(*router.Router)) router.Link {
	flags, lifetime, hops, zero, size := uint8(0), uint16(1800), uint8(64), uint32(0), uint32(1500)
	prefixFlags, valid, preferred, dns := uint8(0xc0), uint32(86400), uint32(14400), uint32(900)
	high := uint8(8)
	r := router.Router{
		MAC: mac(gateway), LinkLocal: ip(gatewayLL), Addresses: []addr{ip("2001:db8::1")},
		CurHopLimit: &hops, Flags: &flags, Lifetime: &lifetime, ReachableTimer: &zero, RetransTimer: &zero, MTU: &size,
		Prefixes: []router.Prefix{{Prefix: pre("2001:db8::/64"), Flags: &prefixFlags, Valid: &valid, Preferred: &preferred}},
		RDNSS:    []router.DNS{{Address: ip("2001:db8::53"), Lifetime: &dns}},
		DNSSL:    []router.Domain{{Domain: "example.org", Lifetime: &dns}},
		Routes:   []router.Route{{Prefix: pre("2001:db8:9::/48"), Flags: &high, Lifetime: &dns}},
	}
	for _, c := range change {
		c(&r)
	}
	return router.Link{Interface: "eth0", Routers: []router.Router{r}}
}

func volatile(r *router.Router) { r.Volatile = true }

func TestConfiguredRouters(t *testing.T) {
	second := router.Router{MAC: mac(other), LinkLocal: ip("fe80::b")}
	for _, test := range []struct {
		name   string
		change []func(*router.Router)
		event  *schemas.Event
		want   string
	}{
		{"the router as it is", nil, ra(gateway, gatewayLL, prefix("2001:db8::/64"), mtu(1500), rdnss("2001:db8::53", 900), dnssl("example.org", 900), route("2001:db8:9::/48", "high", 900)), ""},
		{"another router", nil, ra(attacker, attackerLL), "router.unknown router.default router.rogue"},
		{"another router, of no use", nil, ra(attacker, attackerLL, radvert(stops)), "router.unknown router.rogue"},
		{"a stub router", nil, ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64")), "router.unknown router.stub"},
		{"another Ethernet address", nil, ra(attacker, gatewayLL), "router.wrongmac router.wrong"},
		{"another link-local address", nil, ra(gateway, attackerLL), "router.wrongaddress router.wrong"},
		{"the addresses of two routers", nil, ra(gateway, "fe80::b"), "router.wrongcouple router.wrong"},
		{"another hop limit", nil, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.CurHopLimit = 1 })), "ra.curhoplimit ra.params"},
		{"other flags", nil, ra(gateway, gatewayLL, flags("M")), "ra.flags ra.params"},
		{"another preference", nil, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.Preference = "high" })), "ra.preference ra.params"},
		{"another lifetime", nil, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.Lifetime = 9000 })), "ra.lifetime ra.params"},
		{"a lifetime of 0", nil, ra(gateway, gatewayLL, radvert(stops)), "ra.stops ra.lifetime"},
		{"another reachable time", nil, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.ReachableTimer = 1 })), "ra.reachabletimer ra.params"},
		{"another retransmission timer", nil, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.RetransTimer = 1 })), "ra.retranstimer ra.params"},
		{"another MTU", nil, ra(gateway, gatewayLL, mtu(1280)), "ra.mtu"},
		{"another prefix next to it", nil, ra(gateway, gatewayLL, prefix("2001:db8::/64"), prefix("2001:db8:bad::/64")), "ra.prefix"},
		{"another prefix length", nil, ra(gateway, gatewayLL, prefix("2001:db8::/63")), "ra.prefix"},
		{"another valid lifetime", nil, ra(gateway, gatewayLL, prefix("2001:db8::/64", 7200, 7200)), "ra.prefixparams"},
		{"other prefix flags", nil, ra(gateway, gatewayLL, prefix("2001:db8::/64"), func(e *schemas.Event) { e.ND.Opt.PrefixInfo[0].Flag.Autoconf = false }), "ra.prefixparams"},
		{"another DNS server", nil, ra(gateway, gatewayLL, rdnss("2001:db8:bad::53", 900)), "ra.rdnss"},
		{"another lifetime of a DNS server", nil, ra(gateway, gatewayLL, rdnss("2001:db8::53", 60)), "ra.rdnss"},
		{"another search domain", nil, ra(gateway, gatewayLL, dnssl("evil.example", 900)), "ra.dnssl"},
		{"another route", nil, ra(gateway, gatewayLL, route("::/0", "high", 900)), "ra.route"},
		{"another lifetime of a route", nil, ra(gateway, gatewayLL, route("2001:db8:9::/48", "high", 60)), "ra.routelifetime"},
		{"another preference of a route", nil, ra(gateway, gatewayLL, route("2001:db8:9::/48", "low", 900)), "ra.routepreference"},
		{"volatile parameters", []func(*router.Router){volatile}, ra(gateway, gatewayLL, flags("MO"), mtu(1280), prefix("2001:db8::/64", 7200, 7200)), ""},
		{"volatile parameters, but another prefix and DNS server", []func(*router.Router){volatile}, ra(gateway, gatewayLL, prefix("2001:db8:bad::/64"), rdnss("2001:db8:bad::53", 900)), "ra.prefix ra.rdnss"},
		{"a router that stops", []func(*router.Router){volatile}, ra(gateway, gatewayLL, radvert(func(r *schemas.RA) { r.Lifetime = 0 }), rdnss("2001:db8::53", 0)), "ra.stops"},
		{"one that never was a default router", []func(*router.Router){func(r *router.Router) { r.Lifetime = new(uint16) }}, ra(gateway, gatewayLL, radvert(stops)), ""},

		{"Redirect of the router to another host on the link", nil, rd(gateway, gatewayLL, "2001:db8::b", "2001:db8::b"), ""},
		{"Redirect to a distant address as on-link", nil, rd(gateway, gatewayLL, "2001:db8:9::9", "2001:db8:9::9"), "router.offlink"},
		{"Redirect to another router", nil, rd(gateway, gatewayLL, "fe80::b", "2001:db8:9::9"), ""},
		{"Redirect to another station", nil, rd(gateway, gatewayLL, attackerLL, "2001:db8:9::9"), "router.target"},
		{"Redirect of another router", nil, rd(attacker, attackerLL, attackerLL, "2001:db8:9::9"), "router.unknown router.target"},
		{"Redirect in the router's name", nil, rd(attacker, gatewayLL, attackerLL, "2001:db8:9::9"), "router.wrongmac router.wrong router.target"},
		{"Redirect from another address of the router", nil, rd(gateway, attackerLL, "2001:db8::b", "2001:db8::b"), "router.wrongaddress router.wrong"},

		{"R flag of the router", nil, na(gateway, "2001:db8::1", flags("RO")), "unsolicited"},
		{"R flag of another station", nil, na(attacker, attackerLL, flags("RO")), "unsolicited router.flag"},
		{"the router is none", nil, na(gateway, gatewayLL, flags("O")), "unsolicited router.noflag"},

		{"source on the link", nil, ns(host, "2001:db8::a", "2001:db8::1"), ""},
		{"source elsewhere", nil, ns(host, "2001:db8:bad::a", "2001:db8::1"), "bogon"},
		{"link-local source", nil, ns(host, hostLL, "2001:db8::1"), ""},
		{"site-local source", nil, ns(host, "fec0::1", "2001:db8::1"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			routers := configured(test.change...)
			routers.Routers = append(routers.Routers, second)
			table := newTable(routers)
			table.Observe(test.event)
			table.Observe(test.event) // what is new is not of interest here
			if !test.event.Link.Configured {
				t.Error("not configured")
			}
			test.event.Link.Configured = false
			if got := facts(test.event); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestConfigurationIsOfOneLink(t *testing.T) {
	id := uint16(7)
	for _, test := range []struct {
		name   string
		change func(*router.Link)
		opts   []option
		want   bool
	}{
		{"its interface", func(*router.Link) {}, nil, true},
		{"another interface", func(*router.Link) {}, []option{on("eth1")}, false},
		{"its host", func(r *router.Link) { r.Host = "r1" }, nil, true},
		{"another host", func(r *router.Link) { r.Host = "r2" }, nil, false},
		{"every link", func(r *router.Link) { r.Interface = "" }, []option{on("eth7")}, true},
		{"its VLAN", func(r *router.Link) { r.VLAN = &id }, []option{vlan(7)}, true},
		{"another VLAN", func(r *router.Link) { r.VLAN = &id }, []option{vlan(8)}, false},
		{"no VLAN", func(r *router.Link) { r.VLAN = &id }, nil, false},
		{"no VLAN, as configured", func(r *router.Link) { r.VLAN = new(uint16) }, nil, true},
		{"a VLAN where none is configured", func(r *router.Link) { r.VLAN = new(uint16) }, []option{vlan(7)}, false},
	} {
		routers := configured()
		test.change(&routers)
		e := ra(attacker, attackerLL, test.opts...)
		newTable(routers).Observe(e)
		if got := strings.Contains(facts(e), "configured"); got != test.want {
			t.Errorf("%s: configured %t, want %t", test.name, got, test.want)
		}
	}
}

func stops(r *schemas.RA) { r.Lifetime = 0 }

func TestLearnedRouters(t *testing.T) {
	heard := []*schemas.Event{ra(gateway, gatewayLL, prefix("2001:db8::/64"), mtu(1500)), ns(attacker, attackerLL, "2001:db8::1"), ns(host, global, "2001:db8::1")}
	then := func(events ...*schemas.Event) []*schemas.Event {
		return append(heard[:len(heard):len(heard)], events...)
	}
	again := func(d time.Duration, opts ...option) *schemas.Event {
		return ra(gateway, gatewayLL, append([]option{prefix("2001:db8::/64"), mtu(1500), after(d)}, opts...)...)
	}
	// lasting0 is a router that is none by default and says so again.
	lasting0 := func(last *schemas.Event) []*schemas.Event {
		return []*schemas.Event{again(0, radvert(stops)), again(2*minute, radvert(stops)), last}
	}
	for _, test := range []struct {
		name   string
		events []*schemas.Event
		want   string
	}{
		{"the first router", heard[:1], "station.new claim.new router.new"},
		{"the first router again", then(again(minute)), ""},
		{"a second router", then(ra(attacker, attackerLL, after(minute))), "router.unknown router.default router.rogue"},
		{"in the first one's name", then(ra(attacker, gatewayLL, after(minute))), "claim.changed claim.contested claim.spoofed claim.router router.wrongmac router.wrong"},
		{"another prefix", then(again(minute, prefix("2001:db8:bad::/64"))), "ra.prefix"},
		{"another prefix, again and again", then(again(minute, prefix("2001:db8:bad::/64")), again(2*minute, prefix("2001:db8:bad::/64"))), "ra.prefix"},
		{"other flags", then(again(minute, flags("MO"))), "ra.flags ra.params"},
		{"lifetimes that run down", then(ra(gateway, gatewayLL, prefix("2001:db8::/64", 86340, 14340), mtu(1500), after(minute))), ""},
		{"lifetimes that have grown", then(ra(gateway, gatewayLL, prefix("2001:db8::/64", 90000, 90000), mtu(1500), after(minute))), ""},
		{"lifetimes that drop", then(ra(gateway, gatewayLL, prefix("2001:db8::/64", 86400, 1), mtu(1500), after(minute))), "ra.prefixparams"},
		{"lifetimes that drop back", then(ra(gateway, gatewayLL, prefix("2001:db8::/64", 100000, 100000), mtu(1500), after(minute)), again(2*minute)), "ra.prefixparams"},
		{"lifetimes for ever", then(ra(gateway, gatewayLL, prefix("2001:db8::/64", 1<<32-1, 14400), mtu(1500), after(minute))), "ra.prefixparams"},
		{"a DNS server taken back", []*schemas.Event{ra(gateway, gatewayLL, rdnss("2001:db8::53", 8)), ra(gateway, gatewayLL, rdnss("2001:db8::53", 0), after(2*time.Second))}, "ra.rdnss"},
		{"a DNS server that runs out", []*schemas.Event{ra(gateway, gatewayLL, rdnss("2001:db8::53", 8)), ra(gateway, gatewayLL, rdnss("2001:db8::53", 0), after(8*time.Second))}, ""},
		{"the router has stopped and is none", then(again(minute, radvert(stops)), na(gateway, gatewayLL, flags("O"), after(minute))), "unsolicited"},
		{"a router lifetime that drops", then(again(minute, radvert(func(r *schemas.RA) { r.Lifetime = 1 }))), "ra.lifetime ra.params"},
		{"a DNS server that was not there", then(again(minute, rdnss("2001:db8:bad::53", 900))), "ra.rdnss"},
		{"a NAT64 prefix that was not there", then(again(minute, pref64("64:ff9b::/96"))), "ra.pref64"},
		{"an option that was not there", then(again(minute, unknown(37))), "ra.option"},
		{"options over two RAs", []*schemas.Event{heard[0], again(time.Second/2, rdnss("2001:db8::53", 900), unknown(37), pref64("64:ff9b::/96")), again(minute), again(minute, rdnss("2001:db8::53", 900), unknown(37))}, ""},
		{"other parameters in the same second", []*schemas.Event{heard[0], again(time.Second/2, flags("O"))}, "ra.flags ra.params"},
		{"a router with lifetime 0 changes", lasting0(again(4*minute, radvert(stops), rdnss("2001:db8:bad::53", 900))), "ra.rdnss"},
		{"a router with lifetime 0 becomes a default router", lasting0(again(4 * minute)), "ra.lifetime ra.params"},
		{"a stranger next to a router with lifetime 0", lasting0(ra(attacker, attackerLL, after(4*minute))), "station.new claim.new router.unknown router.default router.rogue"},
		{"a router first heard when it stops", []*schemas.Event{again(0, radvert(stops)), again(minute)}, ""},
		{"a stranger with a network of its own", then(ra(attacker, attackerLL, radvert(stops), prefix("2001:db8:9::/64"), after(minute))), "router.unknown"},
		{"a stranger with a route to the Internet", then(ra(attacker, attackerLL, radvert(stops), route("::/0", "medium", 600), after(minute))), "router.unknown router.default router.rogue"},
		{"a stranger with a route to half of it", then(ra(attacker, attackerLL, radvert(stops), route("2000::/4", "medium", 600), after(minute))), "router.unknown router.default router.rogue"},
		{"a stranger with the Internet on the link", []*schemas.Event{ra(gateway, gatewayLL), ra(attacker, attackerLL, radvert(stops), prefix("::/0"), after(minute))},
			"station.new claim.new router.unknown router.default router.rogue"},
		{"a stranger with a search domain", then(ra(attacker, attackerLL, radvert(stops), dnssl("example.org", 600), after(minute))), "router.unknown router.rogue"},
		{"a stranger with a DNS server", then(ra(attacker, attackerLL, radvert(stops), rdnss("2001:db8:9::53", 600), after(minute))), "router.unknown router.rogue"},
		{"a stranger with an encrypted DNS server", then(ra(attacker, attackerLL, radvert(stops), encryptedDNS("dns.example", 600), after(minute))), "router.unknown router.rogue"},
		{"a stranger with the router's prefix", then(ra(attacker, attackerLL, radvert(stops), prefix("2001:db8::/65"), after(minute))), "router.unknown router.rogue"},
		{"a stranger that takes the router's prefix back", then(ra(attacker, attackerLL, radvert(stops), prefix("2001:db8::/64", 0, 0), after(minute))), "router.unknown router.rogue"},
		{"a stranger with a provisioning domain", then(ra(attacker, attackerLL, radvert(stops), pvd(rdnss("2001:db8:9::53", 600)), after(minute))), "router.unknown router.rogue"},
		{"a stub router", then(ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), route("fd01::/64", "low", 600), after(minute))), "router.unknown router.stub"},
		{"a stub router again", then(ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), after(minute)), ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), after(2*minute))), ""},
		{"a stub router with another prefix", then(ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), after(minute)), ra(attacker, attackerLL, radvert(stub), prefix("fd02::/64"), after(2*minute))), "ra.prefix"},
		{"a stub router that wants more", then(ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), after(minute)), ra(attacker, attackerLL, prefix("fd00::/64"), after(2*minute))),
			"router.unknown router.default router.rogue ra.flags ra.lifetime ra.params"},
		{"a stub router with a global prefix", then(ra(attacker, attackerLL, radvert(stub), prefix("2001:db8:9::/64"), after(minute))), "router.unknown"},
		{"a stub router with the router's prefix", []*schemas.Event{ra(gateway, gatewayLL, prefix("fd00::/64")), ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64"), after(minute))},
			"station.new claim.new router.unknown router.rogue"},
		{"a router after a stub router", []*schemas.Event{ra(attacker, attackerLL, radvert(stub), prefix("fd00::/64")), ra(gateway, gatewayLL, after(minute))}, "station.new claim.new router.new"},
		{"the host itself as a router", then(ra(host, hostLL, sent, after(minute))), ""},
		{"the host itself as a router first, then a stranger", []*schemas.Event{ra(host, hostLL, sent), ra(attacker, attackerLL, after(minute))}, "station.new claim.new router.unknown router.default router.rogue"},
		{"the router is back after hours", then(again(5 * 60 * minute)), ""},
		{"the router is back after another took its place", then(ra(other, "fe80::b", after(31*minute)), again(60*minute)), ""},
		{"kill_router6 first, then the change", then(again(minute, radvert(stops)), again(2*minute, rdnss("2001:db8:bad::53", 900))), "ra.rdnss"},
		{"a router that contradicts itself", []*schemas.Event{again(0, prefix("2001:db8::/64", 100, 50), route("::/0", "low", 600)), again(minute, prefix("2001:db8::/64", 100, 50), route("::/0", "low", 600))}, ""},
		{"a prefix again, for a second", then(again(minute, prefix("2001:db8::/64", 1, 1))), "ra.option"},
		{"NAT64 taken back", []*schemas.Event{again(0, pref64("64:ff9b::/96", 1800)), again(minute, pref64("64:ff9b::/96", 0))}, "ra.pref64"},
		{"another captive portal", []*schemas.Event{again(0, captivePortal("https://a.example")), again(minute, captivePortal("https://b.example"))}, "ra.option"},
		{"the same captive portal", []*schemas.Event{again(0, captivePortal("https://a.example")), again(minute, captivePortal("https://a.example"))}, ""},
		{"an encrypted DNS server taken back", []*schemas.Event{again(0, encryptedDNS("dns.example", 1800)), again(minute, encryptedDNS("dns.example", 0))}, "ra.option"},
		{"one whose lifetime runs down", []*schemas.Event{again(0, encryptedDNS("dns.example", 1800)), again(10*minute, encryptedDNS("dns.example", 1200))}, ""},
		{"another content of an unknown option", []*schemas.Event{again(0, unknown(200, "0102")), again(minute, unknown(200, "0103"))}, "ra.option"},
		{"another server in a provisioning domain", []*schemas.Event{again(0, pvd(rdnss("2001:db8::53", 900))), again(minute, pvd(rdnss("2001:db8:bad::53", 900)))}, "ra.option"},
		{"the flag of a prefix", then(again(minute, func(e *schemas.Event) { e.ND.Opt.PrefixInfo[0].Flag.PDPreferred = true })), "ra.prefixparams"},
		{"a reserved flag", then(again(minute, radvert(func(r *schemas.RA) { r.Flag.Reserved = true }))), "ra.flags ra.params"},
		{"the link-layer address of another station", then(again(minute, lladdr(gateway)), again(2*minute, lladdr(other))), "claim.settled claim.changed claim.contested claim.router ra.option"},
		{"a second router, cut short by the capture", then(ra(attacker, attackerLL, cut, after(minute))), "router.unknown router.default router.rogue"},
		{"one cut short by the capture teaches nothing", []*schemas.Event{ra(attacker, attackerLL, cut), ra(gateway, gatewayLL)}, "station.new claim.new router.new"},
		{"priority tag", then(ra(attacker, attackerLL, vlan(0), after(minute))), "router.unknown router.default router.rogue"},
		{"the router stops", then(again(minute, radvert(stops))), "ra.stops"},
		{"the router starts again", then(again(minute, radvert(stops)), again(2*minute, flags("O"), prefix("2001:db8:1::/64"))), "ra.flags ra.params ra.prefix"},
		{"the router starts again as it was", then(again(minute, radvert(stops)), again(2*minute)), ""},
		{"another begins in its name", then(again(minute, radvert(stops)), again(2*minute, prefix("2001:db8:bad::/64")), again(3*minute, mtu(1400))), "ra.mtu"},
		{"the router stops and another comes", then(again(minute, radvert(stops)), ra(other, "fe80::b", after(2*minute))), "station.new claim.new router.unknown router.default router.rogue"},
		{"another comes when the first has been silent for its lifetime", then(ra(other, "fe80::b", after(31*minute))), "station.new claim.new router.next"},
		{"it has said something else for long", then(again(2*minute, flags("O")), again(20*minute, flags("O")), again(40*minute, flags("O")), again(61*minute, flags("O"))), "ra.flags ra.params"},
		{"from then on that stands", then(again(20*minute, flags("O")), again(40*minute, flags("O")), again(61*minute, flags("O")), again(62*minute, flags("O"))), ""},
		{"a router that is no default router", []*schemas.Event{ra(gateway, gatewayLL, radvert(stops))}, "station.new claim.new router.new"},
		{"a frame with a fault teaches", []*schemas.Event{ra(attacker, attackerLL, fault(schemas.Fault{ReachableTimer: true})), ra(gateway, gatewayLL)}, "station.new claim.new router.unknown router.default router.rogue"},
		{"a frame behind extension headers teaches", []*schemas.Event{ra(attacker, attackerLL, func(e *schemas.Event) { e.Inet6.Extension = []schemas.Extension{{Header: 60}} })}, "station.new claim.new router.new"},
		{"Redirect of the router", then(rd(gateway, gatewayLL, "2001:db8::b", "2001:db8::b", after(minute))), ""},
		{"Redirect with another's address", then(rd(gateway, gatewayLL, attackerLL, "2001:db8:9::9", lladdr(other), after(minute))), "claim.changed claim.contested claim.spoofed router.target"},
		{"Redirect of another station", then(rd(attacker, attackerLL, attackerLL, "2001:db8:9::9", after(minute))), "router.unknown router.target"},
		{"Redirect where no router is known", []*schemas.Event{rd(gateway, gatewayLL, attackerLL, "2001:db8:9::9")}, "station.new claim.new"},
		{"R flag where no router is known", []*schemas.Event{na(attacker, attackerLL, flags("RO"))}, "unsolicited station.new claim.new"},
		{"R flag of another station", then(na(attacker, attackerLL, flags("RO"), after(minute))), "unsolicited router.flag"},
		{"the router is none", then(na(gateway, gatewayLL, flags("O"), after(minute))), "unsolicited router.noflag"},
		{"the router's global address is claimed", then(ns(gateway, "2001:db8::1", global), na(attacker, "2001:db8::1", after(minute))),
			"unsolicited claim.changed claim.contested claim.spoofed claim.router claim.unasked"},
		{"source elsewhere", then(ns(host, "2001:db8:bad::a", "2001:db8::1", after(minute))), "bogon claim.new"},
		{"source elsewhere where no prefix is known", []*schemas.Event{ns(host, "2001:db8:bad::a", "2001:db8::1")}, "station.new claim.new"},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, newTable(), test.want, test.events...) })
	}
}

// A configuration that comes or goes takes effect at once.
func TestConfigureAgain(t *testing.T) {
	table := newTable()
	check(t, table, "router.unknown router.default router.rogue", ra(gateway, gatewayLL), ns(attacker, attackerLL, gatewayLL), ra(attacker, attackerLL))
	routers := configured()
	routers.Routers[0].MAC, routers.Routers[0].LinkLocal = mac(attacker), ip(attackerLL)
	table.Configure([]router.Link{routers})
	check(t, table, "configured", ra(attacker, attackerLL))
	check(t, table, "configured router.unknown router.default router.rogue", ra(gateway, gatewayLL))
	table.Configure(nil)
	check(t, table, "", ra(attacker, attackerLL)) // a router that was configured
	check(t, table, "station.new claim.new router.unknown router.default router.rogue", ra(other, "fe80::b"))
}

func TestLearn(t *testing.T) {
	table := New(Config{Neighbours: 1000, ClaimTimeout: time.Hour, Silence: 30 * 24 * time.Hour, Learn: true})
	dns, domain, away := rdnss("2001:db8::53", 900), dnssl("example.org", 900), route("2001:db8:9::/48", "high", 900)
	check(t, table, "",
		ra(gateway, gatewayLL, prefix("2001:db8::/64"), mtu(1500), dns, domain, away),
		ra(gateway, gatewayLL, prefix("2001:db8::/64"), mtu(1500), dns, domain, away, after(minute)),
		ra(gateway, gatewayLL, radvert(stops), after(2*minute)),
		ra(other, "fe80::b", prefix("fd00::/64", 100, 100)),
		ra(other, "fe80::b", prefix("fd00::/64", 90, 90), prefix("fd01::/64"), after(minute)),
	)
	want := configured(func(r *router.Router) { r.Addresses = nil })
	second := configured(volatile, func(r *router.Router) {
		r.MAC, r.LinkLocal, r.Addresses = mac(other), ip("fe80::b"), nil
		ninety, none := uint32(90), uint32(0)
		r.MTU, r.RDNSS, r.DNSSL, r.Routes = &none, nil, nil, nil
		r.Prefixes = []router.Prefix{
			{Prefix: pre("fd00::/64"), Flags: r.Prefixes[0].Flags, Valid: &ninety, Preferred: &ninety},
			{Prefix: pre("fd01::/64"), Flags: r.Prefixes[0].Flags, Valid: r.Prefixes[0].Valid, Preferred: r.Prefixes[0].Preferred},
		}
	})
	want.Host = "r1"
	want.Routers = append(want.Routers, second.Routers...)
	if diff := cmp.Diff([]router.Link{want}, table.Learned(), cmpopts.EquateComparable(addr{}, pre("::/0"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a configuration cannot tell of a router is what it said first.
func TestConfiguredRouterSaysMore(t *testing.T) {
	table := newTable(configured(volatile))
	observe(table, ra(gateway, gatewayLL, pref64("64:ff9b::/96")), ra(gateway, gatewayLL, pref64("64:ff9b::/96"), after(minute)))
	check(t, table, "configured ra.unconfigured ra.pref64 ra.option", ra(gateway, gatewayLL, pref64("2001:db8:64::/96"), unknown(37), after(2*minute)))
	check(t, table, "configured", ra(gateway, gatewayLL, pref64("64:ff9b::/96"), after(3*minute)))
}

// Two routers that take over from each other do not fight.
func TestConfiguredRoutersShare(t *testing.T) {
	routers := configured()
	second := routers.Routers[0]
	second.MAC = mac(other)
	routers.Routers = append(routers.Routers, second)
	table := newTable(routers)
	observe(table, ra(gateway, gatewayLL), ra(other, gatewayLL, after(minute)))
	check(t, table, "configured claim.settled claim.flipflop claim.contested claim.disputed", ra(gateway, gatewayLL, after(2*minute)))
	check(t, table, "configured unsolicited station.new claim.settled claim.changed claim.contested claim.disputed claim.router claim.unasked router.flag", na(attacker, gatewayLL, flags("RO"), after(3*minute)))
}

// Each flag of an RA and of a prefix that changes is reported by its name.
func TestChangedFlags(t *testing.T) {
	all := schemas.AllFlags()
	for bit := range 8 {
		octet := uint8(1) << bit
		changed := radvert(func(r *schemas.RA) { r.Flag = all.RA.Decode(octet) })
		checkChange(t, all.RA.Names(octet), "flags were none, are ", changed)
		checkChange(t, all.PrefixInfo.Names(octet), "flags of prefix 2001:db8::/64 were none, are ", func(e *schemas.Event) {
			e.ND.Opt.PrefixInfo[0].Flag = all.PrefixInfo.Decode(octet)
		})
	}
}

func checkChange(t *testing.T, names []string, text string, change option) {
	t.Helper()
	without := func(e *schemas.Event) { e.ND.Opt.PrefixInfo[0].Flag = schemas.PrefixInfoFlags{} }
	first, second := ra(gateway, gatewayLL, prefix("2001:db8::/64"), without), ra(gateway, gatewayLL, prefix("2001:db8::/64"), without, after(minute), change)
	table := newTable()
	table.Observe(first)
	table.Observe(second)
	var got []string
	if second.Link != nil && second.Link.RA != nil {
		got = second.Link.RA.Change
	}
	var want []string
	for _, name := range names {
		want = append(want, text+name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}
