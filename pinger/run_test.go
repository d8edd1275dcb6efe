package pinger

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

func TestFindsHostBehindSlave(t *testing.T) {
	for _, kind := range []string{"raw", "datagram"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			taps := []*lab.Wire{l.host1.Wire("h0"), l.host2.Wire("h0"), l.upstream.Wire("u0")}
			r := startWith(t, l, kind)
			if want := fmt.Sprintf("solicits=%v", kind == "raw"); !strings.Contains(r.log.String(), want) {
				t.Errorf("log has no %s", want)
			}
			results := r.ask(onHost2, 2)
			found := results["s2"]
			mac := schemas.MAC(l.host2.Link("h0").Attrs().HardwareAddr)
			if found.Status != schemas.Reachable || found.Ethernet == nil || *found.Ethernet != mac || found.Error != "" {
				t.Errorf("result of s2 is %+v, want reachable at %v", found, mac)
			}
			if rtt, err := time.ParseDuration(found.RTT); err != nil || rtt <= 0 || rtt > testConfig().Timeout {
				t.Errorf("rtt is %q", found.RTT)
			}
			if lost := results["s1"]; lost.Status != schemas.Unreachable || lost.RTT != "" || lost.Ethernet != nil || lost.Error != "" {
				t.Errorf("result of s1 is %+v, want unreachable", lost)
			}
			if n := l.router.NeighbourState("s2", netip.MustParseAddr(onHost2)); n != "REACHABLE" {
				t.Errorf("the router's neighbour entry is %+v, want REACHABLE", n)
			}
			// Only the host that is there gets an echo: the kernel solicits first.
			wants := [][]lab.EchoRequest{nil, {{Source: l.router.LinkLocal("s2"), Target: netip.MustParseAddr(onHost2), HopLimit: 1}}, nil}
			for i, want := range wants {
				if got := lab.EchoRequests(taps[i].Frames()); !slices.Equal(got, want) {
					t.Errorf("tap %d saw %v, want %v", i, got, want)
				}
			}
			for name, want := range map[string]float64{
				"nd_pinger_commands_total{outcome=probed}":             1,
				"nd_pinger_probes_total{outcome=reachable,slave=s2}":   1,
				"nd_pinger_probes_total{outcome=unreachable,slave=s1}": 1,
				"nd_pinger_sent_total{kind=echo,slave=s2}":             1,
				"nd_pinger_pending":                                    0,
				"nd_pinger_rtt_seconds":                                1,
				"nd_pinger_stray_replies_total":                        0,
			} {
				if got := r.counter(name); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			if !slices.Equal(r.bus.subjects, []string{"nd.relay.r1", "nd.relay"}) || r.bus.published["nd.results.r1"] != 2 {
				t.Errorf("subscribed to %s, published %v", r.bus.subjects, r.bus.published)
			}
			r.stop()
		})
	}
}

// A host that drops echo requests is found too.
func TestFindsHostThatIgnoresEchoes(t *testing.T) {
	for _, kind := range []string{"raw", "datagram"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			l.host2.Sysctl("net.ipv6.icmp.echo_ignore_all", "1")
			r := startWith(t, l, kind)
			results := r.ask(onHost2, 2)
			// With a raw socket it is the answer to the solicitation that counts.
			if got := results["s2"]; got.Status != schemas.Reachable || (got.RTT == "") != (kind == "datagram") || got.Ethernet == nil {
				t.Errorf("result of s2 is %+v", got)
			}
			if got := results["s1"].Status; got != schemas.Unreachable {
				t.Errorf("status of s1 is %s, want unreachable", got)
			}
			r.stop()
		})
	}
}

// startWith starts a pinger that has only sockets of a kind.
func startWith(t *testing.T, l *network, kind string) *running {
	if kind == "raw" {
		return start(t, l.router, testConfig())
	}
	l.router.Sysctl("net.ipv4.ping_group_range", "0 2147483647")
	r := launch(t, l.router, testConfig(), keepCapabilities(unix.CAP_NET_ADMIN))
	r.ready()
	return r
}

func TestRefusals(t *testing.T) {
	l := newLab(t)
	taps := []*lab.Wire{l.host1.Wire("h0"), l.host2.Wire("h0"), l.upstream.Wire("u0")}
	r := start(t, l.router, testConfig())
	tests := []struct {
		outcome string
		status  schemas.Status // "" for no result
		change  func(*schemas.Relay)
	}{
		{"own_address", schemas.Failed, func(c *schemas.Relay) { c.Target = netip.MustParseAddr(ownGlobal) }},
		{"own_address", schemas.Failed, func(c *schemas.Relay) { c.Target = netip.MustParseAddr("2001:db8:1::") }}, // anycast
		{"expired", schemas.Failed, func(c *schemas.Relay) { c.Expires = time.Now().Add(-time.Millisecond) }},
		{"far_ahead", schemas.Failed, func(c *schemas.Relay) { c.Expires = time.Now().Add(25 * time.Hour) }},
		{"other_host", "", func(c *schemas.Relay) { c.Host = "r2" }},
		{"malformed", "", func(c *schemas.Relay) { c.Type = schemas.TypeAlert }},
		{"bad_target", schemas.Failed, func(c *schemas.Relay) { c.Target = netip.MustParseAddr("fe80::42") }},
		{"bad_target", schemas.Failed, func(c *schemas.Relay) { c.Target = netip.MustParseAddr("ff02::1") }},
		{"bad_target", schemas.Failed, func(c *schemas.Relay) { c.Target = netip.MustParseAddr("::1") }},
	}
	for i, test := range tests {
		cmd := command(fmt.Sprintf("refused%d", i), onHost2)
		test.change(&cmd)
		counter := fmt.Sprintf("nd_pinger_commands_total{outcome=%s}", test.outcome)
		before := r.counter(counter)
		r.send(cmd)
		if got := r.counter(counter); got != before+1 {
			t.Errorf("%+v: %s went from %v to %v", cmd, counter, before, got)
		}
		if test.status == "" {
			if n := len(r.bus.results); n != 0 {
				t.Errorf("%+v: %d results, want none", cmd, n)
			}
			continue
		}
		if got := r.results(cmd, 1)[""]; got.Status != test.status || got.Error == "" {
			t.Errorf("%+v: result is %+v, want %s with a reason", cmd, got, test.status)
		}
		if !strings.Contains(r.log.String(), "relay="+cmd.ID) {
			t.Errorf("%s is not in the debug log", cmd.ID)
		}
	}
	for i, tap := range taps {
		if got := lab.EchoRequests(tap.Frames()); got != nil {
			t.Errorf("tap %d saw %v, want nothing", i, got)
		}
	}
	r.stop()
}

func TestHoldDownAndRate(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.Slaves, cfg.Rate = []string{"s2"}, 20
	var addresses []string
	for i := range 100 {
		addresses = append(addresses, fmt.Sprintf("2001:db8:1::7:%x/64", i))
	}
	l.host2.Address("h0", addresses...)
	tap := l.host2.Wire("h0")
	now := time.Now()
	r := launchWith(t, l.router, cfg, Deps{now: func() time.Time { return now }}, nil)
	r.ready()
	if got := r.ask(onHost2, 1)["s2"].Status; got != schemas.Reachable {
		t.Fatalf("first command: %s", got)
	}
	if got := r.ask(onHost2, 1)[""]; got.Status != schemas.Suppressed || !strings.Contains(got.Error, "PINGER_HOLD_DOWN") {
		t.Errorf("second command for the target: %+v", got)
	}
	for i := range 100 {
		r.send(command(fmt.Sprintf("flood%d", i), fmt.Sprintf("2001:db8:1::7:%x", i)))
	}
	lab.Eventually(t, "all targets answer", func() bool { return r.counter("nd_pinger_pending") == 0 })
	r.ask(onHost2, 1) // carried out after the last echo was sent
	// All in one second of the prober's clock. A source alone gets three quarters.
	sent, want := len(lab.EchoRequests(tap.Frames())), cfg.Rate*3/4
	if sent != want {
		t.Errorf("%d echoes, want %d", sent, want)
	}
	if got := r.counter("nd_pinger_commands_total{outcome=over_budget}"); got != float64(101-sent) {
		t.Errorf("%v commands over the rate, want %d", got, 101-sent)
	}
	r.stop()
}

func TestSlaveDeletedAndMadeAgain(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	if got := r.ask(onHost2, 2)["s2"].Status; got != schemas.Reachable {
		t.Fatalf("before: %s", got)
	}
	l.router.Delete("s2")
	r.untilStatus(onHost1, "s2", schemas.Failed)
	got := r.ask("2001:db8:1::99", 2)
	if got["s2"].Error != "s2 does not exist" || got["s1"].Status != schemas.Unreachable {
		t.Errorf("while s2 is away: %+v", got)
	}
	lab.Eventually(t, "the rule of s2 is gone", func() bool {
		return !strings.Contains(strings.Join(l.router.Rules(""), "\n"), `"s2"`)
	})
	l.router.Veth("s2", l.host2, "h0")
	l.host2.Address("h0", onHost2+"/64")
	if got := r.untilStatus(onHost2, "s2", schemas.Reachable); *got.Ethernet != schemas.MAC(l.host2.Link("h0").Attrs().HardwareAddr) {
		t.Errorf("MAC address is %v", got.Ethernet)
	}
	if got := strings.Count(r.log.String(), "wanted=s2 existing=lo,m0,s1\n"); got != 1 {
		t.Errorf("%d lines say that s2 is waited for, want 1", got)
	}
	r.stop()
	if got := l.router.Routes("table 4861"); got != nil {
		t.Errorf("routes after stop: %v", got)
	}
}

// The pinger is well as long as one slave is usable.
func TestHealth(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.Slaves = []string{"s2", "new*"}
	r := start(t, l.router, cfg)
	r.untilHealth("<nil>")
	l.router.Down("s2")
	r.untilHealth("no slave is usable: s2 is down; new* is a glob that no interface matches")
	l.router.Veth("new1", l.host1, "h1")
	r.untilHealth("<nil>")
	l.router.Delete("new1")
	l.router.Delete("s2")
	r.untilHealth("no slave is usable: s2 does not exist; new* is a glob that no interface matches")
	l.router.Veth("s2", l.host2, "h0")
	r.untilHealth("<nil>")
	r.stop()

	cfg.Slaves, cfg.Rate = []string{"s*"}, 1
	r = start(t, l.router, cfg)
	r.untilHealth("no command can be carried out: each takes a probe out of every slave, and 2 are more than PINGER_RATE=1")
	l.router.Delete("s2")
	r.untilHealth("<nil>")
	r.stop()
}

func TestSlaveDownAndWithoutCarrier(t *testing.T) {
	l := newLab(t)
	cfg := testConfig()
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	steps := []struct {
		do   func()
		want string // error of s1; "" if it works
	}{
		{func() { l.router.Down("s1") }, "s1 is down"},
		{func() { l.router.Up("s1") }, ""},
		{func() { l.host1.Down("h0") }, "s1 has no carrier"},
		{func() { l.host1.Up("h0"); l.host1.Address("h0", onHost1+"/64") }, ""},
		{func() { l.router.Sysctl("net.ipv6.conf.s1.disable_ipv6", "1") }, "s1 has no IPv6 address of its own (see the sysctl net.ipv6.conf.s1.disable_ipv6)"},
		{func() { l.router.Sysctl("net.ipv6.conf.s1.disable_ipv6", "0") }, ""},
	}
	for i, step := range steps {
		before := len(r.log.String())
		step.do()
		if step.want == "" {
			r.untilStatus(onHost1, "s1", schemas.Reachable)
			continue
		}
		lab.Eventually(t, step.want, func() bool {
			return strings.Contains(r.log.String()[before:], "slave out of use: "+step.want)
		})
		got := r.ask(fmt.Sprintf("2001:db8:1::99:%x", i), 2)
		if got["s1"].Status != schemas.Failed || got["s1"].Error != step.want || got["s2"].Status != schemas.Unreachable {
			t.Errorf("got %+v, want error %q of s1", got, step.want)
		}
	}
	r.stop()
}

func TestWaitsForDuplicateAddressDetection(t *testing.T) {
	l := newLab(t)
	l.router.Down("s1")
	l.router.Sysctl("net.ipv6.conf.s1.accept_dad", "1")
	l.router.Sysctl("net.ipv6.conf.s1.dad_transmits", "1")
	l.router.Up("s1")
	lab.Eventually(t, "s1 has a carrier", func() bool { return l.router.Link("s1").Attrs().RawFlags&unix.IFF_RUNNING != 0 })
	r := start(t, l.router, testConfig())
	if got := r.ask(onHost1, 2)["s1"]; got.Status != schemas.Failed || !strings.Contains(got.Error, "duplicate address detection") {
		t.Errorf("result while the address is tentative: %+v", got)
	}
	r.untilStatus(onHost1, "s1", schemas.Reachable)
	r.stop()
}

func TestSlavesByGlobAndPrefix(t *testing.T) {
	l := newLab(t)
	l.router.Address("s1", "2001:db8:5::1/64")
	cfg := testConfig()
	cfg.Slaves = []string{"2001:db8:5::/64", "lan*", "missing"}
	cfg.HoldDown = 0
	r := start(t, l.router, cfg)
	want := map[string]string{
		"s1":      "",
		"lan*":    "lan* is a glob that no interface matches",
		"missing": "missing does not exist",
	}
	got := map[string]string{}
	for name, result := range r.ask(nowhere, 3) {
		got[name] = result.Error
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors by slave (-want +got):\n%s", diff)
	}
	l.router.Veth("lan7", l.host2, "h7")
	l.host2.Address("h7", "2001:db8:1::77/64")
	r.untilStatus("2001:db8:1::77", "lan7", schemas.Reachable)
	l.router.Delete("lan7")
	lab.Eventually(t, "lan7 gone", func() bool { return strings.Contains(r.log.String(), `msg="slave gone" slave=lan7`) })
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(families); strings.Contains(s, "lan7") || !strings.Contains(s, "s1") {
		t.Errorf("metrics of lan7 are kept: %s", s)
	}
	r.stop()
}

func TestMessagesOfAnyKind(t *testing.T) {
	l := newLab(t)
	r := start(t, l.router, testConfig())
	hostile := []string{"", "{", "null", "[]", `"x"`, "{}", `{"type":"nd.relay.v1"}`, strings.Repeat("[", 1<<20), "\xff\xfe\x00",
		`{"type":"nd.relay.v1","id":"x","time":"2026-01-01T00:00:00Z","expires":"2026-01-01T00:00:00Z","host":"r1","target":7}`,
		`{"type":"nd.relay.v1","id":"x","time":"yesterday","expires":"2026-01-01T00:00:00Z","host":"r1","target":"2001:db8::1"}`}
	for _, message := range hostile {
		r.deliver([]byte(message))
	}
	if got := r.counter("nd_pinger_commands_total{outcome=malformed}"); got != float64(len(hostile)) {
		t.Errorf("%v malformed messages counted, want %d", got, len(hostile))
	}
	if got := r.ask(onHost2, 2)["s2"].Status; got != schemas.Reachable {
		t.Errorf("after them a command gives %s", got)
	}
	r.stop()
}

func TestResultsThatCannotBePublished(t *testing.T) {
	l := newLab(t)
	r := launch(t, l.router, testConfig(), nil)
	r.bus.results = make(chan []byte) // without a receiver
	r.ready()
	for i := range 3 {
		r.send(command(fmt.Sprint(i), "fe80::1"))
	}
	if got := r.counter("nd_pinger_publish_errors_total"); got != 3 {
		t.Errorf("%v errors counted, want 3", got)
	}
	if got := strings.Count(r.log.String(), "results cannot be published"); got != 1 {
		t.Errorf("logged %d times, want once", got)
	}
	r.stop()
}

func TestRunRefusesBadConfiguration(t *testing.T) {
	err := Run(t.Context(), Config{}, Deps{})
	if err == nil || !strings.Contains(err.Error(), "PINGER_SLAVES is not set") {
		t.Errorf("error is %v", err)
	}
}
