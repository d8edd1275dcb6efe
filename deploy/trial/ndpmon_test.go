package trial

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/pages"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
)

// ndpmonConfig configures the link on which NDPMon's alerts are tried.
const ndpmonConfig = `<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE config_ndpmon SYSTEM "config_ndpmon.dtd">
<config_ndpmon>
  <probes>
    <probe name="eth0" type="interface">
      <routers>
        <router>
          <mac>02:00:00:00:00:01</mac>
          <lla>fe80::1</lla>
          <param_curhoplimit>64</param_curhoplimit>
          <param_flags_reserved>0</param_flags_reserved>
          <param_router_lifetime>1800</param_router_lifetime>
          <param_reachable_timer>0</param_reachable_timer>
          <param_retrans_timer>0</param_retrans_timer>
          <param_mtu>1500</param_mtu>
          <params_volatile>0</params_volatile>
          <addresses>
            <address>2001:db8::1</address>
          </addresses>
          <prefixes>
            <prefix>
              <address>2001:db8::</address>
              <mask>64</mask>
              <param_flags_reserved>192</param_flags_reserved>
              <param_valid_time>86400</param_valid_time>
              <param_preferred_time>14400</param_preferred_time>
            </prefix>
          </prefixes>
          <rdnss>
            <nameserver lifetime="900">2001:db8::53</nameserver>
          </rdnss>
          <dnssl>
            <domain lifetime="900">lan.example</domain>
          </dnssl>
          <routes>
            <route>
              <address>2001:db8:1::</address>
              <mask>48</mask>
              <param_pref_reserved>0</param_pref_reserved>
              <lifetime>1800</lifetime>
            </route>
          </routes>
        </router>
        <router>
          <mac>02:00:00:00:00:02</mac>
          <lla>fe80::2</lla>
        </router>
      </routers>
    </probe>
  </probes>
</config_ndpmon>
`

// Stations of the link.
var (
	gateway  = from("02:00:00:00:00:01", "fe80::1")
	host     = from("02:00:00:00:00:0a", "fe80::a")
	other    = from("02:00:00:00:00:0b", "fe80::b")
	attacker = from("02:00:00:00:00:66", "fe80::66")

	usual = params{hopLimit: 64}
)

// with returns the same station with another IPv6 address.
func (s sender) with(addr string) sender { s.addr = addr; return s }

// as returns the same IPv6 address at another station.
func (s sender) as(mac string) sender { s.mac = mac; return s }

// soon returns frames that follow each other at intervals of a second.
func soon(frames ...[]byte) []timed {
	var all []timed
	for _, f := range frames {
		all = append(all, timed{time.Second, f})
	}
	return all
}

// ndpmonAlert is one of NDPMon's alerts and the built-in rule that replaces it. After
// the frames before, the rule alerts on the frame wrong, but not on right.
type ndpmonAlert struct {
	alert, rule  string
	differs      string
	before       [][]byte
	wrong, right []byte
	// silence, if not 0, is the time between the frames before and wrong; right follows
	// after a second.
	silence time.Duration
}

var ndpmonAlerts = []ndpmonAlert{
	// Routers.
	{
		alert: "wrong couple IP/MAC", rule: "wrong-couple-ip-mac",
		differs: "where routers are learned, router-impersonated",
		wrong:   gateway.with("fe80::2").ra(usual), right: gateway.ra(usual),
	}, {
		alert: "wrong router ip", rule: "wrong-router-ip",
		differs: "where routers are learned, router-impersonated",
		wrong:   gateway.with("fe80::99").ra(usual), right: gateway.ra(usual),
	}, {
		alert: "wrong router mac", rule: "wrong-router-mac",
		differs: "where routers are learned, router-impersonated",
		wrong:   attacker.with("fe80::1").ra(usual), right: gateway.ra(usual),
	}, {
		alert: "wrong ipv6 router", rule: "ra-from-unknown-router",
		differs: "also where routers are learned",
		wrong:   attacker.ra(usual), right: gateway.ra(usual),
	}, {
		alert: "wrong RA flags", rule: "wrong-ra-flags",
		differs: "M without O is allowed since RFC 4861, so this is only for information",
		wrong:   gateway.ra(params{64, 0x80}), right: gateway.ra(params{64, 0xc0}),
	}, {
		alert: "wrong RA params", rule: "wrong-ra-params",
		differs: "compared only unless params_volatile, and only those that are configured; the preference is one of them; lifetime 0 is configured-router-gives-up",
		wrong:   gateway.ra(params{hopLimit: 63}), right: gateway.ra(usual),
	}, {
		alert: "wrong prefix", rule: "wrong-prefix",
		differs: "every prefix in the RA is compared",
		wrong:   gateway.ra(usual, prefix(192, 86400, 14400, "2001:db8::"), prefix(192, 86400, 14400, "2001:db8:bad::")),
		right:   gateway.ra(usual, prefix(192, 86400, 14400, "2001:db8::"), prefix(192, 86400, 14400, "2001:db8::")),
	}, {
		alert: "wrong RA prefix option lifetimes", rule: "wrong-ra-prefix-option-lifetimes",
		wrong: gateway.ra(usual, prefix(192, 14400, 14401, "2001:db8::")), right: gateway.ra(usual, prefix(192, 14400, 14400, "2001:db8::")),
	}, {
		alert: "RA prefix option valid lifetime too short", rule: "ra-prefix-option-valid-lifetime-too-short",
		differs: "routers that stop send such lifetimes, and hosts ignore them, so this is only for information",
		wrong:   gateway.ra(usual, prefix(192, 7199, 0, "2001:db8::")), right: gateway.ra(usual, prefix(192, 7200, 0, "2001:db8::")),
	}, {
		alert: "wrong RA prefix option params", rule: "wrong-ra-prefix-option-params",
		differs: "compared only unless params_volatile",
		wrong:   gateway.ra(usual, prefix(128, 86400, 14400, "2001:db8::")), right: gateway.ra(usual, prefix(192, 86400, 14400, "2001:db8::")),
	}, {
		alert: "wrong source link address option", rule: "ethernet-mismatch",
		differs: "one rule for every message",
		wrong:   gateway.ra(usual, lladdr(1, attacker.mac)), right: gateway.ra(usual, lladdr(1, gateway.mac)),
	}, {
		alert: "wrong RA mtu option", rule: "wrong-ra-mtu-option",
		differs: "compared only unless params_volatile",
		wrong:   gateway.ra(usual, mtu(1400)), right: gateway.ra(usual, mtu(1500)),
	}, {
		alert: "wrong RA RDNSS option", rule: "wrong-ra-rdnss-option",
		differs: "the lifetime is compared only if it is configured",
		wrong:   gateway.ra(usual, rdnss(900, "2001:db8:bad::53")), right: gateway.ra(usual, rdnss(900, "2001:db8::53")),
	}, {
		alert: "wrong RA DNSSL option", rule: "wrong-ra-dnssl-option",
		differs: "the lifetime is compared only if it is configured",
		wrong:   gateway.ra(usual, dnssl(900, "evil", "example")), right: gateway.ra(usual, dnssl(900, "lan", "example")),
	}, {
		alert: "wrong RA Route Info option", rule: "wrong-ra-route-info-option",
		wrong: gateway.ra(usual, route(0, 1800, "2001:db8:bad::")), right: gateway.ra(usual, route(0, 1800, "2001:db8:1::")),
	}, {
		alert: "wrong RA Route Info lifetime", rule: "wrong-ra-route-info-lifetime",
		wrong: gateway.ra(usual, route(0, 9000, "2001:db8:1::")), right: gateway.ra(usual, route(0, 1800, "2001:db8:1::")),
	}, {
		alert: "wrong RA Route Info preference", rule: "wrong-ra-route-info-preference",
		wrong: gateway.ra(usual, route(8, 1800, "2001:db8:1::")), right: gateway.ra(usual, route(0, 1800, "2001:db8:1::")),
	},
	// Frames.
	{
		alert: "ethernet mismatch", rule: "ethernet-mismatch",
		wrong: host.ns("2001:db8::c", lladdr(1, attacker.mac)), right: host.use(),
	}, {
		alert: "ethernet broadcast", rule: "ethernet-source-multicast",
		differs: "any multicast address",
		wrong:   host.as("ff:ff:ff:ff:ff:ff").ns("2001:db8::c"), right: host.use(),
	}, {
		alert: "ethernet broadcast", rule: "ethernet-source-zero",
		wrong: host.as("00:00:00:00:00:00").ns("2001:db8::c"), right: host.use(),
	}, {
		alert: "ip multicast", rule: "ip-multicast",
		wrong: host.with("ff02::a").use(), right: host.use(),
	}, {
		alert: "bogon", rule: "bogon",
		differs: "where routers are learned, foreign-source, for information",
		wrong:   host.with("2001:db8:bad::a").use(), right: host.with("2001:db8::a").use(),
	}, {
		alert: "wrong ipv6 hop limit", rule: "hop-limit",
		wrong: sender{host.mac, host.addr, 254}.use(), right: host.use(),
	},
	// Stations and addresses.
	{
		alert: "unknown mac vendor", rule: "unknown-mac-vendor",
		differs: "locally administered addresses have no vendor and do not alert",
		wrong:   host.as("00:de:ad:00:00:0a").use(), right: host.use(),
	}, {
		alert: "new station", rule: "new-station",
		before: [][]byte{host.use()}, wrong: other.use(), right: host.use(),
	}, {
		alert: "new lla", rule: "new-lla",
		differs: "of a station that was first seen more than a minute ago; the first address of a new station raises new-station only",
		silence: time.Minute,
		before:  [][]byte{host.with("2001:db8::a").use()}, wrong: host.use(), right: host.with("2001:db8::a").use(),
	}, {
		alert: "new IP", rule: "new-ip",
		differs: "of a station seen before; the first address of a new station raises new-station only",
		before:  [][]byte{host.use()}, wrong: host.with("2001:db8::a").use(), right: host.use(),
	}, {
		alert: "new activity", rule: "new-activity",
		differs: "after 30 days (RULED_SILENCE)",
		before:  [][]byte{host.use()}, silence: 31 * 24 * time.Hour, wrong: host.use(), right: host.use(),
	}, {
		alert: "changed ethernet address", rule: "changed-ethernet-address",
		differs: "the earlier binding is believed until its station has been silent for an hour (RULED_CLAIM_TIMEOUT); a configured router's address also raises router-address-claimed, critical",
		before:  [][]byte{host.use()}, wrong: host.as(attacker.mac).use(), right: host.use(),
	}, {
		alert: "wrong couple MAC/LLA", rule: "wrong-couple-mac-lla",
		differs: "in addition to changed-ethernet-address, if the station has an address of its own",
		before:  [][]byte{host.use(), attacker.use()}, wrong: host.as(attacker.mac).use(), right: host.use(),
	}, {
		alert: "spoofed addresses", rule: "spoofed-addresses",
		differs: "a station claims the addresses of two others within ten minutes",
		before:  [][]byte{host.use(), other.use(), attacker.use(), host.as(attacker.mac).use()}, wrong: other.as(attacker.mac).use(), right: other.use(),
	}, {
		alert: "flip flop", rule: "flip-flop",
		differs: "a router's address raises router-address-fought-over, critical",
		before:  [][]byte{host.use(), host.as(attacker.mac).use()}, wrong: host.use(), right: host.as(attacker.mac).use(),
	}, {
		alert: "reused old ethernet address", rule: "reused-old-ethernet-address",
		differs: "the last four stations of an address are kept",
		before:  [][]byte{host.use(), host.as(attacker.mac).use(), host.as(other.mac).use()}, wrong: host.use(), right: host.as(other.mac).use(),
	},
	// Neighbor Advertisements.
	{
		alert: "NA router flag", rule: "na-router-flag",
		differs: "where routers are learned, na-router-flag-learned, for information, because every host that forwards sets the flag; a router without it raises router-flag-cleared, critical",
		wrong:   host.na(128, "fe80::a", lladdr(2, host.mac)), right: host.na(0, "fe80::a", lladdr(2, host.mac)),
	}, {
		alert: "dad dos", rule: "dad-dos",
		differs: "the first denial is address-conflict, a warning: it may be a genuine conflict",
		before: [][]byte{
			host.with("::").ns("2001:db8::a1"), attacker.with("2001:db8::a1").na(32, "2001:db8::a1", lladdr(2, attacker.mac)),
			host.with("::").ns("2001:db8::a2"),
		},
		wrong: attacker.with("2001:db8::a2").na(32, "2001:db8::a2", lladdr(2, attacker.mac)),
		right: host.with("2001:db8::a2").na(32, "2001:db8::a2", lladdr(2, host.mac)),
	}, {
		alert: "NA multicast target", rule: "na-multicast-target",
		wrong: host.na(32, "ff02::a", lladdr(2, host.mac)), right: host.na(32, "fe80::a", lladdr(2, host.mac)),
	}, {
		alert: "NA LLA mismatch", rule: "na-lla-mismatch",
		wrong: host.na(0, "fe80::b", lladdr(2, host.mac)), right: host.na(0, "fe80::a", lladdr(2, host.mac)),
	}, {
		alert: "NA Override flag", rule: "na-override-flag",
		differs: "without a Target Link-Layer Address option; for information",
		wrong:   host.na(32, "fe80::a"), right: host.na(32, "fe80::a", lladdr(2, host.mac)),
	}, {
		alert: "NA Override flag", rule: "na-override-by-another",
		differs: "from another address than the target; for information, because some routers answer like this for their own addresses",
		wrong:   host.na(32, "2001:db8::a", lladdr(2, host.mac)), right: host.with("2001:db8::a").na(32, "2001:db8::a", lladdr(2, host.mac)),
	},
	// Redirects.
	{
		alert: "wrong couple IP/MAC in RD", rule: "wrong-couple-ip-mac-in-rd",
		differs: "where routers are learned, redirect-impersonated",
		wrong:   gateway.with("fe80::2").rd("fe80::2"), right: gateway.rd("fe80::2"),
	}, {
		alert: "wrong router redirect ip", rule: "wrong-router-redirect-ip",
		differs: "where routers are learned, redirect-impersonated",
		wrong:   gateway.with("fe80::99").rd("fe80::2"), right: gateway.rd("fe80::2"),
	}, {
		alert: "wrong router redirect mac", rule: "wrong-router-redirect-mac",
		differs: "where routers are learned, redirect-impersonated",
		wrong:   attacker.with("fe80::1").rd("fe80::2"), right: gateway.rd("fe80::2"),
	}, {
		alert: "wrong router redirect", rule: "wrong-router-redirect",
		differs: "where routers are learned, redirect-from-unknown-router; a wrong next hop raises redirect-to-unknown-router",
		wrong:   attacker.rd("fe80::2"), right: gateway.rd("fe80::2"),
	},
}

// Each rule alerts on the wrong frame, and otherwise on the same frames as with the
// right one.
func TestNDPMon(t *testing.T) {
	set, err := rulefile.Parse("config_ndpmon.xml", []byte(ndpmonConfig))
	must(t, err)
	for _, a := range ndpmonAlerts {
		t.Run(a.alert+", "+a.rule, func(t *testing.T) {
			before := soon(a.before...)
			wrong := append(slices.Clone(before), timed{max(a.silence, time.Second), a.wrong})
			right := append(slices.Clone(before), timed{time.Second, a.right})
			last := len(before) + 1
			want := append(slices.Clone(alertsOf(t, set, a.rule, right)), last)
			if slices.Contains(want[:len(want)-1], last) {
				t.Errorf("the rule alerts on the right frame too")
			}
			if diff := cmp.Diff(want, alertsOf(t, set, a.rule, wrong)); diff != "" {
				t.Errorf("frames that the rule alerts on (-want +got):\n%s", diff)
			}
		})
	}
	pages.Golden(t, "../../docs/ndpmon.md", ndpmonPage(t, set))
}

// alertsOf returns the numbers of the frames that a rule alerts on.
func alertsOf(t *testing.T, set *rulefile.Set, rule string, frames []timed) []int {
	t.Helper()
	var alerts []int
	c := onLink(set, write(t, "frames.pcap", pcap(t, frames...)))
	count, events, err := c.frames(c.table(), func(m match) {
		if m.rule.ID == rule && m.count > 0 {
			alerts = append(alerts, m.frame)
		}
	}, nil)
	must(t, err)
	if count != len(frames) || events != count {
		t.Fatalf("%d frames, %d of them Neighbor Discovery, of %d", count, events, len(frames))
	}
	return alerts
}

func ndpmonPage(t *testing.T, set *rulefile.Set) string {
	t.Helper()
	var page strings.Builder
	page.WriteString(`# NDPMon's alerts

Each of NDPMon's alerts, and the built-in rule that replaces it when you run ndmon with NDPMon's configuration
([Coming from NDPMon](from-ndpmon.md)). This page is generated by a test in which each rule alerts on a wrong frame, and does not
alert on the corrected one. Severities come from the rules, not from NDPMon's settings of alerts. Countermeasures are never taken.

| NDPMon's alert | rule | severity | what differs |
|---|---|---|---|
`)
	for _, a := range ndpmonAlerts {
		i := slices.IndexFunc(set.Rules, func(r rules.Rule) bool { return r.ID == a.rule })
		if i < 0 {
			t.Fatalf("there is no rule %s", a.rule)
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", a.alert, a.rule, set.Rules[i].Severity, a.differs)
	}
	return page.String()
}
