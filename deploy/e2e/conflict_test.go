package e2e

import (
	"net/netip"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// An address on two links is an alert and an event, in one process and in a fleet, and
// stays where it was.
func TestConflict(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T, *lab.Router){
		"one process": func(t *testing.T, r *lab.Router) { startProxy(t, r, "--route", "--proxy") },
		"fleet":       startRelayingFleet,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("on the master", func(t *testing.T) {
				t.Parallel()
				r := lab.NewProxyRouter(t, false).Router
				r.Host1.Address("eth0", lab.GatewayAddress.String()+"/128")
				start(t, r)
				a := conflictAt(t, r, lab.GatewayAddress)
				equal(t, "rule, severity and interface", []string{"master-address-claimed", "critical", lab.Master}, []string{a.Rule, a.Severity, a.Interface})
				equal(t, "summary", lab.GatewayAddress.String()+" is in use on "+lab.Master+" ("+r.Upstream.MAC("eth0").String()+") and on "+
					lab.Slave1+" ("+r.Host1.MAC("eth0").String()+"): traffic for it goes to "+lab.Master, a.Summary)
			})
			t.Run("behind two slaves", func(t *testing.T) {
				t.Parallel()
				r := lab.NewProxyRouter(t, false).Router
				r.Host1.Address("eth0", lab.Host2Address.String()+"/128")
				start(t, r)
				a := conflictAt(t, r, lab.Host2Address)
				equal(t, "rule and severity", []string{"address-on-two-links", "warning"}, []string{a.Rule, a.Severity})
			})
		})
	}
}

// startRelayingFleet starts all daemons on a router, which keep host routes.
func startRelayingFleet(t *testing.T, r *lab.Router) {
	t.Helper()
	startBroker(t, r.Namespace)
	url := "NATS_URL=" + localNATS
	startRuled(r.Namespace, url, "RULED_RULES=") // the built-in ones
	startSensor(r, url, "SENSOR_INTERFACES=", "SENSOR_MASTERS="+lab.Master, "SENSOR_PROXIES="+lab.Master+","+lab.Slave1+","+lab.Slave2)
	r.Start(with(program("nd-pinger"), url, "PINGER_HOST=r1", "PINGER_ROUTE=true", "PINGER_PROXY=true",
		"PINGER_MASTERS="+lab.Master, "PINGER_SLAVES="+lab.Slave1+","+lab.Slave2)).Stderr.WaitFor("pinger ready")
}

// conflictAt has the gateway look for a host behind slave 2, and waits for the first event
// and the first alert about a conflict. They must be about the address.
func conflictAt(t *testing.T, r *lab.Router, address netip.Addr) alert {
	t.Helper()
	nc := connect(t, r.Namespace, localNATS)
	events, alerts := collect(t, nc, "nd.events.r1.*.other"), collect(t, nc, "nd.alerts")
	defer r.Upstream.Ping(lab.Host2Address, often).Stop()
	var e event
	for range 5 { // heartbeats come too
		if e = parse[event](t, next(t, events, "the event").Data); e.Conflict != nil {
			break
		}
	}
	if e.Conflict == nil {
		t.Fatal("no conflict is found")
	}
	var a alert
	for a.Event.Conflict == nil {
		a = parseAlert(t, next(t, alerts, "the alert").Data)
	}
	equal(t, "address", address.String(), e.Conflict.Address)
	equal(t, "event of the alert", e, a.Event)
	return a
}
