package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// hub is a namespace with links that several hosts share, each a bridge.
type hub struct {
	*lab.Namespace
	t     *testing.T
	ports map[string][]string // by link
}

// join gives a host an interface on the link.
func (h *hub) join(link string, host *lab.Namespace, name string) {
	h.t.Helper()
	port := fmt.Sprintf("%s-%d", link, len(h.ports[link]))
	h.Veth(port, host, name)
	h.ports[link] = append(h.ports[link], port)
}

// done makes the links of their ports.
func (h *hub) done() {
	h.t.Helper()
	for link, ports := range h.ports {
		h.Bridge(link, ports...)
		// What is flooded reaches all ports: the bridge learns no groups.
		h.Sysctl("net.ipv6.conf."+link+".disable_ipv6", "1")
	}
}

// quiet is how long nothing has to move for a loop to be none: more than two
// hold-downs, after which a relay would look for a target again.
const quiet = 7 * time.Second

// untilQuiet counts the solicitations for a target that come over the wires, by
// the name of the wire, until there was none for a while.
func untilQuiet(t *testing.T, target netip.Addr, wires map[string]*lab.Wire) map[string]int {
	t.Helper()
	count := map[string]int{}
	last, all := time.Now(), 0
	lab.Eventually(t, "no one looks for "+target.String()+" any more", func() bool {
		for name, wire := range wires {
			for _, got := range solicited(wire.Frames()) {
				if got == target.String() {
					count[name]++
					all++
					last = time.Now()
				}
			}
		}
		return time.Since(last) > quiet
	})
	return count
}

// probesOfOne is how often a relay may look for a target on a link for one
// solicitation (RFC 4861, section 10, MAX_MULTICAST_SOLICIT).
const probesOfOne = 3

// Two routers join the same two links and both relay: what one sends, the other
// hears, and must not go round.
func TestTwoRoutersOnTheSameLinks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
		// keeps: a host on one link reaches those on the other.
		keeps bool
	}{
		{"one direction, proxies", []string{"-m", "m0", "-s", "s1", "--route", "--proxy"}, true},
		{"both directions", []string{"-m", "m0,s1", "-s", "s1,m0"}, false},
		{"both directions, proxies", []string{"-m", "m0,s1", "-s", "s1,m0", "--route", "--proxy"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := &hub{lab.New(t, "hub"), t, map[string][]string{}}
			r1, r2 := lab.New(t, "r1"), lab.New(t, "r2")
			a, b := lab.New(t, "a"), lab.New(t, "b")
			for i, r := range []*lab.Namespace{r1, r2} {
				r.Sysctl("net.ipv6.conf.all.forwarding", "1")
				h.join("la", r, "m0")
				h.join("lb", r, "s1")
				r.Address("m0", fmt.Sprintf("2001:db8:5::%d/64", i+1))
			}
			h.join("la", a, "eth0")
			h.join("lb", b, "eth0")
			h.done()
			for _, r := range []*lab.Namespace{r1, r2} {
				r.LinkLocal("m0")
				r.LinkLocal("s1")
			}
			a.Address("eth0", lab.GatewayAddress.String()+"/64")
			b.Address("eth0", lab.Host2Address.String()+"/64")
			for i, r := range []*lab.Namespace{r1, r2} {
				p := r.Start(builtin("ndmon", append(tc.args, "--host", fmt.Sprintf("r%d", i+1), "--data", t.TempDir())...))
				p.Stderr.WaitFor("msg=capturing", "interface=m0")
				p.Stderr.WaitFor("pinger ready")
			}
			wires := map[string]*lab.Wire{"link of a": a.Wire("eth0"), "link of b": b.Wire("eth0")}

			// One solicitation for an unused address, of a router or of a host: each router looks
			// on the other link, and perhaps for what it hears of the other router.
			asked, mac, source := a.Wire("eth0"), a.MAC("eth0"), lab.GatewayAddress
			if !tc.keeps {
				asked, mac, source = r1.Wire("m0"), r1.MAC("m0"), lab.RouterAddress
			}
			asked.Send(lab.Solicitation(mac, source, lab.UnusedAddress).Frame())
			count := untilQuiet(t, lab.UnusedAddress, wires)
			t.Logf("solicitations for an unused address: %v", count)
			if count["link of b"] == 0 {
				t.Error("no target was looked for behind the routers")
			}
			for link, n := range count {
				if most := 2 * probesOfOne; n > most {
					t.Errorf("%d solicitations for one on the %s, want at most %d", n, link, most)
				}
			}
			if tc.keeps {
				ping := a.Ping(lab.Host2Address, often)
				ping.WaitForReply()
				settled(t, ping, 20)
			}
		})
	}
}

// A bridge is captured as well as its ports, which carry each solicitation again.
func TestBridgeWhosePortsAreWatched(t *testing.T) {
	t.Parallel()
	r := lab.New(t, "router")
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	upstream, neighbour, host := lab.New(t, "upstream"), lab.New(t, "neighbour"), lab.New(t, "host")
	r.Veth("p0", upstream, "eth0")
	r.Veth("p1", neighbour, "eth0")
	r.Veth("s1", host, "eth0")
	r.Bridge("br0", "p0", "p1")
	r.Address("br0", lab.RouterAddress.String()+"/64")
	for _, name := range []string{"br0", "s1"} {
		r.LinkLocal(name)
	}
	upstream.Address("eth0", lab.GatewayAddress.String()+"/64")
	host.Address("eth0", lab.Host1Address.String()+"/64")
	p := r.Start(builtin("ndmon", "-m", "br0,p0,p1", "-s", "s1", "--route", "--proxy", "--host", "r1", "--data", t.TempDir()))
	for _, name := range []string{"br0", "p0", "p1"} {
		p.Stderr.WaitFor("msg=capturing", "interface="+name)
	}
	p.Stderr.WaitFor("pinger ready")
	wires := map[string]*lab.Wire{"slave": host.Wire("eth0"), "upstream": upstream.Wire("eth0"), "neighbour": neighbour.Wire("eth0")}

	// What comes in on a port is seen there, on the bridge and leaving the other
	// port.
	upstream.Wire("eth0").Send(lab.Solicitation(upstream.MAC("eth0"), lab.GatewayAddress, lab.UnusedAddress).Frame())
	count := untilQuiet(t, lab.UnusedAddress, wires)
	t.Logf("solicitations for an unused address: %v", count)
	if n := count["slave"]; n == 0 || n > probesOfOne {
		t.Errorf("%d solicitations behind the slave for one, want 1 to %d", n, probesOfOne)
	}
	// The bridge itself brings it to the other port, once.
	if n := count["neighbour"]; n != 1 {
		t.Errorf("%d solicitations on the other port for one", n)
	}
	if n := count["upstream"]; n > 0 {
		t.Errorf("%d solicitations came back", n)
	}
	ping := upstream.Ping(lab.Host1Address, often)
	ping.WaitForReply()
	settled(t, ping, 20)
}
