package e2e

import (
	"strings"
	"testing"

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
	if diff := cmp.Diff(map[int]string{1: host1 + "/" + lab.Master, 2: host2 + "/" + lab.Master}, got); diff != "" {
		t.Errorf("alerts' hosts (-want +got):\n%s", diff)
	}
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
