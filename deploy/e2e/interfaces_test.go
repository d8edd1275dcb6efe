package e2e

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// alertsFrom sends frame after frame, with the numbers from first on, until an
// alert for one of them is printed: what is sent before the interface is
// captured again is not seen. It returns the next number.
func alertsFrom(t *testing.T, p *lab.Process, wire *lab.Wire, first int) int {
	t.Helper()
	number := first
	lab.Eventually(t, "alerts are printed", func() bool {
		wire.Send(numbered(number))
		number++
		list := printed(t, p)
		return len(list) > 0 && numberOf(t, list[len(list)-1]) >= first
	})
	return number
}

func TestInterfaceIsDeletedAndMadeAgain(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := monitor(t, r)
	number := alertsFrom(t, p, r.Upstream.Wire("eth0"), 0)

	r.Delete(lab.Master)
	at := p.Stderr.WaitForAfter(0, "interface is gone", "interface="+lab.Master)
	r.Veth(lab.Master, r.Upstream, "eth0")
	at = p.Stderr.WaitForAfter(at, "msg=capturing", "interface="+lab.Master)
	// What changes within milliseconds is seen as one change: let it see the
	// interface up before it goes down.
	lab.Eventually(t, "the interface is seen up", func() bool {
		log := p.Stderr.String()[at:]
		return strings.Contains(log, "state=up") || strings.Contains(log, "interface is up")
	})
	number = alertsFrom(t, p, r.Upstream.Wire("eth0"), number)

	r.Down(lab.Master)
	at = p.Stderr.WaitForAfter(at, "interface is down", "interface="+lab.Master)
	r.Up(lab.Master)
	at = p.Stderr.WaitForAfter(at, "interface is up", "interface="+lab.Master)
	number = alertsFrom(t, p, r.Upstream.Wire("eth0"), number)

	must(t, r.Netlink.LinkSetHardwareAddr(r.Link(lab.Master), macOf("02:00:00:00:77:01")))
	p.Stderr.WaitForAfter(at, "interface changed its Ethernet address", "interface="+lab.Master, "to=02:00:00:00:77:01")
	alertsFrom(t, p, r.Upstream.Wire("eth0"), number)
	stop(t, p)
	// One line for each change, and no other warning.
	for _, line := range strings.Split(p.Stderr.String(), "\n") {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") && !strings.Contains(line, "waiting for interface") {
			t.Errorf("the log has %s", line)
		}
	}
}

// A master and a slave that are made again are relayed from and to as before.
func TestRelayAfterInterfacesAreMadeAgain(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := startRelay(t, r)
	r.Delete(lab.Master)
	at := p.Stderr.WaitForAfter(0, "interface is gone", "interface="+lab.Master)
	r.Delete(lab.Slave2)
	r.Veth(lab.Master, r.Upstream, "eth0")
	r.Veth(lab.Slave2, r.Host2, "eth0")
	r.Address(lab.Master, lab.RouterAddress.String()+"/64")
	r.Host2.Address("eth0", lab.Host2Address.String()+"/64")
	r.LinkLocal(lab.Slave2)
	p.Stderr.WaitForAfter(at, "msg=capturing", "interface="+lab.Master, "master=true")
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.*")
	lab.Eventually(t, "the host behind the new slave is reachable", func() bool {
		// A new entry makes the kernel solicit again.
		for _, entry := range r.Neighbours() {
			if entry.Interface == lab.Master && entry.Address == lab.Host2Address {
				neighbour := netlink.Neigh{LinkIndex: r.Link(lab.Master).Attrs().Index, IP: lab.Host2Address.AsSlice(), Family: netlink.FAMILY_V6}
				if err := r.Netlink.NeighDel(&neighbour); err != nil {
					t.Logf("delete the neighbour: %v", err)
				}
			}
		}
		r.Solicit(lab.Host2Address)
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	lab.Eventually(t, "a result says so", func() bool {
		r := parse[result](t, next(t, results, "a result").Data)
		return r.Slave == lab.Slave2 && r.Status == "reachable"
	})
}

// The daemons wait for interfaces that appear later, and log that.
func TestDaemonsWaitForInterfaces(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	startRuled(r.Namespace)
	sensor := r.Start(with(program("nd-sensor"), "SENSOR_HOST=r1", "SENSOR_MASTERS=later0"))
	pinger := r.Start(with(program("nd-pinger"), "PINGER_HOST=r1", "PINGER_SLAVES="+lab.Slave1+",later1"))
	sensor.Stderr.WaitFor("waiting for interface", "later0")
	pinger.Stderr.WaitFor("later1")
	results := collect(t, nc, "nd.results.r1")

	r.Veth("later0", lab.New(t, "later upstream"), "eth0")
	later := lab.New(t, "later host")
	r.Veth("later1", later, "eth0")
	address := netip.MustParseAddr("2001:db8:5::43")
	later.Address("eth0", address.String()+"/64")
	r.LinkLocal("later1")
	sensor.Stderr.WaitFor("msg=capturing", "interface=later0")
	wire := r.Wire("later0")
	lab.Eventually(t, "the host behind the new slave is found", func() bool {
		wire.Send(lab.Solicitation(r.MAC("later0"), lab.RouterAddress, address).Frame())
		for len(results) > 0 {
			if r := parse[result](t, (<-results).Data); r.Slave == "later1" && r.Status == "reachable" && r.Target == address.String() {
				return true
			}
		}
		return false
	})
}

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
			equal(t, "interfaces with events, masters are true", tc.want, got)
			logged := map[string]string{}
			for _, m := range capturing.FindAllStringSubmatch(p.Stderr.String(), -1) {
				logged[m[1]] = m[2]
			}
			equal(t, "interfaces in the log", tc.want, logged)
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
	equal(t, "alerts of hosts", []string{"r1", "r2"}, got)
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

// admin is a protocol number that an administrator's routes have
// (RTPROT_STATIC).
const (
	admin   = 4
	byAdmin = "proto 4"
)

// Entries of other programs for a target do not disturb, and stay.
func TestForeignEntriesStay(t *testing.T) {
	t.Parallel()
	w := lab.NewProxyRouter(t, false)
	r := w.Router
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	index := func(name string) int { return r.Link(name).Attrs().Index }
	single := func(a netip.Addr) *net.IPNet { return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(128, 128)} }
	// Routes to the target itself, a right and a wrong one, with metrics
	// that prefer them or do not, and one in the table of a slave.
	for _, route := range []netlink.Route{
		{LinkIndex: index(lab.Slave2), Dst: single(lab.Host2Address), Priority: 2048, Table: unix.RT_TABLE_MAIN},
		{LinkIndex: index(lab.Slave1), Dst: single(lab.Host2Address), Priority: 4096, Table: unix.RT_TABLE_MAIN},
		{LinkIndex: index(lab.Slave1), Dst: single(lab.Host2Address), Table: 4321},
	} {
		route.Protocol = admin
		must("add a route", r.Netlink.RouteAdd(&route))
	}
	rule := netlink.NewRule()
	rule.Family, rule.OifName, rule.Table, rule.Priority, rule.Protocol = unix.AF_INET6, lab.Slave2, 4321, 30000, admin
	must("add a rule", r.Netlink.RuleAdd(rule))
	// A proxy neighbour entry has no protocol number by default.
	for _, a := range []netip.Addr{lab.Host2Address, lab.Host1Address} {
		must("add a proxy neighbour entry", r.Netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: index(lab.Master), Family: unix.AF_INET6, Flags: netlink.NTF_PROXY, IP: a.AsSlice()}))
	}
	foreign := func() []string {
		list := append(r.Routes(byAdmin), r.Rules(byAdmin)...)
		for _, proxy := range r.Proxies() {
			if !strings.HasSuffix(proxy, byUs) {
				list = append(list, proxy)
			}
		}
		slices.Sort(list)
		return list
	}
	before := foreign()
	if len(before) != 6 {
		t.Fatalf("entries of others: %v", before)
	}
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before, foreign()); diff != "" {
			t.Errorf("entries of others %s (-want +got):\n%s", when, diff)
		}
	}

	p := startProxy(t, r, "--route", "--proxy")
	check("after the start")
	ping := r.Upstream.Ping(lab.Host2Address, often)
	ping.WaitForReply()
	settled(t, ping, 20)
	lab.Eventually(t, "the host is reachable behind slave 2", func() bool {
		return r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE"
	})
	check("while the target is known")
	r.Host2.RemoveAddress("eth0", w.Host)
	lab.Eventually(t, "the host route is gone", func() bool { return len(hostRoutes(r)) == 0 })
	check("after the target has gone")
	r.Host2.Address("eth0", w.Host)
	ping.WaitForReply()
	check("after the target is back")
	p.Signal(syscall.SIGKILL)
	p.Wait()
	p = startProxy(t, r)
	check("after kill -9 and a start")
	stop(t, p)
	check("after the end")
	if list := append(r.Routes(byUs), r.Rules(byUs)...); len(list) > 0 {
		t.Errorf("left of ndmon's own: %v", list)
	}
}

// NS-Monitor's ping fails where a /128 for the target exists, on all slaves.
func TestRelayWithARouteOfAnother(t *testing.T) {
	t.Parallel()
	for _, through := range []string{lab.Slave1, lab.Slave2, lab.Master} {
		t.Run(through, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			route := netlink.Route{LinkIndex: r.Link(through).Attrs().Index, Protocol: admin,
				Dst: &net.IPNet{IP: lab.Host2Address.AsSlice(), Mask: net.CIDRMask(128, 128)}}
			must(t, r.Netlink.RouteAdd(&route))
			before := r.Routes(byAdmin)
			p := startRelay(t, r)
			results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
			r.Wire(lab.Master).Send(lab.Solicitation(r.MAC(lab.Master), lab.RouterAddress, lab.Host2Address).Frame())
			if found := resultsOf(t, results, lab.Host2Address); found[lab.Slave2].Status != "reachable" || found[lab.Slave1].Status != "unreachable" {
				t.Errorf("results: %+v", found)
			}
			p.Stop()
			equal(t, "routes of others", before, r.Routes(byAdmin))
		})
	}
}
