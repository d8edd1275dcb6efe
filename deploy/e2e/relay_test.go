package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// startRelay starts ndmon as a user of NS-Monitor does, and waits until it
// works.
func startRelay(t *testing.T, r *lab.Router, args ...string) *lab.Process {
	t.Helper()
	return relaying(r, program("ndmon", append([]string{"--data", t.TempDir()}, args...)...))
}

// startProxy does so with the built-in rules.
func startProxy(t *testing.T, r *lab.Router, args ...string) *lab.Process {
	t.Helper()
	return relaying(r, builtin("ndmon", append([]string{"--data", t.TempDir()}, args...)...))
}

// relaying starts ndmon on the host r1 to relay between the master and the slaves.
func relaying(r *lab.Router, c lab.Command) *lab.Process {
	c.Args = append(c.Args, "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2, "--host", "r1")
	p := r.Start(c)
	p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	p.Stderr.WaitFor("pinger ready")
	return p
}

// echoes returns the targets of the echo requests among frames that came in.
func echoes(frames []lab.Frame) (targets []string) {
	for _, e := range lab.EchoRequests(frames) {
		targets = append(targets, e.Target.String())
	}
	return targets
}

// solicited returns the targets of the Neighbor Solicitations among frames that
// came in.
func solicited(frames []lab.Frame) (targets []string) {
	for _, target := range lab.Solicited(frames) {
		targets = append(targets, target.String())
	}
	return targets
}

// resultsOf waits for a result of each slave for a target and returns them by
// slave. A result for another target fails the test.
func resultsOf(t *testing.T, messages <-chan *nats.Msg, target netip.Addr) map[string]result {
	t.Helper()
	found := map[string]result{}
	for len(found) < 2 {
		r := parse[result](t, next(t, messages, "a result of each slave").Data)
		switch {
		case r.Target != target.String():
			t.Fatalf("result for %s, which was not asked for: %+v", r.Target, r)
		case r.Status == "suppressed": // the kernel solicits three times
		default:
			found[r.Slave] = r
		}
	}
	return found
}

// The case of NS-Monitor's users: the kernel looks for a host on the master,
// and it is found behind slave 2.
func TestRelayFindsTheHostBehindASlave(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	// Host1 does not know the address; host 2 answers.
	wire1, wire2 := r.Host1.Wire("eth0"), r.Host2.Wire("eth0")
	p := startRelay(t, r)
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")

	r.Solicit(lab.Host2Address)
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	found := resultsOf(t, results, lab.Host2Address)
	reachable, unreachable := found[lab.Slave2], found[lab.Slave1]
	rtt, err := time.ParseDuration(reachable.RTT)
	if err != nil || rtt <= 0 || rtt > lab.Patience {
		t.Errorf("round-trip time %q (%v)", reachable.RTT, err)
	}
	want := map[string]result{
		lab.Slave2: {Type: "nd.result.v1", ID: reachable.ID, Time: reachable.Time, Host: "r1", Relay: reachable.Relay,
			Target: lab.Host2Address.String(), Slave: lab.Slave2, Status: "reachable", RTT: reachable.RTT,
			Ethernet: r.Host2.MAC("eth0").String()},
		lab.Slave1: {Type: "nd.result.v1", ID: unreachable.ID, Time: unreachable.Time, Host: "r1", Relay: reachable.Relay,
			Target: lab.Host2Address.String(), Slave: lab.Slave1, Status: "unreachable"},
	}
	equal(t, "results", want, found)

	// The slaves sent only for the target.
	frames1, frames2 := wire1.Frames(), wire2.Frames()
	for _, target := range append(append(solicited(frames1), solicited(frames2)...), append(echoes(frames1), echoes(frames2)...)...) {
		if target != lab.Host2Address.String() && !netip.MustParseAddr(target).IsLinkLocalUnicast() {
			t.Errorf("the slaves carried something for %s, which was not asked for", target)
		}
	}
	if got := echoes(frames2); len(got) == 0 {
		t.Error("no echo request came to the host behind slave 2")
	}
	if len(solicited(frames1)) == 0 {
		t.Error("the target was not solicited behind slave 1")
	}
	stop(t, p)
}

func TestRelayLeavesAlone(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	r.Address(lab.Slave1, "2001:db8:6::1/64") // an own address
	startRelay(t, r, "-l", "debug")
	nc := connect(t, r.Namespace, localNATS)
	results := collect(t, nc, "nd.results.>")
	commands := collect(t, nc, "nd.relay.>")
	events := collect(t, nc, "nd.events.r1."+lab.Master+".ns")
	wire1, wire2 := r.Host1.Wire("eth0"), r.Host2.Wire("eth0")
	out, in := r.Wire(lab.Master), r.Upstream.Wire("eth0")

	target := netip.MustParseAddr("2001:db8:5::77")
	mac := r.MAC(lab.Master)
	ns := func(change func(*lab.Message)) []byte {
		m := lab.Solicitation(mac, lab.RouterAddress, target)
		change(&m)
		return m.Frame()
	}
	for _, frame := range [][]byte{
		lab.Solicitation(mac, netip.IPv6Unspecified(), target).Frame(), // duplicate address detection
		lab.Solicitation(mac, lab.RouterAddress, netip.MustParseAddr("fe80::77")).Frame(),
		lab.Solicitation(mac, lab.RouterAddress, netip.MustParseAddr("ff02::77")).Frame(),
		lab.Solicitation(mac, lab.RouterAddress, netip.IPv6Loopback()).Frame(),
		lab.Solicitation(mac, lab.RouterAddress, netip.IPv6Unspecified()).Frame(),
		ns(func(m *lab.Message) { m.HopLimit = 64 }),
		ns(func(m *lab.Message) { m.Code = 1 }),
		ns(func(m *lab.Message) { m.Body = append(m.Body, 1, 0) }), // an option of length zero
	} {
		out.Send(frame)
	}
	// What comes in is not relayed either.
	in.Send(lab.Solicitation(r.Upstream.MAC("eth0"), netip.MustParseAddr("2001:db8:5::9"), target).Frame())
	// Own addresses are known to the pinger, which refuses them.
	own := netip.MustParseAddr("2001:db8:6::1")
	out.Send(lab.Solicitation(mac, lab.RouterAddress, own).Frame())
	refused := parse[result](t, next(t, results, "the refusal of the own address").Data)
	if refused.Target != own.String() || refused.Status != "error" || refused.Slave != "" || refused.Error == "" {
		t.Errorf("result for an own address: %+v", refused)
	}

	// One that is relayed ends it: events are handled in their order.
	out.Send(lab.Solicitation(mac, lab.RouterAddress, lab.Host1Address).Frame())
	if found := resultsOf(t, results, lab.Host1Address); found[lab.Slave1].Status != "reachable" {
		t.Errorf("results: %+v", found)
	}
	var relayed []string
	for len(commands) > 0 {
		relayed = append(relayed, parse[command](t, (<-commands).Data).Target)
	}
	equal(t, "relayed targets", []string{own.String(), lab.Host1Address.String()}, relayed)
	for _, frames := range [][]lab.Frame{wire1.Frames(), wire2.Frames()} {
		for _, got := range append(echoes(frames), solicited(frames)...) {
			if got != lab.Host1Address.String() && !strings.HasPrefix(got, "fe80:") {
				t.Errorf("the slaves carried something for %s", got)
			}
		}
	}
	seen := map[string]int{}
	for len(events) > 0 {
		seen[parse[event](t, (<-events).Data).Direction]++
	}
	equal(t, "solicitations on the master", map[string]int{"in": 1, "out": 10}, seen)
}

// The pinger of ndmon probes a target once in the hold-down, however often it is
// solicited, and works again for a target that a slave has just come up for.
func TestRelayHoldsDown(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startRelay(t, r)
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
	wire := r.Host2.Wire("eth0")
	out := r.Wire(lab.Master)
	ns := lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame()
	out.Send(ns, ns, ns)
	var status []string
	for len(status) < 3 { // reachable on slave 2, twice suppressed; slave 1 takes longer
		status = append(status, parse[result](t, next(t, results, "results").Data).Status)
	}
	count := map[string]int{}
	for _, s := range status {
		count[s]++
	}
	equal(t, "results", map[string]int{"reachable": 1, "suppressed": 2}, count)
	if got := echoes(wire.Frames()); len(got) != 1 {
		t.Errorf("%d echo requests for three solicitations, want 1", len(got))
	}
}

// macOf parses an Ethernet address.
func macOf(s string) net.HardwareAddr {
	mac, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return mac
}

// A slave that cannot send does not keep the others from it, and is back by
// itself.
func TestRelayWithASlaveThatIsDown(t *testing.T) {
	t.Parallel()
	third := netip.MustParseAddr("2001:db8:5::43")
	for _, tc := range []struct {
		name     string
		down, up func(*lab.Router)
	}{
		{"down", func(r *lab.Router) { r.Down(lab.Slave1) }, func(r *lab.Router) { r.Up(lab.Slave1) }},
		{"no carrier", func(r *lab.Router) { r.Host1.Down("eth0") }, func(r *lab.Router) { r.Host1.Up("eth0") }},
		{"deleted", func(r *lab.Router) { r.Delete(lab.Slave1) }, func(r *lab.Router) {
			r.Veth(lab.Slave1, r.Host1, "eth0")
			r.LinkLocal(lab.Slave1)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			p := startRelay(t, r)
			results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
			out := r.Wire(lab.Master)
			ns := lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame()

			tc.down(r)
			lab.Eventually(t, "a warning says so", func() bool {
				return lineWith(p, "level=WARN", "slave="+lab.Slave1) || lineWith(p, "level=WARN", "waiting for interfaces", "wanted="+lab.Slave1)
			})
			out.Send(ns)
			found := resultsOf(t, results, lab.Host2Address)
			if got := found[lab.Slave2]; got.Status != "reachable" {
				t.Errorf("result of the other slave: %+v", got)
			}
			if got := found[lab.Slave1]; got.Status != "error" || got.Reason != "slave_down" || !strings.Contains(got.Error, lab.Slave1) {
				t.Errorf("result of the slave: %+v", got)
			}

			tc.up(r)
			r.Host1.LinkLocal("eth0")
			r.Host1.Address("eth0", third.String()+"/64")
			lab.Eventually(t, "a host behind the slave is found", func() bool {
				out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, third).Frame())
				for len(results) > 0 {
					if got := parse[result](t, (<-results).Data); got.Slave == lab.Slave1 && got.Status == "reachable" && got.Target == third.String() {
						return true
					}
				}
				return false
			})
		})
	}
}

// NS-Monitor compares Ethernet addresses, and is deaf when the master's changes.
func TestRelayWhenTheMastersAddressChanges(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := startRelay(t, r)
	must(t, r.Netlink.LinkSetHardwareAddr(r.Link(lab.Master), macOf("02:00:00:00:77:01")))
	p.Stderr.WaitFor("interface changed its Ethernet address")
	r.Solicit(lab.Host2Address)
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
}

// Duplicate address detection is relayed only where a rule asks for it.
func TestRelayOfDuplicateAddressDetection(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	rules := write(t, "rules.xml", []byte(`<rules><rule id="dad"><match field="nd.ns"/><match field="direction" value="out"/>
		<match field="inet6.source" value="::/128"/><relay/></rule></rules>`))
	startRelay(t, r, "-R", rules)
	nc := connect(t, r.Namespace, localNATS)
	results, commands := collect(t, nc, "nd.results.r1"), collect(t, nc, "nd.relay.r1")
	out := r.Wire(lab.Master)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host1Address).Frame(),
		lab.Solicitation(r.MAC(lab.Master), netip.IPv6Unspecified(), lab.Host2Address).Frame())
	if found := resultsOf(t, results, lab.Host2Address); found[lab.Slave2].Status != "reachable" {
		t.Errorf("results: %+v", found)
	}
	got := parse[command](t, next(t, commands, "the command").Data).Solicitation
	want := &solicitation{Host: "r1", Interface: lab.Master, Direction: "out", Source: "::", Ethernet: r.MAC(lab.Master).String()}
	equal(t, "solicitation of the command", want, got)
}

// With only CAP_NET_RAW ndmon makes no routing tables. It still solicits targets, and
// pings them where the slave has a route.
func TestRelayWithCapNetRawAlone(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	// Slave 2 has a route to the hosts behind it, slave 1 has none.
	r.Address(lab.Slave2, "2001:db8:6::1/64")
	const routedAddress = "2001:db8:6::42"
	r.Host2.Address("eth0", routedAddress+"/64")
	data := public(t)
	c := builtin("ndmon", "-l", "debug", "--data", data+"/ndmon")
	c.UID, c.Capabilities = nobody, []uintptr{unix.CAP_NET_RAW}
	p := relaying(r, c)
	// At the start ndmon logs what it cannot do, and why.
	for _, word := range []string{"CAP_NET_ADMIN", lab.Slave1} {
		if !lineWith(p, word, "level=WARN") {
			t.Errorf("no warning at the start has %s:\n%s", word, p.Stderr)
		}
	}
	// Without a folder of the run time, it cannot note where its key is.
	key, err := nats.NkeyOptionFromSeed(data + "/ndmon/admin.nk")
	must(t, err)
	results := collect(t, connectWith(t, r.Namespace, localNATS, key), "nd.results.r1")
	wire1, wire2, out := r.Host1.Wire("eth0"), r.Host2.Wire("eth0"), r.Wire(lab.Master)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host1Address).Frame())
	if found := resultsOf(t, results, lab.Host1Address); found[lab.Slave1].Status != "reachable" ||
		found[lab.Slave1].Ethernet != r.Host1.MAC("eth0").String() || found[lab.Slave2].Status != "unreachable" {
		t.Errorf("results: %+v", found)
	}
	if n := len(solicited(wire1.Frames())); n == 0 {
		t.Error("the host behind slave 1 was not solicited")
	}

	// Where the slave has a route, the echo follows and the kernel learns.
	routed := netip.MustParseAddr(routedAddress)
	out.Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, routed).Frame())
	if found := resultsOf(t, results, routed); found[lab.Slave2].Status != "reachable" {
		t.Errorf("results: %+v", found)
	}
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, routed) == "REACHABLE"
	})
	lab.Eventually(t, "an echo request came", func() bool { return len(echoes(wire2.Frames())) > 0 })
	stop(t, p)
	clean(t, r)
}

// lineWith reports whether a line of the log has all the texts.
func lineWith(p *lab.Process, texts ...string) bool {
lines:
	for _, line := range p.Stderr.Lines() {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		return true
	}
	return false
}
