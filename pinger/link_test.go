package pinger

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

func TestSource(t *testing.T) {
	addr := func(s string, flags int) address {
		p := netip.MustParsePrefix(s)
		return address{addr: p.Addr(), prefix: p, flags: flags}
	}
	const up = unix.IFF_UP | unix.IFF_RUNNING
	local, global := addr("fe80::1/64", 0), addr("2001:db8::1/64", 0)
	tests := map[string]struct {
		link link
		want string // the address, or part of the reason
	}{
		"link-local first":  {link{flags: up, addresses: []address{global, local}}, "fe80::1"},
		"global alone":      {link{flags: up, addresses: []address{global}}, "2001:db8::1"},
		"tentative":         {link{flags: up, addresses: []address{addr("fe80::1/64", unix.IFA_F_TENTATIVE)}}, "detection for fe80::1 is under way"},
		"optimistic":        {link{flags: up, addresses: []address{addr("fe80::1/64", unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC)}}, "fe80::1"},
		"global is ready":   {link{flags: up, addresses: []address{addr("fe80::1/64", unix.IFA_F_TENTATIVE), global}}, "2001:db8::1"},
		"duplicate":         {link{flags: up, addresses: []address{addr("fe80::1/64", unix.IFA_F_DADFAILED|unix.IFA_F_TENTATIVE)}}, "another host on the link has too"},
		"down":              {link{addresses: []address{local}}, "is down"},
		"no carrier":        {link{flags: unix.IFF_UP, addresses: []address{local}}, "has no carrier"},
		"loopback":          {link{flags: up, loopback: true, addresses: []address{local}}, "loopback"},
		"no address":        {link{name: "s1", flags: up}, "net.ipv6.conf.s1.disable_ipv6"},
		"port of a bridge":  {link{flags: up, master: "br0"}, "is a port of br0"},
		"VRF, with address": {link{flags: up, master: "vrf0", addresses: []address{local}}, "fe80::1"},
	}
	for name, test := range tests {
		source, why := test.link.source()
		if source.IsValid() != (why == "") || source.IsValid() && source.String() != test.want || !strings.Contains(source.String()+why, test.want) {
			t.Errorf("%s: source is %v, %q, want %s", name, source, why, test.want)
		}
	}
}

func TestNewState(t *testing.T) {
	const up = unix.IFF_UP | unix.IFF_RUNNING
	links := []link{
		{name: "lo", index: 1, flags: up, loopback: true},
		{name: "a1", index: 2, flags: up, addresses: []address{{addr: netip.MustParseAddr("2001:db8::1"), prefix: netip.MustParsePrefix("2001:db8::1/64")}}},
		{name: "a2", index: 3},
		{name: "m0", index: 4},
	}
	patterns, err := parsePatterns("PINGER_SLAVES", []string{"a2", "a*", "2001:db8::/64", "b*", "fd00::/8", "c"})
	if err != nil {
		t.Fatal(err)
	}
	masters, err := parsePatterns("PINGER_MASTERS", []string{"m*", "a1"})
	if err != nil {
		t.Fatal(err)
	}
	st := newState(patterns, masters, links, func(string) *slaveMetrics { return nil })
	var got []string
	for _, s := range st.slaves {
		got = append(got, s.name+" "+s.why)
	}
	want := []string{"a2 is down", "a1 ", "b* is a glob that no interface matches",
		"fd00::/8 is a prefix that no interface has an address in", "c does not exist"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("slaves (-want +got):\n%s", diff)
	}
	if len(st.masters) != 1 || st.masters[0].name != "m0" || !st.masters[0].master || st.slaves[1].master {
		t.Errorf("masters are %v: an interface that is both is a slave", st.masters)
	}
	for addr, want := range map[string]bool{"2001:db8::1": true, "2001:db8::": true, "2001:db8::2": false} {
		if got := st.isOwn(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is own: %v", addr, got)
		}
	}
}

// A target is looked for everywhere but where it was solicited, and on the masters
// only for those behind the slaves.
func TestBehind(t *testing.T) {
	st := &state{
		slaves:  []*slave{{name: "s1"}, {name: "s2"}},
		masters: []*slave{{name: "m0", master: true}},
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
		for _, sl := range st.behind(sol, test.proxy) {
			got = append(got, sl.name)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("asked %s on %q, proxy %v: %v, want %s", test.direction, test.on, test.proxy, got, test.want)
		}
	}
	if len(st.slaves) != 2 || len(st.masters) != 1 {
		t.Error("the state was changed")
	}
}
