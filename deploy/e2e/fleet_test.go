package e2e

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
)

// central is where the fleet's NATS server and its nd-ruled run, reached by the
// routers over networks of their own.
type central struct {
	*lab.Namespace
	broker *broker
	nc     *nats.Conn
}

func startCentral(t *testing.T) *central {
	t.Helper()
	c := &central{Namespace: lab.New(t, "central")}
	c.broker = startBroker(t, c.Namespace)
	c.nc = connect(t, c.Namespace, localNATS)
	return c
}

// startRuled starts nd-ruled and waits until it reads events.
func (c *central) startRuled(env ...string) *lab.Process {
	return startRuled(c.Namespace, append([]string{"NATS_URL=" + localNATS}, env...)...)
}

// join connects a router to the central network over a veth pair, and starts
// its nd-sensor and nd-pinger there.
func (c *central) join(r *lab.Router, host, uplink, routerAddress, centralAddress, url string) (sensor, pinger *lab.Process) {
	c.Veth(uplink, r.Namespace, "uplink")
	c.Address(uplink, centralAddress)
	r.Address("uplink", routerAddress)
	sensor = r.Start(with(program("nd-sensor"), "NATS_URL="+url, "SENSOR_HOST="+host, "SENSOR_MASTERS="+lab.Master))
	pinger = r.Start(with(program("nd-pinger"), "NATS_URL="+url, "PINGER_HOST="+host, "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2))
	for _, p := range []*lab.Process{sensor, pinger} {
		p.Stderr.WaitFor("connected to NATS")
	}
	sensor.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	pinger.Stderr.WaitFor("pinger ready")
	return sensor, pinger
}

// Two routers, one with a name that is no subject token, and one nd-ruled for
// both, each process apart, over IPv4 and IPv6.
func TestFleet(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	ruled := c.startRuled()
	r1, r2 := lab.NewRouter(t), lab.NewRouter(t)
	const host1, host2 = "r1", "r2.example.org"
	sensor1, pinger1 := c.join(r1, host1, "up1", "192.0.2.1/30", "192.0.2.2/30", "nats://192.0.2.2:4222")
	sensor2, pinger2 := c.join(r2, host2, "up2", "2001:db8:cc::1/64", "2001:db8:cc::2/64", "nats://[2001:db8:cc::2]:4222")
	relays, results := collect(t, c.nc, "nd.relay.>"), collect(t, c.nc, "nd.results.>")
	alerts, events := collect(t, c.nc, "nd.alerts"), collect(t, c.nc, "nd.events.>")
	idle1, idle2 := r1.Host1.Wire("eth0"), r1.Host2.Wire("eth0")

	// What r2's kernel looks for, r2's pinger finds.
	r2.Solicit(lab.Host2Address)
	lab.Eventually(t, "the host behind slave 2 of r2 is reachable", func() bool {
		return r2.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	relay := next(t, relays, "the relay command")
	checkRelay(t, relay, host2, r2.MAC(lab.Master).String())
	checkResults(t, results, host2)
	// r1 did nothing of it.
	if targets := probed(idle1, idle2); len(targets) > 0 {
		t.Errorf("slaves of r1 carried something for %v, which r2 was asked for", targets)
	}

	// Alerts carry the plain names, events the escaped ones in their subject.
	r1.Upstream.Wire("eth0").Send(numbered(1))
	r2.Upstream.Wire("eth0").Send(numbered(2))
	got := map[int]string{}
	for len(got) < 2 {
		a := parseAlert(t, next(t, alerts, "an alert of each router").Data)
		if a.Event.Host != a.Host || a.Event.Interface != a.Interface {
			t.Errorf("alert of %s/%s about an event of %s/%s", a.Host, a.Interface, a.Event.Host, a.Event.Interface)
		}
		got[numberOf(t, a)] = a.Host + "/" + a.Interface
	}
	equal(t, "alerts' hosts", map[int]string{1: host1 + "/" + lab.Master, 2: host2 + "/" + lab.Master}, got)
	for len(events) > 0 {
		m := <-events
		e := parse[event](t, m.Data)
		if e.Sensor != nil {
			continue
		}
		token := map[string]string{host1: "r1", host2: "r2=2Eexample=2Eorg"}[e.Host]
		if !strings.HasPrefix(m.Subject, "nd.events."+token+"."+lab.Master+".") {
			t.Errorf("event of %s/%s on %s", e.Host, e.Interface, m.Subject)
		}
	}
	for len(relays) > 0 {
		if m := <-relays; m.Subject != relay.Subject {
			t.Errorf("relay command on %s: %s", m.Subject, m.Data)
		}
	}
	stop(t, sensor1, pinger1, sensor2, pinger2, ruled)
}

// checkRelay checks the command for host 2 that a solicitation leaving the master of
// r2 makes.
func checkRelay(t *testing.T, relay *nats.Msg, host, mac string) {
	t.Helper()
	if relay.Subject != "nd.relay.r2=2Eexample=2Eorg" {
		t.Errorf("relay command on %s", relay.Subject)
	}
	cmd := parse[command](t, relay.Data)
	if cmd.Solicitation == nil || cmd.Solicitation.Source == "" {
		t.Fatalf("relay command %s", relay.Data)
	}
	if diff := cmp.Diff(command{Type: "nd.relay.v1", ID: cmd.ID, Time: cmd.Time, Expires: cmd.Expires, Host: host,
		Target: lab.Host2Address.String(), Rule: "relay-ns", Event: cmd.Event, Solicitation: &solicitation{
			Host: host, Interface: lab.Master, Direction: "out", Source: cmd.Solicitation.Source, Ethernet: mac,
		}}, cmd); diff != "" {
		t.Errorf("relay command (-want +got):\n%s", diff)
	}
	if cmd.Expires <= cmd.Time || cmd.ID == "" || cmd.Event == "" {
		t.Errorf("relay command %s", relay.Data)
	}
}

// checkResults checks the result of each slave of r2.
func checkResults(t *testing.T, results <-chan *nats.Msg, host string) {
	t.Helper()
	for found := 0; found < 2; {
		m := next(t, results, "a result of each slave of r2")
		r := parse[result](t, m.Data)
		if m.Subject != "nd.results.r2=2Eexample=2Eorg" || r.Host != host || r.Target != lab.Host2Address.String() {
			t.Errorf("result on %s: %s", m.Subject, m.Data)
		}
		if r.Status == "suppressed" {
			continue
		}
		if found++; (r.Slave == lab.Slave2) != (r.Status == "reachable") {
			t.Errorf("result: %s", m.Data)
		}
	}
}

// Daemons that are started before NATS connect when it is there.
func TestDaemonsStartBeforeNATS(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	ruled := r.Start(program("nd-ruled"))
	sensor := r.Start(with(program("nd-sensor"), "SENSOR_INTERFACES="+lab.Master))
	pinger := r.Start(with(program("nd-pinger"), "PINGER_SLAVES="+lab.Slave1))
	for _, p := range []*lab.Process{ruled, sensor, pinger} {
		p.Stderr.WaitFor("cannot reach NATS")
	}
	sensor.Stderr.WaitFor("msg=capturing")
	const before = 10
	wire := r.Upstream.Wire("eth0")
	for n := range before {
		wire.Send(numbered(n))
	}
	startBroker(t, r.Namespace)
	ruled.Stderr.WaitFor("reading events")
	pinger.Stderr.WaitFor("connected to NATS")
	nc := connect(t, r.Namespace, localNATS)
	// What was captured meanwhile is not lost.
	lab.Eventually(t, "the alerts are stored", func() bool {
		return stream(t, nc, "ND_ALERTS").CachedInfo().State.Msgs >= before
	})
	exactlyOnce(t, "stream", before, storedAlerts(t, nc))
}

// fleet is two routers, each with an nd-sensor and an nd-pinger, and a nd-ruled
// for both.
type fleet struct {
	*central
	r1, r2 *lab.Router
}

// The names of the fleet's routers. The second is no subject token.
const (
	fleetHost1 = "r1"
	fleetHost2 = "r2.example"
)

func startFleet(t *testing.T, rules string) *fleet {
	t.Helper()
	f := &fleet{startCentral(t), lab.NewRouter(t), lab.NewRouter(t)}
	f.startRuled("RULED_RULES=" + write(t, "fleet.xml", []byte(rules)))
	f.join(f.r1, fleetHost1, "up1", "192.0.2.1/30", "192.0.2.2/30", "nats://192.0.2.2:4222")
	f.join(f.r2, fleetHost2, "up2", "192.0.2.5/30", "192.0.2.6/30", "nats://192.0.2.6:4222")
	return f
}

// relayRules relay what leaves a master to the hosts that to names.
func relayRules(to string) string {
	return strings.Replace(plainRules, "<relay/>", fmt.Sprintf("<relay to=%q/>", to), 1)
}

// movedAddress is one in the prefix of both routers' masters, which a test gives
// to a host behind one of them.
var movedAddress = netip.MustParseAddr("2001:db8:5::77")

// A solicitation on one router is probed on those that the rule names, and the
// results report where the target is.
func TestRelayToOtherRouters(t *testing.T) {
	for _, tt := range []struct {
		to string
		// commands are the subject and host of each command, asked the hosts that
		// answer.
		commands []string
		asked    []string
	}{
		{fleetHost2, []string{"nd.relay.r2=2Eexample r2.example"}, []string{fleetHost2}},
		{"origin, " + fleetHost2, []string{"nd.relay.r1 r1", "nd.relay.r2=2Eexample r2.example"}, []string{fleetHost1, fleetHost2}},
		{"all", []string{"nd.relay *"}, []string{fleetHost1, fleetHost2}},
	} {
		t.Run(tt.to, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t, relayRules(tt.to))
			f.r2.Host1.Address("eth0", movedAddress.String()+"/64")
			commands, all := collect(t, f.nc, "nd.relay.>"), collect(t, f.nc, "nd.relay")
			results := collect(t, f.nc, "nd.results.>")
			wire1, wire2 := f.r1.Host1.Wire("eth0"), f.r1.Host2.Wire("eth0")

			f.r1.Solicit(movedAddress)
			want, got := map[string]string{}, map[string]string{}
			for _, host := range tt.asked {
				want[host+" "+lab.Slave1], want[host+" "+lab.Slave2] = "unreachable", "unreachable"
			}
			want[fleetHost2+" "+lab.Slave1] = "reachable " + f.r2.Host1.MAC("eth0").String()
			for len(got) < len(want) {
				r := parse[result](t, next(t, results, fmt.Sprintf("a result of each slave after %v", got)).Data)
				if r.Target != movedAddress.String() {
					t.Fatalf("result for %s, which was not asked for: %+v", r.Target, r)
				}
				if r.Status != "suppressed" { // the kernel solicits three times
					got[r.Host+" "+r.Slave] = strings.TrimSuffix(r.Status+" "+r.Ethernet, " ")
				}
			}
			equal(t, "results", want, got)

			for _, want := range tt.commands {
				from := commands
				if strings.HasPrefix(want, "nd.relay ") {
					from = all
				}
				m := next(t, from, "the command "+want)
				cmd := parse[command](t, m.Data)
				if got := m.Subject + " " + cmd.Host; got != want {
					t.Errorf("command %q, want %q", got, want)
				}
				if cmd.Solicitation == nil {
					t.Fatalf("command without who asked: %s", m.Data)
				}
				if diff := cmp.Diff(solicitation{
					Host: fleetHost1, Interface: lab.Master, Direction: "out", Source: cmd.Solicitation.Source, Ethernet: f.r1.MAC(lab.Master).String(),
				}, *cmd.Solicitation); diff != "" || cmd.Solicitation.Source == "" {
					t.Errorf("who asked (-want +got):\n%s", diff)
				}
			}
			// Who was not asked did nothing.
			if len(tt.asked) == 1 && slices.Contains(probed(wire1, wire2), movedAddress.String()) {
				t.Errorf("a slave of %s carried something for the target", fleetHost1)
			}
		})
	}
}

// find asks the fleet as an operator does, and returns the exit status.
func (f *fleet) find(args ...string) (int, *lab.Process) {
	p := f.Start(program("ndmon", append([]string{"find"}, args...)...))
	return p.Wait(), p
}

func TestFind(t *testing.T) {
	t.Parallel()
	f := startFleet(t, relayRules("origin"))
	f.r2.Host2.Address("eth0", movedAddress.String()+"/64")
	mac := f.r2.Host2.MAC("eth0").String()
	results := collect(t, f.nc, "nd.results.>")

	status, p := f.find(movedAddress.String(), "--wait", "1m")
	want := regexp.MustCompile(`^` + regexp.QuoteMeta(fleetHost2) + `  s2  ` + mac + `  (\d\S*s|-)\n$`)
	if status != 0 || !want.MatchString(p.Stdout.String()) || p.Stderr.String() != "" {
		t.Errorf("exit status %d, output %q, standard error %q", status, p.Stdout, p.Stderr)
	}

	// For programs.
	status, p = f.find(movedAddress.String(), "-o", "json", "--wait", "1m")
	found := map[string]string{}
	for _, line := range p.Stdout.Lines() {
		r := parse[result](t, []byte(line))
		if r.Type != "nd.result.v1" || r.Target != movedAddress.String() {
			t.Errorf("result %s", line)
		}
		found[r.Host+" "+r.Slave] = r.Status + " " + r.Ethernet
	}
	if got := found[fleetHost2+" "+lab.Slave2]; status != 0 || got != "reachable "+mac {
		t.Errorf("exit status %d, results %v", status, found)
	}

	// An unused address, and the reason why a host did not look.
	f.r1.Down(lab.Slave1)
	status, p = f.find(lab.UnusedAddress.String(), "--wait", "10s")
	lines := p.Stdout.Lines()
	if status != 1 || len(lines) != 4 || p.Stderr.String() != "" {
		t.Fatalf("exit status %d, output %q, standard error %q", status, p.Stdout, p.Stderr)
	}
	for i, want := range []string{"no host has 2001:db8:5::dead", "  r1 looked behind s2", "  r1 did not look behind s1: slave down", "  r2.example looked behind s1, s2"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], want)
		}
	}
	// No rule and no other target was involved.
	for len(results) > 0 {
		if r := parse[result](t, (<-results).Data); r.Target != movedAddress.String() && r.Target != lab.UnusedAddress.String() {
			t.Errorf("result for %s, which was not asked for", r.Target)
		}
	}
}

func TestFindWithoutPingers(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	p := c.Start(program("ndmon", "find", movedAddress.String(), "--wait", "1h"))
	if status := p.Wait(); status != 2 || !strings.Contains(p.Stderr.String(), "no pinger") || p.Stdout.String() != "" {
		t.Errorf("exit status %d, output %q, standard error %q", status, p.Stdout, p.Stderr)
	}
}

// On the host of ndmon, find needs no address of its server.
func TestFindBesideNdmon(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startRelay(t, r)
	p := r.Start(program("ndmon", "find", lab.Host2Address.String(), "--wait", "1m"))
	if status := p.Wait(); status != 0 || !strings.Contains("\n"+p.Stdout.String(), "\nr1  s2  "+r.Host2.MAC("eth0").String()+"  ") {
		t.Errorf("exit status %d, output %q, standard error %q", status, p.Stdout, p.Stderr)
	}

	// So can any client of NATS, with times in whole seconds.
	nc := connect(t, r.Namespace, localNATS)
	results := collect(t, nc, "nd.results.>")
	now := time.Now().UTC()
	publish(t, nc, "nd.relay", fmt.Appendf(nil, `{"type":"nd.relay.v1","id":"me","time":"%s","expires":"%s","host":"*","target":"%s","now":true}`,
		now.Format(time.RFC3339), now.Add(time.Minute).Format(time.RFC3339), lab.Host1Address))
	for got := (result{}); got.Status != "reachable"; {
		got = parse[result](t, next(t, results, "the answer").Data)
		if got.Target == lab.Host1Address.String() && got.Relay != "me" {
			t.Errorf("result for another command: %+v", got)
		}
	}
}

// With --proxy, what comes in on the master and on the slaves is relayed by a
// built-in rule, and without it nothing of that.
func TestProxyRelaysWhatComesIn(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	r.Upstream.Address("eth0", "2001:db8:5::9/64")
	p := startProxy(t, r, "--proxy", "-l", "debug")
	for _, name := range []string{lab.Master, lab.Slave1, lab.Slave2} {
		p.Stderr.WaitFor("msg=capturing", "interface="+name+" ", "proxy=true")
	}
	nc := connect(t, r.Namespace, localNATS)
	commands := collect(t, nc, "nd.relay.r1")

	upstream, host1 := r.Upstream.MAC("eth0"), r.Host1.MAC("eth0")
	asks := r.Upstream.Wire("eth0")
	asks.Send(lab.Solicitation(upstream, netip.MustParseAddr("2001:db8:5::9"), netip.MustParseAddr("fe80::77")).Frame()) // not relayed
	asks.Send(lab.Solicitation(upstream, netip.MustParseAddr("2001:db8:5::9"), lab.Host2Address).Frame())
	got := parse[command](t, next(t, commands, "the command for what came in on the master").Data)
	if diff := cmp.Diff(command{Type: got.Type, ID: got.ID, Time: got.Time, Expires: got.Expires, Event: got.Event, Host: "r1",
		Target: lab.Host2Address.String(), Rule: "relay-proxy",
		Solicitation: &solicitation{"r1", lab.Master, "in", "2001:db8:5::9", upstream.String()}}, got); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	// A test for duplicates, from a host behind a slave.
	r.Host1.Wire("eth0").Send(lab.Solicitation(host1, netip.IPv6Unspecified(), movedAddress).Frame())
	for got.Target != movedAddress.String() {
		got = parse[command](t, next(t, commands, "the command for what came in on the slave").Data)
	}
	if diff := cmp.Diff(&solicitation{"r1", lab.Slave1, "in", "::", host1.String()}, got.Solicitation); diff != "" || got.Rule != "relay-proxy" {
		t.Errorf("command of rule %s (-want +got):\n%s", got.Rule, diff)
	}
	p.Stderr.WaitFor("no rule relays this solicitation", "host=r1 interface="+lab.Master+" direction=in target=fe80::77 source=2001:db8:5::9")
}
