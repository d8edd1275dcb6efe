package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// byUs marks the routes and rules that ndmon makes.
const byUs = "proto 78"

// firstTable is the routing table of the first slave.
const firstTable = 4861000

// rulePriority is that of its routing rules.
const rulePriority = 486

// hostRoutes returns the routes of ndmon to single addresses, without those in the
// tables of its slaves.
func hostRoutes(r *lab.Router) []string {
	var list []string
	for _, route := range r.Routes(byUs) {
		if to, ok := strings.CutSuffix(route, " table 254 "+byUs); ok {
			list = append(list, to)
		}
	}
	return list
}

// hasHostRoute waits until host 2 has exactly one route, through the slave.
func hasHostRoute(t *testing.T, r *lab.Router, slave string) {
	t.Helper()
	lab.Eventually(t, "a route through "+slave, func() bool {
		return slices.Equal(to(lab.Host2Address, hostRoutes(r)), []string{lab.Host2Address.String() + "/128 dev " + slave})
	})
}

// to returns the routes in a list that are for the address.
func to(address netip.Addr, list []string) []string {
	return slices.DeleteFunc(list, func(route string) bool { return !strings.HasPrefix(route, address.String()+"/") })
}

// clean checks that nothing of ndmon's is left in the kernel's tables.
func clean(t *testing.T, r *lab.Router) {
	t.Helper()
	for what, list := range map[string][]string{"routes": r.Routes(byUs), "rules": r.Rules(byUs), "proxy neighbour entries": r.Proxies()} {
		if len(list) > 0 {
			t.Errorf("%s that are left: %v", what, list)
		}
	}
}

// often is the interval of pings.
const often = 20 * time.Millisecond

// settled waits until so many more pings have their replies, and fails the test
// if there is none between them that has no reply.
func settled(t *testing.T, p *lab.Pings, more int) {
	t.Helper()
	begin := len(p.Echoes())
	var echoes []lab.Echo
	lab.Eventually(t, "more pings are answered", func() bool {
		answered := 0
		echoes = p.Echoes()[begin:]
		for _, e := range echoes {
			if !e.Answered.IsZero() {
				answered++
			}
		}
		return answered >= more
	})
	for len(echoes) > 0 && echoes[len(echoes)-1].Answered.IsZero() {
		echoes = echoes[:len(echoes)-1] // on its way
	}
	lost := 0
	for _, e := range echoes {
		if e.Answered.IsZero() {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d pings are lost where none should be", lost, len(echoes))
	}
}

// answering are how the hosts behind slaves answer, with onLink of lab.NewProxyRouter.
var answering = map[string]bool{"prefix on the hosts' links": true, "hosts with a default route": false}

// The /64 is only on the master, and upstream pings a host behind slave 2.
func TestHostRouteFromUpstream(t *testing.T) {
	t.Parallel()
	for name, onLink := range answering {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := lab.NewProxyRouter(t, onLink).Router
			p := startProxy(t, r)
			// By default ndmon keeps no host route: the gateway does not find the host.
			ping := r.Upstream.Ping(lab.Host2Address, often)
			lab.Eventually(t, "the gateway gives up", func() bool {
				return r.Upstream.NeighbourState("eth0", lab.Host2Address) == "FAILED"
			})
			for _, e := range ping.Stop() {
				if !e.Answered.IsZero() {
					t.Fatal("a ping is answered without --route and --proxy: the lab is not what it should be")
				}
			}
			if list := hostRoutes(r); len(list) > 0 {
				t.Errorf("kept without --route and --proxy: %v", list)
			}
			p.Stop()
			clean(t, r)

			p = startProxy(t, r, "--route", "--proxy")
			ping = r.Upstream.Ping(lab.Host2Address, often)
			ping.WaitForReply()
			settled(t, ping, 50)
			hasHostRoute(t, r, lab.Slave2)
			stop(t, p)
			clean(t, r)
		})
	}
}

// What answers the solicitations of the kernel and of ndmon, on the master and
// behind the slaves, was asked for.
func TestHostRouteAnswersAreSolicited(t *testing.T) {
	t.Parallel()
	r := lab.NewProxyRouter(t, false).Router
	rules := write(t, "rules.xml", []byte(`<rules><builtin/><rule id="unasked"><match field="link.unsolicited"/><alert severity="info"/></rule></rules>`))
	p := startProxy(t, r, "--route", "--proxy", "-R", rules)
	for _, name := range []string{lab.Slave1, lab.Slave2} {
		p.Stderr.WaitFor(`msg=capturing`, `interface=`+name)
	}
	for i := range 20 {
		target := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 5, 14: 2, 15: byte(i)})
		r.Host2.Address("eth0", target.String()+"/128")
		ping := r.Upstream.Ping(target, often)
		ping.WaitForReply()
		ping.Stop()
	}

	// An unsolicited one on each link ends it: events of an interface are
	// evaluated in their order.
	unasked := netip.MustParseAddr("2001:db8:5::3")
	links := map[string]*lab.Namespace{lab.Master: r.Upstream, lab.Slave1: r.Host1, lab.Slave2: r.Host2}
	for _, n := range links {
		n.Wire("eth0").Send(lab.Advertisement(n.MAC("eth0"), n.LinkLocal("eth0"), unasked).Frame())
	}
	var unsolicited []alert
	lab.Eventually(t, "the unsolicited one is told on each link", func() bool {
		unsolicited = slices.DeleteFunc(printed(t, p), func(a alert) bool { return a.Rule != "unasked" })
		told := map[string]bool{}
		for _, a := range unsolicited {
			told[a.Interface] = told[a.Interface] || a.Event.ND.NA.TargetAddress == unasked.String()
		}
		return told[lab.Master] && told[lab.Slave1] && told[lab.Slave2]
	})
	for _, a := range unsolicited {
		if a.Event.ND.NA.TargetAddress != unasked.String() {
			t.Errorf("an answer is called unsolicited: %s %s", a.Interface, a.Summary)
		}
	}
}

// unaided keeps the kernel from noticing by itself that a neighbour behind a slave is
// gone: it probes a stale neighbour only after a minute (RFC 4861, section 7.3.2,
// DELAY_FIRST_PROBE_TIME), which is longer than a test waits.
func unaided(w *lab.ProxyRouter) {
	for _, slave := range []string{lab.Slave1, lab.Slave2} {
		w.Sysctl("net.ipv6.neigh."+slave+".delay_first_probe_time", "60")
	}
}

// The host moves from slave 2 to slave 1 during pings, and the host route follows.
func TestHostRouteFollowsTheHost(t *testing.T) {
	t.Parallel()
	for _, move := range lab.Moves() {
		for name, onLink := range answering {
			t.Run(move.Name+", "+name, func(t *testing.T) {
				t.Parallel()
				r := lab.NewProxyRouter(t, onLink)
				unaided(r)
				p := startProxy(t, r.Router, "--route", "--proxy")
				ping := r.Upstream.Ping(lab.Host2Address, often)
				ping.WaitForReply()
				hasHostRoute(t, r.Router, lab.Slave2)
				settled(t, ping, 20)

				move.Do(r)
				moved := time.Now()
				ping.WaitForReply()
				t.Logf("%v without a reply after the move", time.Since(moved))
				hasHostRoute(t, r.Router, lab.Slave1)
				settled(t, ping, 50)
				stop(t, p)
				clean(t, r.Router)
			})
		}
	}
}

// Hosts that take the /64 for their link's reach those on other links.
func TestHostRouteBetweenLinks(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	r.Upstream.Address("eth0", lab.GatewayAddress.String()+"/64")
	startProxy(t, r, "--route", "--proxy")
	// The host sends first, before any solicitation.
	up := r.Host2.Ping(lab.GatewayAddress, often)
	up.WaitForReply()
	settled(t, up, 20)
	// Behind another slave.
	across := r.Host1.Ping(lab.Host2Address, often)
	across.WaitForReply()
	settled(t, across, 20)
	settled(t, up, 20)
}

// The host route of a silent host is removed, and made again when the host is back.
func TestHostRouteGoesWithTheHost(t *testing.T) {
	t.Parallel()
	w := lab.NewProxyRouter(t, false)
	unaided(w)
	r := w.Router
	startProxy(t, r, "--route", "--proxy")
	ping := r.Upstream.Ping(lab.Host2Address, often)
	ping.WaitForReply()
	hasHostRoute(t, r, lab.Slave2)
	r.Host2.RemoveAddress("eth0", w.Host)
	lab.Eventually(t, "the route is gone", func() bool { return len(hostRoutes(r)) == 0 })
	// No one answers for the host now. The gateway keeps its neighbour entry longer
	// than the test lasts, so the test deletes it.
	neighbour := netlink.Neigh{LinkIndex: r.Upstream.Link("eth0").Attrs().Index, IP: lab.Host2Address.AsSlice(), Family: netlink.FAMILY_V6}
	must(t, r.Upstream.Netlink.NeighDel(&neighbour))
	lab.Eventually(t, "the gateway finds no neighbour", func() bool {
		state := r.Upstream.NeighbourState("eth0", lab.Host2Address)
		return state == "FAILED" || state == "INCOMPLETE"
	})
	r.Host2.Address("eth0", w.Host)
	ping.WaitForReply()
	hasHostRoute(t, r, lab.Slave2)
	settled(t, ping, 20)
}

// The next ndmon removes what a killed one left, whether it keeps host routes or
// not.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const hosts = 32
	r := lab.NewProxyRouter(t, false).Router
	r.Host2.Sysctl("net.ipv6.conf.eth0.keep_addr_on_down", "1")
	var frames [][]byte
	for i := range hosts {
		target := netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: 5, 14: 0x10, 15: byte(i)})
		r.Host2.Address("eth0", target.String()+"/128")
		frames = append(frames, lab.Solicitation(r.Upstream.MAC("eth0"), lab.GatewayAddress, target).Frame())
	}
	for _, tc := range []struct {
		name   string
		rounds int
		args   []string
	}{
		{"the next keeps no host routes", 8, nil},
		{"the next keeps host routes", 2, []string{"--route", "--proxy"}},
	} {
		for range tc.rounds {
			stop := load(r, frames)
			p := startProxy(t, r, "--route", "--proxy")
			lab.Eventually(t, tc.name+": host routes are kept", func() bool { return len(hostRoutes(r)) > hosts/4 })
			p.Signal(syscall.SIGKILL)
			p.Wait()
			stop()
		}
		if len(hostRoutes(r)) == 0 || len(r.Rules(byUs)) == 0 {
			t.Fatalf("%s: nothing is left by kill -9: this test proves nothing", tc.name)
		}
		// The hosts are silent: what is there now is of a former run.
		r.Host2.Down("eth0")
		p := startProxy(t, r, tc.args...)
		if list := hostRoutes(r); len(list) > 0 {
			t.Errorf("%s: left of a former run: %v", tc.name, list)
		}
		var rules []string
		for i, slave := range []string{lab.Slave1, lab.Slave2} {
			rules = append(rules, fmt.Sprintf("%d oif %q table %d %s", rulePriority, slave, firstTable+i, byUs))
		}
		if diff := cmp.Diff(rules, r.Rules(byUs)); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", tc.name, diff)
		}
		if routes := r.Routes(byUs); len(routes) > len(rules) {
			t.Errorf("%s: routes: %v", tc.name, routes)
		}
		if status := p.Stop(); status != 0 {
			t.Errorf("%s: exit status %d", tc.name, status)
		}
		clean(t, r)
		r.Host2.Up("eth0")
		r.Host2.DefaultRoute("eth0", r.LinkLocal(lab.Slave2))
	}
}

// load puts frames on the wire from upstream, over and over, until it is
// stopped.
func load(r *lab.Router, frames [][]byte) (stop func()) {
	wire := r.Upstream.Wire("eth0")
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			wire.Write(frames[i%len(frames)])
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(end); done.Wait() }
}
