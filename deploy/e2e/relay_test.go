package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
)

// startRelay starts ndmon as a user of NS-Monitor does, and waits until it
// works.
func startRelay(t *testing.T, r *lab.Router, args ...string) *lab.Process {
	t.Helper()
	p := r.Start(program("ndmon", append([]string{
		"-m", lab.Master, "-s", lab.Slave1 + "," + lab.Slave2, "--host", "r1", "--data", t.TempDir()}, args...)...))
	p.Stderr.WaitFor(`msg=capturing`, `interface=`+lab.Master)
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
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}

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
	if diff := cmp.Diff([]string{own.String(), lab.Host1Address.String()}, relayed); diff != "" {
		t.Errorf("relayed targets (-want +got):\n%s", diff)
	}
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
	if diff := cmp.Diff(map[string]int{"in": 1, "out": 10}, seen); diff != "" {
		t.Errorf("solicitations on the master (-want +got):\n%s", diff)
	}
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
	if diff := cmp.Diff(map[string]int{"reachable": 1, "suppressed": 2}, count); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
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
