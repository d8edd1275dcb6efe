package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

// absent returns the address with a number in the router's prefix. No host has it.
func absent(n uint32) netip.Addr {
	a := netip.MustParseAddr("2001:db8:5:0:bad::").As16()
	binary.BigEndian.PutUint32(a[12:], n)
	return netip.AddrFrom16(a)
}

// flood calls send with number after number, so many a second, in batches with
// a call of between after each, until done.
func flood(t *testing.T, rate int, send func(n uint32), between func() (done bool)) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begin, sent := time.Now(), uint32(0)
	for !between() {
		<-tick.C
		for due := uint32(time.Since(begin).Seconds() * float64(rate)); sent < due; sent++ {
			send(sent)
		}
		if time.Since(begin) > lab.Patience {
			t.Fatalf("not within %v: what was waited for during a flood", lab.Patience)
		}
	}
}

// scanned is how long an address scan lasts at least: a relay that makes a
// neighbour entry of every address fills the table in a fraction of that.
const scanned = 3 * time.Second

// During an address scan of the prefix the router's neighbour table keeps free
// entries, other programs reach new neighbours, and a solicited host is found.
// No other test fills the table meanwhile.
func TestScanLeavesRoom(t *testing.T) {
	lab.ReserveNeighbours(t, 512)
	for _, tc := range []struct {
		name string
		args []string
		wire func(*lab.Router) *lab.Wire
		from func(*lab.Router) (net.HardwareAddr, netip.Addr)
	}{
		{"leaving the master", nil, func(r *lab.Router) *lab.Wire { return r.Wire(lab.Master) },
			func(r *lab.Router) (net.HardwareAddr, netip.Addr) { return r.MAC(lab.Master), lab.RouterAddress }},
		{"coming in", []string{"--route", "--proxy"}, func(r *lab.Router) *lab.Wire { return r.Upstream.Wire("eth0") },
			func(r *lab.Router) (net.HardwareAddr, netip.Addr) { return r.Upstream.MAC("eth0"), lab.GatewayAddress }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := lab.NewRouter(t)
			p := startProxy(t, r, tc.args...)
			wire := tc.wire(r)
			mac, source := tc.from(r)
			// Another program reaches a new neighbour each time.
			var other *net.UDPConn
			var err error
			r.Do(func() { other, err = net.ListenUDP("udp6", nil) })
			must(t, err)
			defer other.Close()
			least := r.NeighbourTable()
			t.Logf("%d of %d entries before", least.Entries, least.Most)

			begin, asked, others := time.Now(), time.Time{}, uint32(0)
			var found time.Duration
			send := func(n uint32) { wire.Write(lab.Solicitation(mac, source, absent(n)).Frame()) }
			flood(t, 2000, send, func() bool {
				elapsed := time.Since(begin)
				if table := r.NeighbourTable(); table.Free() < least.Free() {
					least = table
				}
				if due := uint32(elapsed / (100 * time.Millisecond)); others < due {
					others++
					_, err := other.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(absent(1<<31+others), 9))
					if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOBUFS) {
						t.Fatalf("another program cannot send: %v", err)
					}
				}
				if elapsed > scanned/3 && asked.IsZero() {
					asked = time.Now()
					r.Solicit(lab.Host2Address)
				}
				if found == 0 && !asked.IsZero() && r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE" {
					found = time.Since(asked)
				}
				return elapsed > scanned && found > 0
			})
			t.Logf("at most %d of %d entries, the host found after %v", least.Entries, least.Most, found)
			if least.Free() < 0.25 {
				t.Errorf("%d of %d entries in the neighbour table, want at least a quarter free", least.Entries, least.Most)
			}
			stop(t, p)
		})
	}
}

// probed returns the targets of the solicitations and echo requests that came over
// the wires, without the link-local ones, which the kernel looks for by itself.
func probed(wires ...*lab.Wire) (targets []string) {
	for _, w := range wires {
		frames := w.Frames()
		targets = append(targets, append(solicited(frames), echoes(frames)...)...)
	}
	return slices.DeleteFunc(targets, linkLocal)
}

func linkLocal(target string) bool { return netip.MustParseAddr(target).IsLinkLocalUnicast() }

// A client that may publish relay commands cannot make the pinger exceed its rate,
// nor keep it from serving honest requesters.
func TestForgedCommandsStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	const rate, forged = 300, 10_000
	requester := func() *solicitation {
		return &solicitation{Host: "r1", Interface: lab.Master, Direction: "out", Source: absent(rand.Uint32()).String(),
			Ethernet: fmt.Sprintf("02:00:%02x:%02x:00:01", rand.IntN(256), rand.IntN(256))}
	}
	for _, tc := range []struct {
		name  string
		forge func(n uint32, c *command)
	}{
		{"no requester", func(n uint32, c *command) { c.Target = absent(rand.Uint32()).String() }},
		{"many requesters", func(n uint32, c *command) {
			c.Target, c.Solicitation = absent(rand.Uint32()).String(), requester()
		}},
		{"now", func(n uint32, c *command) { c.Target, c.Now = absent(rand.Uint32()).String(), true }},
		{"the same targets again and again", func(n uint32, c *command) {
			c.Target, c.Solicitation = absent(n%5000).String(), requester()
		}},
	} {
		// One after the other, for each takes much of the machine.
		t.Run(tc.name, func(t *testing.T) {
			r := lab.NewRouter(t)
			relaying(r, with(builtin("ndmon", "--data", t.TempDir()), fmt.Sprintf("PINGER_RATE=%d", rate)))
			nc := connect(t, r.Namespace, localNATS)
			wire1, wire2 := r.Host1.Wire("eth0"), r.Host2.Wire("eth0")
			begin, probes := time.Now(), 0
			var asked time.Time
			send := func(n uint32) {
				now := time.Now().UTC()
				c := command{Type: "nd.relay.v1", ID: fmt.Sprint("forged-", n), Time: now.Format(time.RFC3339Nano),
					Expires: now.Add(time.Minute).Format(time.RFC3339Nano), Host: "r1", Rule: "relay-ns", Event: "e"}
				tc.forge(n, &c)
				data := marshal(c)
				if err := nc.Publish("nd.relay.r1", data); err != nil {
					t.Fatalf("publish: %v", err)
				}
			}
			var after time.Duration
			flood(t, forged, send, func() bool {
				probes += len(probed(wire1, wire2))
				if asked.IsZero() && probes > rate/2 || !asked.IsZero() && after == 0 && time.Since(asked) > 4*time.Second {
					asked = time.Now() // the kernel has given up: solicit again
					r.Solicit(lab.Host2Address)
				}
				if after == 0 && !asked.IsZero() && r.NeighbourState(lab.Slave2, lab.Host2Address) == "REACHABLE" {
					after = time.Since(asked)
				}
				return after > 0 && time.Since(begin) > 2*time.Second
			})
			took := time.Since(begin)
			t.Logf("%d probes in %v, the host found after %v", probes, took, after)
			// In any second no more than the rate, so in t seconds at most that
			// times t, rounded up.
			if most := rate * (int(took/time.Second) + 1); probes > most {
				t.Errorf("%d probes in %v, want at most %d", probes, took, most)
			}
		})
	}
}

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
