package port

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

func TestSource(t *testing.T) {
	addr := func(s string, flags int) iface.Address {
		return iface.Address{Prefix: netip.MustParsePrefix(s), Flags: flags}
	}
	const up = unix.IFF_UP | unix.IFF_RUNNING
	local, global := addr("fe80::1/64", 0), addr("2001:db8::1/64", 0)
	tests := map[string]struct {
		link iface.Link
		want string // the address, or part of the reason
	}{
		"link-local first": {iface.Link{Flags: up, Addresses: []iface.Address{global, local}}, "fe80::1"},
		"tunnel":           {iface.Link{Flags: up, Addresses: []iface.Address{local, global}}, "2001:db8::1"},
		"global alone":     {iface.Link{Flags: up, Addresses: []iface.Address{global}}, "2001:db8::1"},
		"tentative":        {iface.Link{Flags: up, Addresses: []iface.Address{addr("fe80::1/64", unix.IFA_F_TENTATIVE)}}, "detection for fe80::1 is under way"},
		"optimistic":       {iface.Link{Flags: up, Addresses: []iface.Address{addr("fe80::1/64", unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC)}}, "fe80::1"},
		"global is ready":  {iface.Link{Flags: up, Addresses: []iface.Address{addr("fe80::1/64", unix.IFA_F_TENTATIVE), global}}, "2001:db8::1"},
		"duplicate":        {iface.Link{Flags: up, Addresses: []iface.Address{addr("fe80::1/64", unix.IFA_F_DADFAILED|unix.IFA_F_TENTATIVE)}}, "another host on the link has too"},
		"down":             {iface.Link{Addresses: []iface.Address{local}}, "is down"},
		"no carrier":       {iface.Link{Flags: unix.IFF_UP, Addresses: []iface.Address{local}}, "has no carrier"},
		"loopback":         {iface.Link{Flags: up | unix.IFF_LOOPBACK, Addresses: []iface.Address{local}}, "loopback"},
		"no address":       {iface.Link{Name: "s1", Flags: up}, "net.ipv6.conf.s1.disable_ipv6"},
	}
	for name, test := range tests {
		got, why := source(&test.link, name != "tunnel")
		if got.IsValid() != (why == "") || got.IsValid() && got.String() != test.want || !strings.Contains(got.String()+why, test.want) {
			t.Errorf("%s: source is %v, %q, want %s", name, got, why, test.want)
		}
	}
}

// A port that passes its frames to a bridge is out of use, also with an address of its own.
func TestPortOf(t *testing.T) {
	local := []iface.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}
	for kind, want := range map[string]string{
		"bridge":      "is a port of br0: is br0 the master?",
		"bond":        "is a port of br0: is br0 the master?",
		"team":        "is a port of br0: is br0 the master?",
		"openvswitch": "is a port of an Open vSwitch bridge: is the bridge the master?",
		"vrf":         "",
	} {
		p := newPort(&iface.Link{Flags: unix.IFF_UP | unix.IFF_RUNNING, Master: "br0", MasterKind: kind, Addresses: local}, true)
		if p.Why != want || p.Source.IsValid() != (want == "") {
			t.Errorf("port of a %s: source %v, why %q, want %q", kind, p.Source, p.Why, want)
		}
	}
}

func TestNewSet(t *testing.T) {
	const up = unix.IFF_UP | unix.IFF_RUNNING
	links := []iface.Link{
		{Name: "lo", Index: 1, Flags: up | unix.IFF_LOOPBACK},
		{Name: "a1", Index: 2, Flags: up, Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("2001:db8::1/64")}}},
		{Name: "a2", Index: 3},
		{Name: "m0", Index: 4},
		{Name: "tun0", Index: 5, Addresses: []iface.Address{{Prefix: netip.MustParsePrefix("2001:db8:1::1/127")}}},
	}
	patterns, err := iface.ParsePatterns([]string{"a2", "a*", "2001:db8::/64", "b*", "fd00::/8", "c"})
	if err != nil {
		t.Fatal(err)
	}
	masters, err := iface.ParsePatterns([]string{"m*", "a1"})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	st := NewSet(patterns, masters, links, metrics)
	var got []string
	for _, s := range st.Slaves {
		got = append(got, s.Name+" "+s.Why)
	}
	want := []string{"a2 is down", "a1 ", "b* is a glob that no interface matches",
		"fd00::/8 is a prefix that no interface has an address in", "c does not exist"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("slaves (-want +got):\n%s", diff)
	}
	metrics.Count(st)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "nd_pinger_slaves" {
				counts[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{"usable": 1, "unusable": 4}, counts); diff != "" {
		t.Errorf("nd_pinger_slaves (-want +got):\n%s", diff)
	}
	if len(st.Masters) != 2 || st.Masters[0].Name != "m0" || !st.Masters[0].Master || st.Masters[1] != st.Slaves[1] || st.Slaves[1].Master {
		t.Errorf("masters are %+v: an interface that is both is the same", st.Masters)
	}
	if n := len(st.All()); n != len(st.Slaves)+1 {
		t.Errorf("%d interfaces, each is one of them once", n)
	}
	for addr, want := range map[string]bool{"2001:db8::1": true, "2001:db8::": true, "2001:db8::2": false, "2001:db8:1::1": true, "2001:db8:1::": false} {
		if got := st.Owns(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is own: %v", addr, got)
		}
	}
}

// A target is looked for everywhere but where it was solicited, and on the masters
// only for those behind the slaves.
func TestBehind(t *testing.T) {
	st := &Set{
		Slaves:  []*Port{{Name: "s1", Link: &iface.Link{AltNames: []string{"lan-of-the-first-port"}}}, {Name: "s2"}},
		Masters: []*Port{{Name: "m0", Master: true}},
	}
	for _, test := range []struct {
		on, direction string
		proxy         bool
		want          string
	}{
		{"m0", schemas.Out, false, "s1 s2"},
		{"m0", schemas.Out, true, "s1 s2"},
		{"m0", schemas.In, true, "s1 s2"},
		{"s1", schemas.In, true, "s2 m0"},
		{"s1", schemas.In, false, "s2"},
		{"lan-of-the-first-port", schemas.In, true, "s2 m0"},
		{"s1", schemas.Out, true, "s2"}, // what the host itself asks behind a slave
		{"eth9", schemas.Out, true, "s1 s2"},
		{"", "", true, "s1 s2 m0"},
		{"", "", false, "s1 s2"},
	} {
		var sol *schemas.Solicitation
		if test.on != "" {
			sol = &schemas.Solicitation{Interface: test.on, Direction: test.direction}
		}
		var got []string
		for _, sl := range st.Behind(sol, test.proxy) {
			got = append(got, sl.Name)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("asked %s on %q, proxy %v: %v, want %s", test.direction, test.on, test.proxy, got, test.want)
		}
	}
	if len(st.Slaves) != 2 || len(st.Masters) != 1 {
		t.Error("the state was changed")
	}
	// In both directions.
	both := &Set{Slaves: []*Port{{Name: "s1"}, {Name: "m0"}}}
	both.Masters = []*Port{both.Slaves[1], both.Slaves[0]}
	for on, want := range map[string]string{"m0": "s1", "s1": "m0"} {
		for _, direction := range []string{schemas.In, schemas.Out} {
			got := both.Behind(&schemas.Solicitation{Interface: on, Direction: direction}, true)
			if len(got) != 1 || got[0].Name != want {
				t.Errorf("in both directions, asked %s on %s: %v", direction, on, got)
			}
		}
	}
}
