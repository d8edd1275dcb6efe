package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

const goodRouter = "<mac>2:0:0:0:0:1</mac><lla>fe80::1</lla>"

func TestRouterFaults(t *testing.T) {
	routerXML := func(s string) string { return "<rules><routers><router>\n" + s + "</router></routers></rules>" }
	with := func(s string) string { return routerXML(goodRouter + "\n" + s) }
	prefix := func(s string) string { return with("<prefixes><prefix>\n" + s + "</prefix></prefixes>") }
	wantFault(t, map[string]faulty{
		"no mac":               {routerXML("<lla>fe80::1</lla>"), "1: the router has no <mac>, its Ethernet address"},
		"no lla":               {routerXML("<mac>2:0:0:0:0:1</mac>"), "1: the router has no <lla>, its link-local address"},
		"empty mac":            {routerXML("<mac> </mac><lla>fe80::1</lla>"), `2: <mac>: "" is not an ethernet address such as 02:00:00:00:00:01`},
		"bad mac":              {routerXML("<mac>2:0</mac><lla>fe80::1</lla>"), `2: <mac>: "2:0" is not an ethernet address such as 02:00:00:00:00:01`},
		"multicast mac":        {routerXML("<mac>33:33:0:0:0:1</mac><lla>fe80::1</lla>"), `2: <mac>: "33:33:0:0:0:1" is not the address of a station`},
		"mac of zeros":         {routerXML("<mac>0:0:0:0:0:0</mac><lla>fe80::1</lla>"), `2: <mac>: "0:0:0:0:0:0" is not the address of a station`},
		"two macs":             {with("<mac>2:0:0:0:0:2</mac>"), `3: second <mac> in <router>; the first is on line 2`},
		"empty lla":            {routerXML("<mac>2:0:0:0:0:1</mac><lla/>"), `2: <lla>: "" is not a link-local address such as fe80::1`},
		"global lla":           {routerXML("<mac>2:0:0:0:0:1</mac><lla>2001:db8::1</lla>"), `2: <lla>: "2001:db8::1" is not a link-local address such as fe80::1`},
		"lla with a zone":      {routerXML("<mac>2:0:0:0:0:1</mac><lla>fe80::1%eth0</lla>"), `2: <lla>: "fe80::1%eth0" is not a link-local address such as fe80::1`},
		"IPv4 lla":             {routerXML("<mac>2:0:0:0:0:1</mac><lla>169.254.0.1</lla>"), `2: <lla>: "169.254.0.1" is not a link-local address such as fe80::1`},
		"unknown in router":    {with("<param_mut>1</param_mut>"), `3: unknown element <param_mut> in <router>; did you mean <param_mtu>?`},
		"unknown in routers":   {"<rules><routers>\n<ruoter/></routers></rules>", `2: unknown element <ruoter> in <routers>; did you mean <router>?`},
		"attribute of routers": {"<rules>\n<routers x='1'/></rules>", `2: unknown attribute "x" of <routers>`},
		"attribute of router":  {"<rules><routers>\n<router name='x'>" + goodRouter + "</router></routers></rules>", `2: unknown attribute "name" of <router>`},
		"attribute of mac":     {routerXML("<mac x='1'>2:0:0:0:0:1</mac><lla>fe80::1</lla>"), `2: unknown attribute "x" of <mac>`},
		"text in router":       {with("hello"), `3: text "hello" in <router>, which takes none`},
		"element in mac":       {routerXML("<mac>2:0:0:0:0:1<x/></mac><lla>fe80::1</lla>"), `2: unknown element <x> in <mac>`},

		"vlan":             {with("<vlan_id>4096</vlan_id>"), `3: <vlan_id>: "4096" is not a number from 0 to 4095`},
		"cur hop limit":    {with("<param_curhoplimit>256</param_curhoplimit>"), `3: <param_curhoplimit>: "256" is not a number from 0 to 255`},
		"flags":            {with("<param_flags_reserved>0x40</param_flags_reserved>"), `3: <param_flags_reserved>: "0x40" is not a number from 0 to 255`},
		"lifetime":         {with("<param_router_lifetime>65536</param_router_lifetime>"), `3: <param_router_lifetime>: "65536" is not a number from 0 to 65535`},
		"reachable timer":  {with("<param_reachable_timer>4294967296</param_reachable_timer>"), `3: <param_reachable_timer>: "4294967296" is not a number from 0 to 4294967295`},
		"retransmit timer": {with("<param_retrans_timer>-1</param_retrans_timer>"), `3: <param_retrans_timer>: "-1" is not a number from 0 to 4294967295`},
		"MTU":              {with("<param_mtu>big</param_mtu>"), `3: <param_mtu>: "big" is not a number from 0 to 4294967295`},
		"volatile":         {with("<params_volatile>2</params_volatile>"), `3: <params_volatile>: "2" is not a number from 0 to 1`},

		"address":            {with("<addresses>\n<address>::</address></addresses>"), `4: <address>: "::" is not an address of a station such as 2001:db8::1`},
		"multicast address":  {with("<addresses><address>ff02::1</address></addresses>"), `3: <address>: "ff02::1" is not an address of a station such as 2001:db8::1`},
		"unknown address":    {with("<addresses><adress/></addresses>"), `3: unknown element <adress> in <addresses>; did you mean <address>?`},
		"attribute of list":  {with("<addresses x='1'/>"), `3: unknown attribute "x" of <addresses>`},
		"text in list":       {with("<addresses>2001:db8::1</addresses>"), `3: text "2001:db8::1" in <addresses>, which takes none`},
		"two lists":          {with("<addresses/>\n<addresses/>"), `4: second <addresses> in <router>; the first is on line 3`},
		"too many addresses": {with("<addresses>" + strings.Repeat("<address>::1</address>", 1025) + "</addresses>"), `3: more than 1024 <address> in <addresses>`},

		"prefix without address": {prefix("<mask>64</mask>"), `3: <prefix> has no <address>`},
		"prefix without mask":    {prefix("<address>2001:db8::</address>"), `3: <prefix> has no <mask>, the length of the prefix from 0 to 128`},
		"prefix, empty address":  {prefix("<address/><mask>64</mask>"), `4: <address>: "" is not an ipv6 address such as 2001:db8::`},
		"prefix with length":     {prefix("<address>2001:db8::/64</address><mask>64</mask>"), `4: <address>: "2001:db8::/64" is not an ipv6 address such as 2001:db8::`},
		"mask too large":         {prefix("<address>::</address><mask>129</mask>"), `4: <mask>: "129" is not a number from 0 to 128`},
		"prefix flags":           {prefix("<address>::</address><mask>1</mask><param_flags_reserved>256</param_flags_reserved>"), `4: <param_flags_reserved>: "256" is not a number from 0 to 255`},
		"valid time":             {prefix("<address>::</address><mask>1</mask><param_valid_time>infinity</param_valid_time>"), `4: <param_valid_time>: "infinity" is not a number from 0 to 4294967295`},
		"preferred time":         {prefix("<address>::</address><mask>1</mask><param_preferred_time>1.5</param_preferred_time>"), `4: <param_preferred_time>: "1.5" is not a number from 0 to 4294967295`},
		"unknown in prefix":      {prefix("<address>::</address><mask>1</mask><lifetime>1</lifetime>"), `4: unknown element <lifetime> in <prefix>`},

		"nameserver":          {with("<rdnss><nameserver lifetime='900'>dns</nameserver></rdnss>"), `3: <nameserver>: "dns" is not an address of a station such as 2001:db8::1`},
		"empty nameserver":    {with("<rdnss><nameserver lifetime='900'/></rdnss>"), `3: <nameserver>: "" is not an address of a station such as 2001:db8::1`},
		"nameserver lifetime": {with("<rdnss><nameserver lifetime='x'>::1</nameserver></rdnss>"), `3: <nameserver>: lifetime "x" is not a number from 0 to 4294967295`},
		"nameserver, lifetme": {with("<rdnss><nameserver lifetme='1'>::1</nameserver></rdnss>"), `3: unknown attribute "lifetme" of <nameserver>; did you mean "lifetime"?`},
		"domain":              {with("<dnssl><domain>a b</domain></dnssl>"), `3: <domain>: "a b" is not a domain such as example.org`},
		"empty domain":        {with("<dnssl><domain>.</domain></dnssl>"), `3: <domain>: "." is not a domain such as example.org`},
		"long domain":         {with("<dnssl><domain>" + strings.Repeat("x", 1025) + "</domain></dnssl>"), `3: <domain>: "` + strings.Repeat("x", 80) + `…" is not a domain such as example.org`},
		"route without mask":  {with("<routes><route><address>::</address></route></routes>"), `3: <route> has no <mask>, the length of the prefix from 0 to 128`},
		"route preference":    {with("<routes><route><address>::</address><mask>0</mask><param_pref_reserved>high</param_pref_reserved></route></routes>"), `3: <param_pref_reserved>: "high" is not a number from 0 to 255`},
		"route lifetime":      {with("<routes><route><address>::</address><mask>0</mask><lifetime>x</lifetime></route></routes>"), `3: <lifetime>: "x" is not a number from 0 to 4294967295`},

		"duplicate": {"<rules><routers>\n<router>" + goodRouter + "</router>\n<router>" + goodRouter + "</router></routers></rules>",
			"3: duplicate router 02:00:00:00:00:01 fe80::1; the first is on line 2"},
		"duplicate in probes": {"<rules>\n<probe name='eth0'><routers><router>" + goodRouter + "</router></routers></probe>\n<probe name='eth0'><routers><router>" + goodRouter + "</router></routers></probe></rules>",
			"3: duplicate router 02:00:00:00:00:01 fe80::1; the first is on line 2"},
		"too many routers": {"<rules><routers>" + manyRouters(1025) + "</routers></rules>", "1025: more than 1024 routers for one link"},
		"too many links":   {"<rules>" + manyProbes(10001) + "</rules>", "10001: routers for more than 10000 links"},

		"probe without name":   {"<rules><probe type='interface'/></rules>", "1: <probe> has no name; it takes an interface, or host/interface"},
		"probe type":           {"<rules><probe name='eth0' type='local'/></rules>", `1: type "local" of <probe> is not one of interface, remote`},
		"empty probe type":     {"<rules><probe name='eth0' type=''/></rules>", `1: type "" of <probe> is not one of interface, remote`},
		"remote without host":  {"<rules><probe name='eth0' type='remote'/></rules>", `1: name "eth0" of a remote probe is not host/interface`},
		"remote, empty host":   {"<rules><probe name='/eth0'/></rules>", `1: name "/eth0" of a remote probe is not host/interface`},
		"remote, no interface": {"<rules><probe name='r1/' type='remote'/></rules>", `1: name "r1/" of a remote probe is not host/interface`},
		"interface with host":  {"<rules><probe name='r1/eth0' type='interface'/></rules>", `1: name "r1/eth0" of <probe> is not an interface; host/interface takes type "remote"`},
		"probe name":           {"<rules><probe name='a&#x85;b'/></rules>", "1: the name of the probe has the character U+0085 in it"},
		"long probe name":      {"<rules><probe name='" + strings.Repeat("x", 513) + "'/></rules>", "1: the name of the probe has 513 bytes; at most 512 are taken"},
		"misspelt in probe":    {"<rules><probe name='eth0'><countermeasure_enabled/></probe></rules>", "1: unknown element <countermeasure_enabled> in <probe>; did you mean <countermeasures_enabled>?"},
		"built-in in probe":    {"<rules><probe name='eth0'><rules><builtin/></rules></probe></rules>", "1: unknown element <builtin> in <rules>"},
	})
}

// manyRouters writes n routers, one per line.
func manyRouters(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<router><mac>2:0:0:0:0:1</mac><lla>fe80::%x</lla></router>\n", i+1)
	}
	return b.String()
}

// manyProbes writes n probes with a router each, one per line.
func manyProbes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<probe name='eth%d'><routers><router>%s</router></routers></probe>\n", i, goodRouter)
	}
	return b.String()
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// compareAddrs compares addresses and prefixes.
var compareAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// fullRouter is a router with all that can be said of one.
func fullRouter() router.Router {
	return router.Router{
		MAC: schemas.MAC{0, 0x11, 0x22, 0x33, 0x44, 0x55}, LinkLocal: mustAddr("fe80::211:22ff:fe33:4455"),
		Addresses:   []netip.Addr{mustAddr("2001:db8:1234:5678::1")},
		CurHopLimit: new(uint8(64)), Flags: new(uint8(0)), Lifetime: new(uint16(10800)),
		ReachableTimer: new(uint32(0)), RetransTimer: new(uint32(0)), MTU: new(uint32(0)),
		Prefixes: []router.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1234:5678::/64"),
			Flags: new(uint8(224)), Valid: new(uint32(2592000)), Preferred: new(uint32(604800))}},
		RDNSS:  []router.DNS{{Address: mustAddr("2001:db8:1234:5678::53"), Lifetime: new(uint32(900))}},
		DNSSL:  []router.Domain{{Domain: "localhost.localdomain", Lifetime: new(uint32(900))}},
		Routes: []router.Route{{Prefix: netip.MustParsePrefix("2001:db8:abcd:ef01::/64"), Flags: new(uint8(8)), Lifetime: new(uint32(2592000))}},
	}
}

func TestRoutersOfFiles(t *testing.T) {
	small := router.Router{MAC: schemas.MAC{2, 0, 0, 0, 0, 4}, LinkLocal: mustAddr("fe80::ff:fe00:4"), Volatile: true}
	withPrefix := small
	withPrefix.Lifetime = new(uint16(1800))
	withPrefix.Prefixes = []router.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1::/64")}}
	for file, want := range map[string][]router.Link{
		"ndpmon2.xml":         {{Interface: "eth0", Routers: []router.Router{withPrefix}}},
		"ndpmon2-empty.xml":   nil,
		"ndpmon2-routers.xml": {{Interface: "eth0", Routers: []router.Router{fullRouter()}}},
		"ndpmon1.xml":         {{Routers: []router.Router{small}}},
		"ndpmon1-vlan.xml": {{VLAN: new(uint16(105)), Routers: []router.Router{{
			MAC: schemas.MAC{0, 0x1b, 0xd5, 0x94, 0xe4, 0xc6}, LinkLocal: mustAddr("fe80::21b:d5ff:fe94:e4c6"), Volatile: true,
			Prefixes: []router.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1234:5678::/64"),
				Flags: new(uint8(224)), Valid: new(uint32(2592000)), Preferred: new(uint32(604800))}},
		}}}},
	} {
		if diff := cmp.Diff(want, mustParse(t, string(readTestdata(t, file))).Links, compareAddrs); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// TestRoutersOfLinks sees which routers are whose.
func TestRoutersOfLinks(t *testing.T) {
	routerXML := func(mac int, more string) string {
		return fmt.Sprintf("<routers><router>%s<mac>2:0:0:0:0:%x</mac><lla> fe80::1 </lla></router></routers>", more, mac)
	}
	set := mustParse(t, `<rules>
`+routerXML(1, "")+routerXML(2, "<vlan_id>12</vlan_id>")+routerXML(3, "<vlan_id/>")+`
<probe name="r1/eth0.1">`+routerXML(4, "")+`</probe>
<probes>
  <probe name=" eth0 ">`+routerXML(5, "<param_mtu></param_mtu><params_volatile> </params_volatile><prefixes/><dnssl/>")+`</probe>
  <probe name="r1/eth0.1" type="remote">`+routerXML(6, "")+routerXML(1, "")+`</probe>
  <probe name="eth1" type="interface"><routers/></probe>
  <probe name="eth2"/>
</probes>
</rules>`)
	if len(set.Notices) != 1 || len(set.Rules) > 0 { // that there are no rules
		t.Errorf("rules %v, notices %v", set.Rules, set.Notices)
	}
	macs := func(all ...byte) (routers []router.Router) {
		for _, n := range all {
			routers = append(routers, router.Router{MAC: schemas.MAC{2, 0, 0, 0, 0, n}, LinkLocal: mustAddr("fe80::1"), Volatile: true})
		}
		return routers
	}
	want := []router.Link{
		{Routers: macs(1, 3)},
		{VLAN: new(uint16(12)), Routers: macs(2)},
		{Interface: "eth0", Routers: macs(5)},
		{Host: "r1", Interface: "eth0.1", Routers: macs(4, 6, 1)},
	}
	if diff := cmp.Diff(want, set.Links, compareAddrs); diff != "" {
		t.Error(diff)
	}
}

// TestProbeRules sees that the rules of a probe are about its link alone.
func TestProbeRules(t *testing.T) {
	ev := rules.Compile(mustParse(t, `<config_ndpmon><probes>
<probe name="eth0" type="interface"><rules><rule id="local"><match field="nd.ra"/></rule></rules></probe>
<probe name="r1/eth0/x" type="remote"><rule id="remote"><no-match field="nd.ns"/></rule></probe>
</probes><rule id="all"><match field="nd.ra"/></rule></config_ndpmon>`).Rules).NewEvaluator()
	e := corpus.Event(t, "radvd-full#1")
	for _, tt := range []struct {
		host, iface string
		want        []string
	}{
		{"r1", "eth0", []string{"local", "all"}},
		{"r2", "eth0", []string{"local", "all"}},
		{"r1", "eth0/x", []string{"remote", "all"}},
		{"r2", "eth0/x", []string{"all"}},
		{"r1", "eth00", []string{"all"}},
	} {
		e.Host, e.Interface = tt.host, tt.iface
		var got []string
		for _, r := range ev.Evaluate(e) {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s/%s: %s", tt.host, tt.iface, diff)
		}
	}
}

func TestWriteRouters(t *testing.T) {
	bare := router.Router{MAC: schemas.MAC{2, 0, 0, 0, 0, 1}, LinkLocal: mustAddr("fe80::1"), Volatile: true}
	unknown := bare
	unknown.LinkLocal = mustAddr("fe80::2")
	unknown.Prefixes = []router.Prefix{{Prefix: netip.MustParsePrefix("::/0")}, {Prefix: netip.MustParsePrefix("2001:db8::/32"), Valid: new(uint32(0))}}
	unknown.RDNSS = []router.DNS{{Address: mustAddr("2001:db8::53")}}
	unknown.DNSSL = []router.Domain{{Domain: `a<&>"'\.`}, {Domain: `a\032b.example\\`, Lifetime: new(uint32(1<<32 - 1))}}
	unknown.Routes = []router.Route{{Prefix: netip.MustParsePrefix("2001:db8::/32")}}
	for name, links := range map[string][]router.Link{
		"none":         nil,
		"bare":         {{Routers: []router.Router{bare}}},
		"full":         {{Interface: "eth0", Routers: []router.Router{fullRouter(), bare, unknown}}},
		"strange name": {{Host: `r<1>"&'`, Interface: "eth0 é", Routers: []router.Router{bare}}},
		"many": {
			{Host: "r2", Interface: "eth0", Routers: []router.Router{bare}},
			{Interface: "eth0", VLAN: new(uint16(4095)), Routers: []router.Router{bare}},
			{Interface: "eth0", VLAN: new(uint16(0)), Routers: []router.Router{bare, unknown}},
			{Interface: "eth0", Routers: []router.Router{fullRouter()}},
			{VLAN: new(uint16(1)), Routers: []router.Router{bare}},
			{Routers: []router.Router{unknown}},
		},
	} {
		before := slices.Clone(links)
		var out bytes.Buffer
		if err := WriteRouters(&out, links); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(before, links, compareAddrs); diff != "" {
			t.Errorf("%s: the links were changed: %s", name, diff)
		}
		routers.Sort(links)
		set := mustParse(t, out.String())
		if diff := cmp.Diff(links, set.Links, compareAddrs); diff != "" {
			t.Errorf("%s: %s\n%s", name, diff, out.String())
		}
		if len(set.Notices) != 1 || len(set.Rules) != len(builtinIDs()) {
			t.Errorf("%s: %d rules, notices %v", name, len(set.Rules), set.Notices)
		}
	}
}

// TestWriteRoutersText sees that what is written is what NDPMon's DTD asks for.
func TestWriteRoutersText(t *testing.T) {
	r := fullRouter()
	r.Routes[0].Flags = nil
	var out bytes.Buffer
	if err := WriteRouters(&out, []router.Link{{Interface: "eth0", Routers: []router.Router{r}}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(readTestdata(t, "written.xml")), out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWriteRoutersFaults(t *testing.T) {
	good := router.Router{MAC: schemas.MAC{2, 0, 0, 0, 0, 1}, LinkLocal: mustAddr("fe80::1")}
	group, global, domain := good, good, good
	group.MAC[0] = 3
	global.LinkLocal = mustAddr("2001:db8::1")
	domain.DNSSL = []router.Domain{{Domain: "a b"}}
	for name, l := range map[string]router.Link{
		"group":     {Routers: []router.Router{group}},
		"global":    {Routers: []router.Router{global}},
		"domain":    {Routers: []router.Router{domain}},
		"twice":     {Routers: []router.Router{good, good}},
		"host only": {Host: "r1", Routers: []router.Router{good}},
		"slash":     {Interface: "r1/eth0", Routers: []router.Router{good}},
		"vlan":      {VLAN: new(uint16(4096)), Routers: []router.Router{good}},
	} {
		var out bytes.Buffer
		var faults *Faults
		if err := WriteRouters(&out, []router.Link{l}); !errors.As(err, &faults) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	if err := WriteRouters(failingWriter{}, nil); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errFull = errors.New("full")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }
