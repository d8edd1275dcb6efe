package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// station is a station on the upstream network whose frames the tests make.
type station struct {
	mac     net.HardwareAddr
	address netip.Addr
}

func newStation(n byte) station {
	return station{net.HardwareAddr{0, 0, 0x0c, 1, 2, n}, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n})} // 00:00:0c is Cisco's
}

// asks is a solicitation of the station's.
func (s station) asks() []byte {
	return lab.Solicitation(s.mac, s.address, lab.UnusedAddress).Frame()
}

// configuration is one of NDPMon's: the router of one link, and a rule of it.
func configuration(probe, kind string, router station) []byte {
	return fmt.Appendf(nil, `<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE config_ndpmon SYSTEM "config_ndpmon.dtd">
<config_ndpmon>
  <settings>
    <actions_high_priority sendmail="1" syslog="1" exec_pipe_program="/usr/bin/true"/>
    <actions_low_priority sendmail="0" syslog="1" exec_pipe_program=""/>
    <admin_mail>root@localhost</admin_mail>
    <ignor_autoconf>1</ignor_autoconf>
    <syslog_facility>LOG_LOCAL1</syslog_facility>
    <use_reverse_hostlookups>0</use_reverse_hostlookups>
  </settings>
  <probes>
    <probe name=%q type=%q>
      <routers>
        <router><mac>%v</mac><lla>%v</lla><param_curhoplimit>64</param_curhoplimit><params_volatile>0</params_volatile><addresses/><prefixes/></router>
      </routers>
      <rules>
        <rule id="rs" description="a host solicits routers"><no_match field="nd.ra"/><match field="nd.rs"/></rule>
      </rules>
    </probe>
  </probes>
  <countermeasures><kill_illegitimate_router>RESPOND</kill_illegitimate_router></countermeasures>
</config_ndpmon>
`, probe, kind, router.mac, router.address)
}

// With a configuration of NDPMon, the router that it lists raises no alert and another
// one is a rogue, on the link of the probe and on no other.
func TestConfigurationOfNDPMon(t *testing.T) {
	t.Parallel()
	good, rogue := newStation(1), newStation(2)
	solicitation := lab.RouterAdvertisement(rogue.mac, rogue.address, 0)
	solicitation.Type, solicitation.Body = 133, make([]byte, 4)
	solicitation.Destination = netip.MustParseAddr("ff02::2")
	solicitation.EthernetDestination = lab.MulticastMAC(solicitation.Destination)
	wrong := lab.RouterAdvertisement(good.mac, good.address, 1800)
	wrong.Body[0] = 1 // cur hop limit
	for _, tc := range []struct {
		name, probe, kind string
		want              map[string]int
	}{
		{"its interface", lab.Master, "interface", map[string]int{"ra-from-unknown-router": 1, "wrong-ra-params": 1, "rs": 1, "ra-hop-limit-low": 1}},
		{"its interface at the host", "r1/" + lab.Master, "remote", map[string]int{"ra-from-unknown-router": 1, "wrong-ra-params": 1, "rs": 1, "ra-hop-limit-low": 1}},
		// There the good router is the first one heard, and is learned.
		{"another host's interface", "r2/" + lab.Master, "remote", map[string]int{"ra-from-unknown-router": 1, "ra-changed": 1, "ra-hop-limit-low": 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			path := write(t, "config_ndpmon.xml", configuration(tc.probe, tc.kind, good))
			p := r.Start(builtin("ndmon", "-i", lab.Master, "--host", "r1", "-R", path, "--data", t.TempDir()))
			p.Stderr.WaitFor("msg=capturing")
			for _, said := range []string{"nd.alerts", "countermeasures"} {
				p.Stderr.WaitFor(said) // what to use instead of what NDPMon does
			}
			wire := r.Upstream.Wire("eth0")
			wire.Send(lab.RouterAdvertisement(good.mac, good.address, 1800).Frame(), wrong.Frame(),
				lab.RouterAdvertisement(rogue.mac, rogue.address, 1800).Frame(), solicitation.Frame())
			wire.Send(lab.RouterAdvertisement(good.mac, good.address, 0).Frame()) // the last one, for us to know
			lab.Eventually(t, "the last frame is alerted on", func() bool {
				out := p.Stdout.String()
				return strings.Contains(out, "ra-lifetime-zero") || strings.Contains(out, "configured-router-gives-up")
			})
			stop(t, p)
			got := map[string]int{}
			for _, a := range printed(t, p) {
				// The rogue's last frame counts as one of a rogue, too.
				if _, ok := tc.want[a.Rule]; ok && a.Event.ND != nil && (a.Event.ND.RA == nil || a.Event.ND.RA.Lifetime > 0) {
					got[a.Rule]++
				}
				if a.Severity == "critical" && tc.want[a.Rule] == 0 {
					t.Errorf("alert %s: %s", a.Rule, a.Summary)
				}
			}
			equal(t, "alerts", tc.want, got)
		})
	}
}

// neighbour is a line of nd-ruled neighbors. The times are checked and emptied.
type neighbour struct {
	Host, Interface, Address, Ethernet, Vendor string
	FirstSeen, LastSeen, State                 string
}

// neighbours returns the stations of newStation that nd-ruled neighbors lists.
func neighbours(t *testing.T, r *lab.Router) (list []neighbour) {
	t.Helper()
	p := r.Start(builtin("nd-ruled", "neighbors", "-o", "json"))
	if status := p.Wait(); status != 0 {
		t.Fatalf("exit status %d of nd-ruled neighbors: %s", status, p.Stderr.String())
	}
	for line := range strings.Lines(p.Stdout.String()) {
		n := parse[neighbour](t, []byte(line))
		if n.FirstSeen == "" || n.LastSeen == "" {
			t.Errorf("not when it was seen: %s", line)
		}
		n.FirstSeen, n.LastSeen = "", ""
		if strings.HasPrefix(n.Vendor, "Cisco") { // not the kernels' own
			list = append(list, n)
		}
	}
	return list
}

// nd-ruled neighbors shows the state of the links. The state outlives a killed
// nd-ruled: no station is new again, and a contradicting binding is recognised.
func TestNeighbors(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	alerts := collect(t, nc, "nd.alerts")
	ruled := r.Start(with(builtin("nd-ruled"), "RULED_STATE_INTERVAL=1s"))
	ruled.Stderr.WaitFor("reading events")
	startSensor(r).Stderr.WaitFor("connected to NATS")
	wire := r.Upstream.Wire("eth0")
	first, second := newStation(1), newStation(2)
	wire.Send(first.asks(), second.asks())

	const cisco = "Cisco Systems, Inc"
	known := []neighbour{
		{Host: "r1", Interface: lab.Master, Address: "fe80::1", Ethernet: first.mac.String(), Vendor: cisco},
		{Host: "r1", Interface: lab.Master, Address: "fe80::2", Ethernet: second.mac.String(), Vendor: cisco},
	}
	lab.Eventually(t, "both stations are known", func() bool { return len(neighbours(t, r)) == 2 })
	equal(t, "neighbours", known, neighbours(t, r))

	ruled.Kill()
	thief := station{newStation(3).mac, first.address}
	wire.Send(second.asks(), thief.asks())
	ruled = r.Start(with(builtin("nd-ruled"), "RULED_STATE_INTERVAL=1s"))
	ruled.Stderr.WaitFor("going on from the stored state")
	want := append(slices.Clone(known), neighbour{Host: "r1", Interface: lab.Master, Address: "fe80::1", Ethernet: thief.mac.String(), Vendor: cisco, State: "doubted"})
	want[0].State = "believed"
	slices.SortStableFunc(want, func(a, b neighbour) int { return strings.Compare(a.Address, b.Address) })
	lab.Eventually(t, "the thief is known", func() bool { return len(neighbours(t, r)) == 3 })
	equal(t, "neighbours", want, neighbours(t, r))
	stop(t, ruled)
	got := map[string]int{}
	for _, a := range storedAlerts(t, nc) {
		if bytes.HasPrefix([]byte(a.Event.Ethernet.Source), []byte("00:00:0c")) {
			got[a.Rule+" "+a.Event.Ethernet.Source]++
		}
	}
	wantAlerts := map[string]int{
		"new-station " + first.mac.String(): 1, "new-station " + second.mac.String(): 1, "new-station " + thief.mac.String(): 1,
		"changed-ethernet-address " + thief.mac.String(): 1,
	}
	equal(t, "alerts", wantAlerts, got)
	if len(alerts) < len(wantAlerts) {
		t.Errorf("%d alerts came", len(alerts))
	}
	// Without a running nd-ruled, it says that the state is stored.
	p := r.Start(builtin("nd-ruled", "neighbors"))
	if status := p.Wait(); status != 0 || !strings.Contains(p.Stderr.String(), "does not run") || !strings.Contains(p.Stdout.String(), "doubted") {
		t.Errorf("exit status %d: %s%s", status, p.Stdout.String(), p.Stderr.String())
	}
	// ndmon has the same command. A filter selects the bindings of an address.
	p = r.Start(builtin("ndmon", "neighbors", "-o", "json", second.address.String()))
	if status := p.Wait(); status != 0 || strings.Count(p.Stdout.String(), "\n") != 1 || !strings.Contains(p.Stdout.String(), second.mac.String()) {
		t.Errorf("exit status %d: %s%s", status, p.Stdout.String(), p.Stderr.String())
	}
}

// --learn prints a configuration that ndmon accepts and that lists the routers heard.
func TestLearn(t *testing.T) {
	t.Parallel()
	capture := corpus(t, "radvd-minimal")
	p := succeed(t, builtin("ndmon", "--learn", "1h", "-r", capture, "--host", "r1"))
	learned := write(t, "learned.xml", []byte(p.Stdout.String()))
	check := lab.Start(t, program("nd-ruled", "check", learned))
	if status := check.Wait(); status != 0 || !strings.Contains(check.Stdout.String(), "02:00:00:00:00:04") {
		t.Errorf("exit status %d: %s", status, check.Stdout.String())
	}
	for file, critical := range map[string]bool{capture: false, corpus(t, "thc-fake_router26"): true} {
		// The name of the file is the interface, so both have one name.
		link := write(t, "radvd-minimal.pcap", readFile(t, file))
		p := succeed(t, builtin("ndmon", "-r", link, "--host", "r1", "-R", learned))
		if got := strings.Contains(p.Stdout.String(), `"severity":"critical"`); got != critical {
			t.Errorf("%s: critical alerts: %t\n%s", file, got, p.Stdout.String())
		}
	}

	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	startSensor(r).Stderr.WaitFor("connected to NATS")
	ruled := r.Start(builtin("nd-ruled", "--learn", "2s"))
	ruled.Stderr.WaitFor("reading events")
	router := newStation(9)
	r.Upstream.Wire("eth0").Send(lab.RouterAdvertisement(router.mac, router.address, 1800).Frame())
	if status := ruled.Wait(); status != 0 || !strings.Contains(ruled.Stdout.String(), "<lla>"+router.address.String()+"</lla>") {
		t.Errorf("exit status %d: %s", status, ruled.Stdout.String())
	}
}

// Without a router there is no configuration, and an error with the reason.
func TestLearnNothing(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	const server = "NATS_URL=" + localNATS
	capture := corpus(t, "thc-fake_solicitate6")
	for _, tc := range []struct {
		name    string
		command lab.Command
		want    string
	}{
		{"interface", builtin("ndmon", "--learn", "1s", "-i", lab.Master, "--listen", "127.0.0.1:0", "--data", t.TempDir()),
			"ndmon: listen on m0: no router was learned in 1s: no Neighbor Discovery message came"},
		{"file", builtin("ndmon", "--learn", "1h", "-r", capture, "--host", "r1"),
			"ndmon: read " + capture + ": no router was learned: 4 Neighbor Discovery messages came, from r1/thc-fake_solicitate6, but no Router Advertisement"},
		{"fleet", with(builtin("nd-ruled", "--learn", "1s"), server),
			"no router was learned in 1s: no Neighbor Discovery message came"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := r.Start(tc.command)
			if status := p.Wait(); status != 1 || p.Stdout.String() != "" || !strings.Contains(p.Stderr.String(), tc.want) {
				t.Errorf("exit status %d, want 1 and %s\n%s%s", status, tc.want, p.Stdout.String(), p.Stderr.String())
			}
		})
	}
}

func TestRuleWritersTools(t *testing.T) {
	t.Parallel()
	capture := corpus(t, "thc-fake_solicitate6")
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"test", []string{"ndmon", "rules", "test", "builtin", capture}, 0, []string{"not-solicited-node", "4 frames, 4 of them Neighbor Discovery"}},
		{"why", []string{"ndmon", "rules", "test", "builtin", capture, "--why", "2"}, 0, []string{"new-ip", "matches", `<match field="nd.ra"/> does not hold: the frame has none`}},
		{"no such frame", []string{"ndmon", "rules", "test", "builtin", capture, "--why", "5"}, 1, []string{"there is no frame 5"}},
		{"no such file", []string{"ndmon", "rules", "test", "builtin", capture + "x"}, 1, []string{"no such file"}},
		{"bad rules", []string{"ndmon", "rules", "test", write(t, "bad.xml", []byte(badRules)), capture}, 1, []string{"bad.xml:2: "}},
		{"no arguments", []string{"ndmon", "rules", "test"}, 2, []string{"ndmon rules test RULES CAPTURE"}},
		{"frame 0", []string{"ndmon", "rules", "test", "builtin", capture, "--why", "0"}, 2, []string{"frames count from 1"}},
		{"built-in rules", []string{"nd-ruled", "builtin"}, 0, []string{`<rule id="ra-from-unknown-router"`}},
		{"built-in rules by ndmon", []string{"ndmon", "rules", "builtin"}, 0, []string{`<rule id="ra-from-unknown-router"`}},
		{"fields", []string{"nd-ruled", "fields"}, 0, []string{"link.claim.changed", "fault.solicitednode"}},
		{"no nd-ruled", []string{"nd-ruled", "neighbors"}, 1, []string{"does not answer"}},
		{"no filter", []string{"ndmon", "neighbours", "192.0.2.1"}, 2, []string{`"192.0.2.1" is not an IPv6 address`}},
		{"unknown format", []string{"nd-ruled", "neighbors", "-o", "xml"}, 2, []string{"use table or json"}},
		{"bad time", []string{"nd-ruled", "--learn", "long"}, 2, []string{"is not a duration such as 1h"}},
		{"no time", []string{"nd-ruled", "--learn"}, 2, []string{"--learn: needs a value"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := lab.Start(t, with(builtin(tc.args[0], tc.args[1:]...), "NATS_URL=nats://127.0.0.1:1"))
			status := p.Wait()
			said := p.Stdout.String() + p.Stderr.String()
			if status != tc.status {
				t.Errorf("exit status %d, want %d:\n%s", status, tc.status, said)
			}
			for _, want := range tc.says {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
		})
	}
}
