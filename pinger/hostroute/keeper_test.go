package hostroute

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRouteToTargetSolicitedOnTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("found", behind2...)
		want := []string{"s1? " + roamer, "s2? " + roamer, "m0! " + roamer + " to " + source + " 02:00:00:00:00:ff"}
		w.expectSent("for it", append(want, "m0? "+roamer)...)
		// Now its location is known.
		w.take(&w.results)
		w.solicited("c2", roamer, "m0", source)
		w.expectResults("c2 s2 reachable 02:00:00:00:00:42")
		w.expectSent("for what is known", want[2:]...)
		// On its own link it answers by itself, and is verified.
		advance(500 * time.Millisecond)
		for _, id := range []string{"c3", "c3"} {
			w.solicited(id, roamer, "s2", linkLocal)
		}
		w.expectResults("c3 s2 reachable 02:00:00:00:00:42", "c3 s2 reachable 02:00:00:00:00:42")
		w.expectSent("for it", "s2? "+roamer)
		w.command("c4", roamer, func(*schemas.Relay) {})
		w.expectResults("c4 s2 reachable 02:00:00:00:00:42")
		if sent := w.take(&w.sent); sent != nil {
			t.Errorf("sent %v", sent)
		}
		// An administrator wants to know it now.
		w.commandNow("c5", roamer)
		w.expectSent("for it", "s1? "+roamer, "s2? "+roamer, "m0? "+roamer)
		w.expectResults("c5 s2 reachable 1µs 02:00:00:00:00:42")
	})
}

// The location of a target on a master serves requesters behind the slaves, without a
// route.
func TestNoRouteToTargetOnTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(source, "m0", 0xff)
		w.solicited("c1", source, "s2", linkLocal)
		want := []string{"s1? " + source, "m0? " + source, "s2! " + source + " to " + linkLocal + " 02:00:00:00:00:ff"}
		w.expectSent("for it", want...)
		w.expect("kept")
		advance(4 * time.Second)
		w.take(&w.sent)
		w.solicited("c2", source, "s1", linkLocal)
		w.expectSent("for what is known", "s1! "+source+" to "+linkLocal+" 02:00:00:00:00:ff")
		advance(directFor)
		w.solicited("c3", source, "s1", linkLocal)
		if sent := w.take(&w.sent); !slices.Contains(sent, "m0? "+source) {
			t.Errorf("sent for what was known long ago: %v", sent)
		}
	})
}

func TestRouteFollowsAHostThatMoves(t *testing.T) {
	announce := map[string]func(*world){
		"without a word": func(*world) {},
		"with duplicate address detection": func(w *world) {
			w.solicited("dad", roamer, "s1", "::")
		},
		"with an unsolicited advertisement": func(w *world) {
			w.prober.Advertised(w.s1, wire.Advertisement{Target: netip.MustParseAddr(roamer), Override: true})
		},
		"heard by the kernel":    func(w *world) { w.hint(roamer, w.s1) },
		"missed by the kernel":   func(w *world) { w.keeper.Doubt(netip.MustParseAddr(roamer)) },
		"asked by administrator": func(w *world) { w.commandNow("now", roamer) },
	}
	for name, say := range announce {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.place(roamer, "s2", 0x42)
				w.solicited("c1", roamer, "m0", source)
				advance(20*time.Second + 50*time.Millisecond)
				w.expect("while it stays", behind2...)
				w.leave(roamer, "s2")
				w.place(roamer, "s1", 0x42)
				say(w)
				within := 500 * time.Millisecond
				if name == "without a word" {
					within = time.Second + answerWait + 2*tick
				}
				advance(within)
				w.expect("after it moved", behind1...)
				for _, sent := range w.take(&w.sent) {
					if strings.HasPrefix(sent, "s1! ") {
						t.Errorf("its duplicate address detection was answered: %s", sent)
					}
				}
				// To the master's link: nothing is left, and it is known.
				w.leave(roamer, "s1")
				w.place(roamer, "m0", 0x42)
				advance(4 * time.Second)
				w.expect("upstream")
				// And back: who solicits where it was known is not answered there.
				w.leave(roamer, "m0")
				w.place(roamer, "s2", 0x42)
				w.solicited("c9", roamer, "m0", source)
				advance(time.Second)
				w.expect("back", behind2...)
			})
		})
	}
}

// A host does not answer for an address that it tests (RFC 4862, section 5.4), for 1 s
// and the delay before.
func TestRouteFollowsAHostThatTestsItsAddress(t *testing.T) {
	for tests := 0; tests < 2000; tests += 130 { // ms until it has it
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.place(roamer, "s2", 0x42)
			w.solicited("c1", roamer, "m0", source)
			advance(20*time.Second + 50*time.Millisecond)
			w.leave(roamer, "s2")
			w.hint(roamer, w.s1) // it has asked for its router
			advance(500 * time.Millisecond)
			w.solicited("dad", roamer, "s1", "::")
			advance(time.Duration(tests) * time.Millisecond)
			w.place(roamer, "s1", 0x42)
			advance(time.Second + 2*tick)
			w.expect(fmt.Sprintf("when it has it after %d ms", tests), behind1...)
		})
	}
}

// A target that was lost is looked for when it is next asked for.
func TestLostTargetIsNotHeldDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.leave(roamer, "s2")
		advance(5 * time.Second)
		w.expect("lost")
		w.place(roamer, "s1", 0x42)
		w.solicited("c2", roamer, "m0", source)
		w.expect("asked for", behind1...)
	})
}

// If every interface is master and slave, a host route leads to where the kernel would
// not look by itself.
func TestRoutesInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m0 := *w.m0
		m0.Master = false
		all := []*port.Port{w.s1, w.s2, &m0}
		w.ports.Store(&port.Set{Slaves: all, Masters: all})
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		advance(claimWait)
		w.expect("behind s2", roamer+" via 11")
		w.leave(roamer, "s2")
		w.place(roamer, "s1", 0x42)
		advance(2 * time.Second)
		w.expect("behind s1", roamer+" via 10")
		w.leave(roamer, "s1")
		w.place(roamer, "m0", 0x42)
		advance(2 * time.Second)
		w.expect("at home")
	})
}

func TestRouteIsRemovedWithItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("found", behind2...)
		w.leave(roamer, "s2")
		advance(time.Second + answerWait + 4*time.Second + 3*tick)
		w.expect("silent")
		w.take(&w.sent)
		advance(time.Minute)
		if sent := w.take(&w.sent); sent != nil {
			t.Errorf("is looked for still: %v", sent)
		}
	})
}

// One that answers behind two slaves stays where it was.
func TestRouteToAHostThatIsThereTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("alone", behind2...)
		w.place(roamer, "s1", 0x66)
		for range 20 {
			w.hint(roamer, w.s1)
			advance(700 * time.Millisecond)
			w.expect("twice", behind2...)
		}
	})
}

// No host gets traffic by claiming what is not on the masters' links.
func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place("2001:4860:4860::8888", "s2", 0x42)
		w.solicited("c1", "2001:4860:4860::8888", "m0", source)
		w.hint("2001:4860:4860::8888", w.s2)
		advance(time.Second)
		w.expect("kept")
	})
}

// A target that another relay answers for has a route to that one, unless it answers
// itself.
func TestRouteThroughAnotherRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stale = true
		w.place(roamer, "s1", 0x43)
		w.solicited("c1", roamer, "m0", linkLocal)
		w.expect("while others may answer")
		advance(claimWait)
		w.expect("through the relay", behind1...)
		w.expectResults("c1 s1 reachable 1µs 02:00:00:00:00:43 proxied")
		answer := "m0! " + roamer + " to " + linkLocal + " 02:00:00:00:00:ff"
		if sent := w.take(&w.sent); !slices.Contains(sent, answer) {
			t.Errorf("no answer upstream: %v", sent)
		}
		w.solicited("c2", roamer, "s2", linkLocal)
		if sent := w.take(&w.sent); len(sent) > 0 {
			t.Errorf("an answer to a router behind a slave: %v", sent)
		}
		w.stale = false
		w.place(roamer, "s2", 0x42)
		w.hint(roamer, w.s2)
		w.expect("itself", behind2...)
		w.stale = true
		w.hint(roamer, w.s1)
		advance(time.Second)
		w.expect("still", behind2...)
		if conflicts := w.take(&w.conflicts); conflicts != nil {
			t.Errorf("conflicts of one host: %q", conflicts)
		}
	})
}

// A host that solicits is behind the slave on which its solicitation came in.
func TestRouteToARequester(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "s1", "2001:db8::43") // in vain: the requester is held down
		w.leave(roamer, "s2")
		w.place(roamer, "s1", 0x42)
		w.solicited("c2", source, "s1", roamer)
		advance(2 * time.Second)
		w.expect("found", behind1...)
	})
}

// A station that answers for everything does not get all host routes.
func TestRoutesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range maxEntries {
			a := numbered(i + 1000)
			w.place(a.String(), "s1", 0x66)
			w.solicited(fmt.Sprint("c", i), a.String(), "m0", source)
			advance(5 * time.Millisecond)
			if i%100 == 0 {
				w.take(&w.results)
			}
		}
		synctest.Wait()
		if n := len(w.keeper.byTarget); n != maxEntries/2 {
			t.Errorf("%d host routes to one station, want half of all", n)
		}
		if n := testutil.ToFloat64(w.keeper.metrics.refused); n != maxEntries/2 {
			t.Errorf("%v refused", n)
		}
		w.place(roamer, "s2", 0x42)
		w.solicited("honest", roamer, "m0", source)
		synctest.Wait()
		if _, ok := w.keeper.Locate(netip.MustParseAddr(roamer)); !ok {
			t.Error("no host route to another station")
		}
	})
}

func TestRoutesFollowTheInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("found", behind2...)
		change := func(changeSlave, changeMaster func(*port.Port)) {
			s2, m0 := *w.s2, *w.m0
			changeSlave(&s2)
			changeMaster(&m0)
			w.ports.Store(&port.Set{Slaves: []*port.Port{w.s1, &s2}, Masters: []*port.Port{&m0}})
			w.keeper.Changed()
			synctest.Wait()
		}
		same := func(*port.Port) {}
		// The kernel has removed the route.
		w.mu.Lock()
		clear(w.routes)
		w.mu.Unlock()
		change(same, same)
		w.expect("route gone", behind2...)
		// The master is a new one.
		change(same, func(m *port.Port) { m.Index = 51 })
		w.expect("new master", roamer+" via 11")
		// It has another Ethernet address, which upstream hears.
		w.take(&w.sent)
		change(same, func(m *port.Port) { m.Index, m.MAC = 51, schemas.MAC{2, 7} })
		if sent := w.take(&w.sent); !slices.Contains(sent, "m0! "+roamer+" to all") {
			t.Errorf("not announced: %v", sent)
		}
		// The host has gone with its slave, and is behind the other one.
		w.place(roamer, "s1", 0x42)
		change(func(s *port.Port) { s.Why = "has no carrier" }, func(m *port.Port) { m.Index = 51 })
		advance(claimWait)
		w.expect("slave down", roamer+" via 10")
	})
}

// Without budget a host route is not removed.
func TestRouteIsKeptWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		advance(1150 * time.Millisecond) // between two verifications
		w.leave(roamer, "s2")
		w.place(roamer, "s1", 0x42)
		next := 1000
		for range 2800 {
			for w.prober.Look(numbered(next), []*port.Port{w.s1}, true) { // all that became free
				next++
			}
			advance(time.Millisecond)
		}
		w.expect("no budget", behind2...)
		advance(1500 * time.Millisecond)
		w.expect("budget", behind1...)
	})
}

func TestRouteThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.broken = errors.New("xyzzy")
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("kept")
		for _, sent := range w.take(&w.sent) {
			if strings.HasPrefix(sent, "m0!") {
				t.Errorf("a requester got an answer for an unreachable target: %s", sent)
			}
		}
	})
}
