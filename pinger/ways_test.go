package pinger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// world is what ways are kept in: the kernel, and hosts behind slaves.
type world struct {
	mu      sync.Mutex
	bench   *bench
	hosts   map[string]schemas.MAC // by "target slave"
	stale   bool                   // answers come without override, as another relay's
	prefix  netip.Prefix           // on the masters' links
	routes  map[netip.Addr]int
	proxies map[string]bool // "target index"
	broken  error           // of setRoute
	sent    []string
}

// home is m0, for the prefix, unless there is a way.
func (w *world) home(target netip.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.routes[target]; ok || !w.prefix.Contains(target) {
		return 0, nil
	}
	return 50, nil
}

func (w *world) onLink(target netip.Addr, index int) (bool, error) {
	return index >= 50 && w.prefix.Contains(target), nil
}

func (w *world) setRoute(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.routes[target] = index
	}
	return w.broken
}

func (w *world) removeRoute(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.routes[target] == index {
		delete(w.routes, target)
	}
	return nil
}

func (w *world) setProxy(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proxies[fmt.Sprint(target, " ", index)] = true
	return nil
}

func (w *world) removeProxy(target netip.Addr, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.proxies, fmt.Sprint(target, " ", index))
	return nil
}

// solicit has the host answer, if it is there, and at the Ethernet address.
func (w *world) solicit(sl *slave, target netip.Addr, at *schemas.MAC) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, fmt.Sprintf("%s? %v", sl.name, target))
	mac, ok := w.hosts[fmt.Sprint(target, " ", sl.name)]
	if !ok || at != nil && *at != mac {
		return nil
	}
	a := advertisement{target: target, solicited: true, override: at == nil && !w.stale, mac: &mac}
	if at != nil {
		a.mac = nil // as Linux has it
	}
	go w.bench.advertised(sl, a)
	return nil
}

func (w *world) advertise(sl *slave, target netip.Addr, to asker) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, fmt.Sprintf("%s! %v to %v %v", sl.name, target, to.addr, to.mac))
	return nil
}

func (w *world) place(target, slave string, last byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[target+" "+slave] = schemas.MAC{2, 0, 0, 0, 0, last}
}

func (w *world) leave(target, slave string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hosts, target+" "+slave)
}

// kept is what the kernel has, as short strings.
func (w *world) kept() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for target, index := range w.routes {
		list = append(list, fmt.Sprintf("%v via %d", target, index))
	}
	for proxy := range maps.Keys(w.proxies) {
		list = append(list, "proxy "+proxy)
	}
	slices.Sort(list)
	return list
}

// took returns what was sent since the last call.
func (w *world) took() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.sent = nil }()
	return w.sent
}

// newWorld makes a prober with slaves s1 and s2 (10, 11) and a master m0 (50) that
// keeps ways.
func newWorld(t *testing.T) *world {
	cfg := Config{Rate: 1000, HoldDown: 3 * time.Second, Timeout: 3 * time.Second, Route: true, Proxy: true, Verify: time.Second}
	w := &world{hosts: map[string]schemas.MAC{}, prefix: netip.MustParsePrefix("2001:db8::/64"),
		routes: map[netip.Addr]int{}, proxies: map[string]bool{}}
	b := newBench(t, cfg, 2)
	b.proxy, b.nd = true, w
	w.bench = b
	for _, sl := range b.slaves {
		sl.nd = true
	}
	m0 := &slave{name: "m0", index: 50, nd: true, master: true, conn: &fakeSender{}, metrics: b.metrics.slave("m0")}
	b.ways = newWays(cfg, w, b.prober, b.metrics, b.log)
	b.update(&state{slaves: b.slaves, masters: []*slave{m0}}, true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.ways.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if left := w.kept(); left != nil {
			t.Errorf("left behind: %v", left)
		}
	})
	return w
}

const (
	roamer = "2001:db8::42"
	source = "2001:db8::ff"
)

// solicited is a command for a solicitation that came in.
func (w *world) solicited(id, target, on, from string) {
	w.bench.commandWith(id, target, func(c *schemas.Relay) {
		c.Solicitation = &schemas.Solicitation{Host: "r1", Interface: on, Direction: schemas.In,
			Source: netip.MustParseAddr(from), Ethernet: schemas.MAC{2, 0, 0, 0, 0, 0xff}}
	})
}

func (w *world) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.kept()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var (
	behind1 = []string{roamer + " via 10", "proxy " + roamer + " 50"}
	behind2 = []string{roamer + " via 11", "proxy " + roamer + " 50"}
)

func TestWayToWhatIsSolicitedOnTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect(t, "found", behind2...)
		want := []string{"s1? " + roamer, "s2? " + roamer, "m0! " + roamer + " to " + source + " 02:00:00:00:00:ff"}
		if diff := cmp.Diff(want, w.took()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		// Now it is known.
		w.bench.take()
		w.solicited("c2", roamer, "m0", source)
		w.bench.expect("c2 s2 reachable 02:00:00:00:00:42")
		if diff := cmp.Diff(want[2:], w.took()); diff != "" {
			t.Errorf("sent for what is known (-want +got):\n%s", diff)
		}
		// Where it lives it answers by itself, and is asked whether it is still there.
		advance(500 * time.Millisecond)
		for _, id := range []string{"c3", "c3"} {
			w.solicited(id, roamer, "s2", source)
		}
		w.bench.expect("c3 s2 reachable 02:00:00:00:00:42", "c3 s2 reachable 02:00:00:00:00:42")
		if diff := cmp.Diff([]string{"s2? " + roamer}, w.took()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		w.bench.command("c4", roamer)
		w.bench.expect("c4 s2 reachable 02:00:00:00:00:42")
		if sent := w.took(); sent != nil {
			t.Errorf("sent %v", sent)
		}
		// An administrator wants to know it now.
		w.bench.commandWith("c5", roamer, func(c *schemas.Relay) { c.Now = true })
		if diff := cmp.Diff([]string{"s1? " + roamer, "s2? " + roamer, "m0? " + roamer}, w.took()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		w.bench.expect("c5 s2 reachable 1µs 02:00:00:00:00:42")
	})
}

// What is found on a master is known to those behind the slaves, and the kernel
// gets nothing.
func TestNoWayToWhatIsOnTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(source, "m0", 0xff)
		w.solicited("c1", source, "s2", roamer)
		want := []string{"s1? " + source, "m0? " + source, "s2! " + source + " to " + roamer + " 02:00:00:00:00:ff"}
		if diff := cmp.Diff(want, w.took()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		w.expect(t, "kept")
		advance(4 * time.Second)
		w.took()
		w.solicited("c2", source, "s1", roamer)
		if diff := cmp.Diff([]string{"s1! " + source + " to " + roamer + " 02:00:00:00:00:ff"}, w.took()); diff != "" {
			t.Errorf("sent for what is known (-want +got):\n%s", diff)
		}
		advance(knownAtHome)
		w.solicited("c3", source, "s1", roamer)
		if sent := w.took(); !slices.Contains(sent, "m0? "+source) {
			t.Errorf("sent for what was known long ago: %v", sent)
		}
	})
}

func TestWayFollowsAHostThatMoves(t *testing.T) {
	announce := map[string]func(*world){
		"without a word": func(*world) {},
		"with duplicate address detection": func(w *world) {
			w.solicited("dad", roamer, "s1", "::")
		},
		"with an unsolicited advertisement": func(w *world) {
			w.bench.advertised(w.bench.slaves[0], advertisement{target: netip.MustParseAddr(roamer), override: true})
		},
		"heard by the kernel":    func(w *world) { w.bench.ways.hint(netip.MustParseAddr(roamer), w.bench.slaves[0]) },
		"missed by the kernel":   func(w *world) { w.bench.ways.gone(netip.MustParseAddr(roamer), 11) },
		"asked by administrator": func(w *world) { w.bench.commandWith("now", roamer, func(c *schemas.Relay) { c.Now = true }) },
	}
	for name, say := range announce {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.place(roamer, "s2", 0x42)
				w.solicited("c1", roamer, "m0", source)
				advance(20*time.Second + 50*time.Millisecond)
				w.expect(t, "while it stays", behind2...)
				w.leave(roamer, "s2")
				w.place(roamer, "s1", 0x42)
				say(w)
				within := 500 * time.Millisecond
				if name == "without a word" {
					within = time.Second + answerWait + 2*wayTick
				}
				advance(within)
				w.expect(t, "after it moved", behind1...)
				for _, sent := range w.took() {
					if strings.HasPrefix(sent, "s1! ") {
						t.Errorf("its duplicate address detection was answered: %s", sent)
					}
				}
				// To the master's link: nothing is left, and it is known.
				w.leave(roamer, "s1")
				w.place(roamer, "m0", 0x42)
				advance(4 * time.Second)
				w.expect(t, "upstream")
				// And back: who solicits where it was known is not answered there.
				w.leave(roamer, "m0")
				w.place(roamer, "s2", 0x42)
				w.solicited("c9", roamer, "m0", source)
				advance(time.Second)
				w.expect(t, "back", behind2...)
			})
		})
	}
}

// A host that tests its address answers nobody until it has it (RFC 4862, section
// 5.4): after 1 s and what it has waited before.
func TestWayFollowsAHostThatTestsItsAddress(t *testing.T) {
	for tests := 0; tests < 2000; tests += 130 { // ms until it has it
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.place(roamer, "s2", 0x42)
			w.solicited("c1", roamer, "m0", source)
			advance(20*time.Second + 50*time.Millisecond)
			w.leave(roamer, "s2")
			w.bench.ways.hint(netip.MustParseAddr(roamer), w.bench.slaves[0]) // it has asked for its router
			advance(500 * time.Millisecond)
			w.solicited("dad", roamer, "s1", "::")
			advance(time.Duration(tests) * time.Millisecond)
			w.place(roamer, "s1", 0x42)
			advance(time.Second + 2*wayTick)
			w.expect(t, fmt.Sprintf("when it has it after %d ms", tests), behind1...)
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
		w.expect(t, "lost")
		w.place(roamer, "s1", 0x42)
		w.solicited("c2", roamer, "m0", source)
		w.expect(t, "asked for", behind1...)
	})
}

// Where every interface is master and slave, a way leads to where it would not go by
// itself.
func TestWaysInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := w.bench.state.Load()
		m0 := *before.masters[0]
		m0.master = false
		all := []*slave{before.slaves[0], before.slaves[1], &m0}
		w.bench.update(&state{slaves: all, masters: all}, false)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect(t, "behind s2", roamer+" via 11", "proxy "+roamer+" 10", "proxy "+roamer+" 50")
		w.leave(roamer, "s2")
		w.place(roamer, "s1", 0x42)
		advance(2 * time.Second)
		w.expect(t, "behind s1", roamer+" via 10", "proxy "+roamer+" 11", "proxy "+roamer+" 50")
		w.leave(roamer, "s1")
		w.place(roamer, "m0", 0x42)
		advance(2 * time.Second)
		w.expect(t, "at home")
	})
}

func TestWayGoesWithItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect(t, "found", behind2...)
		w.leave(roamer, "s2")
		advance(time.Second + answerWait + 4*time.Second + 3*wayTick)
		w.expect(t, "silent")
		w.took()
		advance(time.Minute)
		if sent := w.took(); sent != nil {
			t.Errorf("is looked for still: %v", sent)
		}
	})
}

// One that answers behind two slaves stays where it was.
func TestWayOfAHostThatIsThereTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.place(roamer, "s1", 0x66)
		for range 20 {
			w.bench.ways.hint(netip.MustParseAddr(roamer), w.bench.slaves[0])
			advance(700 * time.Millisecond)
			w.expect(t, "twice", behind2...)
		}
	})
}

// No host gets traffic by claiming what is not on the masters' links, or what
// another relay claims.
func TestNoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place("2001:4860:4860::8888", "s2", 0x42)
		w.solicited("c1", "2001:4860:4860::8888", "m0", source)
		w.bench.ways.hint(netip.MustParseAddr("2001:4860:4860::8888"), w.bench.slaves[1])
		w.stale = true
		w.place(roamer, "s1", 0x43)
		w.solicited("c2", roamer, "m0", source)
		advance(time.Second)
		w.expect(t, "kept")
		results := w.bench.take()
		if !slices.Contains(results, "c2 s1 reachable 1µs 02:00:00:00:00:43 proxied") {
			t.Errorf("results are %v", results)
		}
		for _, sent := range w.took() {
			if strings.Contains(sent, "!") {
				t.Errorf("answered: %s", sent)
			}
		}
	})
}

// A station that answers for everything does not take all ways.
func TestWaysAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range maxWays {
			a := numbered(i + 1000)
			w.place(a.String(), "s1", 0x66)
			w.solicited(fmt.Sprint("c", i), a.String(), "m0", source)
			advance(5 * time.Millisecond)
			if i%100 == 0 {
				w.bench.take()
			}
		}
		synctest.Wait()
		if n := len(w.bench.ways.byTarget); n != maxWays/2 {
			t.Errorf("%d ways to one station, want half of all", n)
		}
		if n := testutil.ToFloat64(w.bench.metrics.waysRefused); n != maxWays/2 {
			t.Errorf("%v refused", n)
		}
		w.place(roamer, "s2", 0x42)
		w.solicited("honest", roamer, "m0", source)
		synctest.Wait()
		if _, ok := w.bench.ways.known(netip.MustParseAddr(roamer)); !ok {
			t.Error("no way to another station")
		}
	})
}

func TestWaysFollowTheInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect(t, "found", behind2...)
		before := w.bench.state.Load()
		change := func(changeSlave, changeMaster func(*slave)) {
			s2, m0 := *before.slaves[1], *before.masters[0]
			changeSlave(&s2)
			changeMaster(&m0)
			st := &state{slaves: []*slave{}, masters: nil}
			st.slaves = append(st.slaves, before.slaves[0], &s2)
			st.masters = append(st.masters, &m0)
			w.bench.update(st, false)
			w.bench.ways.changed(st)
			synctest.Wait()
		}
		same := func(*slave) {}
		// The kernel has removed the route.
		w.mu.Lock()
		clear(w.routes)
		w.mu.Unlock()
		change(same, same)
		w.expect(t, "route gone", behind2...)
		// The master is a new one.
		w.mu.Lock()
		clear(w.proxies)
		w.mu.Unlock()
		change(same, func(m *slave) { m.index = 51 })
		w.expect(t, "new master", roamer+" via 11", "proxy "+roamer+" 51")
		// The host has gone with its slave, and is behind the other one.
		w.place(roamer, "s1", 0x42)
		change(func(s *slave) { s.why = "has no carrier" }, func(m *slave) { m.index = 51 })
		w.expect(t, "slave down", roamer+" via 10", "proxy "+roamer+" 51")
	})
}

// Where the budget is used up a way is not taken for lost.
func TestWayIsKeptWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		advance(1100 * time.Millisecond) // between two times that it is asked
		w.leave(roamer, "s2")
		w.place(roamer, "s1", 0x42)
		w.bench.mu.Lock()
		b := &w.bench.budget
		b.allow(time.Now().Add(2*time.Second), len(b.sent)-b.used, scanner, true) // for 3 s
		w.bench.mu.Unlock()
		advance(2800 * time.Millisecond)
		w.expect(t, "no budget", behind2...)
		advance(1500 * time.Millisecond)
		w.expect(t, "budget", behind1...)
	})
}

func TestWayThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.broken = errors.New("xyzzy")
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect(t, "kept")
		for _, sent := range w.took() {
			if strings.HasPrefix(sent, "m0!") {
				t.Errorf("who asks is told of what cannot be reached: %s", sent)
			}
		}
	})
}
