package e2e

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// How interfaces are selected: by default, by name, glob and address.
func TestInterfacesAreSelected(t *testing.T) {
	t.Parallel()
	capturing := regexp.MustCompile(`msg=capturing .*interface=(\S+) .*master=(\S+)`)
	for _, tc := range []struct {
		name string
		args []string
		want map[string]string // master by interface
	}{
		{"all that are up", nil, map[string]string{lab.Master: "false", lab.Slave1: "false", lab.Slave2: "false"}},
		{"names", []string{"-i", lab.Master + "," + lab.Slave2}, map[string]string{lab.Master: "false", lab.Slave2: "false"}},
		{"glob", []string{"-i", "s*"}, map[string]string{lab.Slave1: "false", lab.Slave2: "false"}},
		{"address", []string{"-i", "2001:db8:5::/64"}, map[string]string{lab.Master: "false"}},
		{"master by address", []string{"-m", "2001:db8:5::/64", "-s", "s*"}, map[string]string{lab.Master: "true"}},
		{"master and others", []string{"-m", lab.Master, "-s", lab.Slave1, "-i", lab.Slave2}, map[string]string{lab.Master: "true", lab.Slave2: "false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			r.Veth("idle0", lab.New(t, "idle"), "eth0")
			r.Down("idle0")
			p := r.Start(program("ndmon", append(tc.args, "--data", t.TempDir(), "--host", "r1")...))
			// The log names them, and the events confirm it.
			lab.Eventually(t, "the interfaces are captured", func() bool {
				return len(capturing.FindAllString(p.Stderr.String(), -1)) >= len(tc.want)
			})
			events := collect(t, connect(t, r.Namespace, localNATS), "nd.events.r1.*.ra")
			peers := map[string]*lab.Namespace{lab.Master: r.Upstream, lab.Slave1: r.Host1, lab.Slave2: r.Host2}
			for i, name := range []string{lab.Slave1, lab.Slave2, lab.Master, lab.Slave1, lab.Slave2, lab.Master} {
				peers[name].Wire("eth0").Send(numbered(i))
			}
			got := map[string]string{}
			for range 2 * len(tc.want) {
				e := parse[event](t, next(t, events, "the events").Data)
				got[e.Interface] = map[bool]string{true: "true", false: "false"}[e.Master]
			}
			stop(t, p)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("interfaces with events, masters are true (-want +got):\n%s", diff)
			}
			logged := map[string]string{}
			for _, m := range capturing.FindAllStringSubmatch(p.Stderr.String(), -1) {
				logged[m[1]] = m[2]
			}
			if diff := cmp.Diff(tc.want, logged); diff != "" {
				t.Errorf("interfaces in the log (-want +got):\n%s", diff)
			}
			if len(events) > 0 {
				t.Errorf("one more event: %s", (<-events).Data)
			}
		})
	}
}

// Two routers whose ndmon use the same NATS server: each evaluates what its own
// host sees, so that nothing is relayed by the wrong one or alerted on twice.
func TestServerOfAnother(t *testing.T) {
	t.Parallel()
	c := startCentral(t)
	routers := []*lab.Router{lab.NewRouter(t), lab.NewRouter(t)}
	alerts, relays := collect(t, c.nc, "nd.alerts"), collect(t, c.nc, "nd.relay.>")
	var monitors []*lab.Process
	for i, r := range routers {
		up := []string{"up1", "up2"}[i]
		c.Veth(up, r.Namespace, "uplink")
		c.Address(up, []string{"192.0.2.1/30", "192.0.2.5/30"}[i])
		r.Address("uplink", []string{"192.0.2.2/30", "192.0.2.6/30"}[i])
		p := r.Start(program("ndmon", "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2,
			"--host", []string{"r1", "r2"}[i], "--nats", []string{"nats://192.0.2.1:4222", "nats://192.0.2.5:4222"}[i]))
		p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
		p.Stderr.WaitFor("pinger ready")
		monitors = append(monitors, p)
	}
	routers[1].Solicit(lab.Host1Address)
	lab.Eventually(t, "the host behind slave 1 of r2 is reachable", func() bool {
		return routers[1].NeighbourState(lab.Slave1, lab.Host1Address) == "REACHABLE"
	})
	if m := next(t, relays, "the relay command"); m.Subject != "nd.relay.r2" {
		t.Errorf("relay command on %s", m.Subject)
	}
	for i, r := range routers {
		r.Upstream.Wire("eth0").Send(numbered(i))
	}
	var got []string
	for range routers {
		got = append(got, parseAlert(t, next(t, alerts, "an alert of each router").Data).Host)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"r1", "r2"}, got); diff != "" {
		t.Errorf("alerts of hosts (-want +got):\n%s", diff)
	}
	for i, p := range monitors {
		lab.Eventually(t, "the alert of its host is printed", func() bool {
			return slices.ContainsFunc(printed(t, p), func(a alert) bool { return a.Host == []string{"r1", "r2"}[i] })
		})
		stop(t, p)
	}
	if len(alerts) > 0 {
		t.Errorf("one more alert: %s", (<-alerts).Data)
	}
}
