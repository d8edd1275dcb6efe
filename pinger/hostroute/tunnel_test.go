package hostroute

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
)

// addTunnel adds a slave tun0 (12), through which a route leads to the peers.
func (w *world) addTunnel(peers string) {
	tun0 := *w.s2
	tun0.Name, tun0.Index, tun0.ND = "tun0", 12, false
	w.peers = netip.MustParsePrefix(peers)
	w.ports.Store(&port.Set{Slaves: []*port.Port{w.s1, w.s2, &tun0}, Masters: []*port.Port{w.m0}})
}

const answeredOnMaster = "m0! " + roamer + " to " + source + " 02:00:00:00:00:ff"

// A peer of a tunnel never answers. It is there as long as a route leads to it.
func TestPeerOfATunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.addTunnel("2001:db8::40/124")
		w.solicited("c1", roamer, "m0", source)
		w.expectSent("for it", "s1? "+roamer, "s2? "+roamer, answeredOnMaster, "m0? "+roamer)
		w.expectResults("c1 tun0 reachable")
		w.expect("the route there is another program's")
		advance(5 * time.Minute)
		w.take(&w.results)
		w.take(&w.sent)
		w.solicited("c2", roamer, "m0", source)
		w.expectSent("for what is known", answeredOnMaster)
		// A host behind a slave gets the answer as well.
		w.solicited("c3", roamer, "s1", "2001:db8::11")
		if sent := w.take(&w.sent); !slices.Contains(sent, "s1! "+roamer+" to 2001:db8::11 02:00:00:00:00:ff") {
			t.Errorf("sent %v", sent)
		}
		// The route goes, and an address outside it never gets an answer.
		w.mu.Lock()
		w.peers = netip.Prefix{}
		w.mu.Unlock()
		w.keeper.Changed()
		synctest.Wait()
		w.take(&w.sent)
		w.solicited("c4", roamer, "m0", source)
		if sent := w.take(&w.sent); slices.Contains(sent, answeredOnMaster) {
			t.Errorf("answered without a route: %v", sent)
		}
	})
}

// A route into a tunnel that goes without a word is noticed at the next verification.
func TestPeerIsVerifiedByItsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.addTunnel("2001:db8::40/124")
		w.solicited("c1", roamer, "m0", source)
		synctest.Wait()
		w.mu.Lock()
		w.peers = netip.Prefix{}
		w.mu.Unlock()
		advance(time.Second + 2*tick)
		if at, ok := w.keeper.Locate(netip.MustParseAddr(roamer)); ok {
			t.Errorf("is still behind %s", at.On.Name)
		}
	})
}

func TestPeerWithoutRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.unrouted = true
		w.addTunnel("2001:db8::40/124")
		w.solicited("c1", roamer, "m0", source)
		w.expect("a peer gets a host route", roamer+" via 12")
		w.mu.Lock()
		w.peers = netip.Prefix{}
		w.mu.Unlock()
		advance(time.Second + 2*tick)
		w.expect("the peer is gone")
	})
}

// An address that is alive on the master's link is not a peer, whatever the routes say.
func TestPeerIsNotOnTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.addTunnel("2001:db8::40/124")
		w.place(roamer, "m0", 0x42)
		w.solicited("c1", roamer, "m0", source)
		advance(time.Second)
		w.take(&w.sent)
		for range 100 {
			w.solicited("c2", roamer, "m0", source)
			advance(time.Second)
		}
		answers := 0
		for _, sent := range w.take(&w.sent) {
			if sent == answeredOnMaster {
				answers++
			}
		}
		if answers > 4 { // one before each time that the master's link is asked
			t.Errorf("%d of 100 solicitations are answered", answers)
		}
		w.expect("kept")
	})
}

// A host is learned from its solicitation, so that the one it solicits reaches it at once:
// the route comes before the answer.
func TestFirstPacketBetweenSlaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other = "2001:db8::11"
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.place(other, "s1", 0x11)
		w.solicited("c1", roamer, "s1", other)
		synctest.Wait()
		w.take(&w.sent)
		w.solicited("c2", other, "s2", roamer)
		advance(claimWait)
		w.expect("routes", other+" via 10", behind2[0])
		if sent := w.take(&w.sent); !slices.Contains(sent, "s2! "+other+" to "+roamer+" 02:00:00:00:00:ff") {
			t.Errorf("sent %v", sent)
		}
	})
}

// pointToPoint makes the master a link without Neighbor Discovery.
func (w *world) pointToPoint() {
	m0 := *w.m0
	m0.ND = false
	w.ports.Store(&port.Set{Slaves: []*port.Port{w.s1, w.s2}, Masters: []*port.Port{&m0}})
}

// No one on a point-to-point master solicits: hosts are found by what they send.
func TestHostsAreLearnedFromWhatTheySend(t *testing.T) {
	for name, say := range map[string]func(*world){
		"duplicate address detection": func(w *world) { w.solicited("c1", roamer, "s2", "::") },
		"a solicitation":              func(w *world) { w.solicited("c1", "2001:db8::1234", "s2", roamer) },
		"an unsolicited advertisement": func(w *world) {
			w.prober.Advertised(w.s2, wire.Advertisement{Target: netip.MustParseAddr(roamer), Override: true})
		},
		"the kernel": func(w *world) { w.hint(roamer, w.s2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.pointToPoint()
				w.place(roamer, "s2", 0x42)
				say(w)
				advance(testWait)
				w.expect("learned", behind2...)
			})
		})
	}
}

func TestIdleHostKeepsItsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pointToPoint()
		w.place(roamer, "s2", 0x42)
		w.hint(roamer, w.s2)
		synctest.Wait()
		w.leave(roamer, "s2")
		advance(50 * time.Minute)
		w.expect("asleep", behind2...)
		looks := 0
		for _, sent := range w.take(&w.sent) {
			if strings.HasPrefix(sent, "s1? ") {
				looks++
			}
		}
		if looks > 150 {
			t.Errorf("%d solicitations in 50 minutes", looks)
		}
		// It wakes up, and is silent again.
		w.place(roamer, "s2", 0x42)
		w.hint(roamer, w.s2)
		synctest.Wait()
		w.leave(roamer, "s2")
		advance(50 * time.Minute)
		w.expect("asleep again", behind2...)
		// It appears behind another slave.
		w.place(roamer, "s1", 0x42)
		w.hint(roamer, w.s1)
		w.expect("moved", behind1...)
		w.leave(roamer, "s1")
		advance(idleFor + 2*mostIdle)
		w.expect("gone")
	})
}
