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
			if err != nil {
				t.Fatal(err)
			}
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
			p := r.Start(with(builtin("ndmon", "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2, "--host", "r1", "--data", t.TempDir()),
				fmt.Sprintf("PINGER_RATE=%d", rate)))
			p.Stderr.WaitFor("pinger ready")
			p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
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
