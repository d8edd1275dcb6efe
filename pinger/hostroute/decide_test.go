package hostroute

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

const (
	gateway  = "2001:db8::9"
	honest   = "02:00:00:00:00:09" // the gateway
	claimant = "02:00:00:00:00:66" // the host behind s1 that has its address
)

// An address that is alive on the master's link gets no route to a host behind a slave
// that has it too, however that is found, and it is a conflict.
func TestNoRouteToAnAddressOnTheMastersLink(t *testing.T) {
	for name, find := range map[string]func(w *world){
		"solicited by the kernel": func(w *world) { w.command("c1", gateway, func(*schemas.Relay) {}) },
		"solicited upstream":      func(w *world) { w.solicited("c1", gateway, "m0", source) },
		"solicited downstream":    func(w *world) { w.solicited("c1", gateway, "s2", source) },
		"heard by the kernel":     func(w *world) { w.hint(gateway, w.s1) },
		"announced": func(w *world) {
			w.prober.Advertised(w.s1, wire.Advertisement{Target: netip.MustParseAddr(gateway), Override: true})
		},
	} {
		for i := range 4 {
			known, quick := i&1 != 0, i&2 != 0 // known to the kernel, on the master
			t.Run(fmt.Sprintf("%s, known %v, quick %v", name, known, quick), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.quick = quick
					w.place(gateway, "s1", 0x66)
					w.place(gateway, "m0", 0x09)
					if known {
						w.heard[gateway+" 50"] = &schemas.MAC{2, 0, 0, 0, 0, 9}
					}
					find(w)
					advance(time.Nanosecond) // if it is quick
					w.expect("at once")
					for range 10 {
						advance(time.Second)
						find(w)
						w.expect("later")
					}
					conflicts := w.take(&w.conflicts)
					if want := gateway + " on m0 " + honest + " and s1 " + claimant; !slices.Contains(conflicts, want) {
						t.Errorf("the conflicts are %q, want %q", conflicts, want)
					}
				})
			})
		}
	}
}

// A host behind a slave keeps its route until its address is found on the master's link.
func TestAddressOfALANHostAppearsOnTheMastersLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("alone", behind2...)
		w.place(roamer, "m0", 0x09)
		w.prober.Advertised(w.m0, wire.Advertisement{Target: netip.MustParseAddr(roamer), Override: true})
		advance(2 * time.Second)
		w.expect("twice")
		want := roamer + " on m0 " + honest + " and s2 02:00:00:00:00:42"
		if conflicts := w.take(&w.conflicts); !slices.Contains(conflicts, want) {
			t.Errorf("the conflicts are %q, want %q", conflicts, want)
		}
	})
}

func TestConflictBetweenSlaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		advance(5 * time.Second)
		if conflicts := w.take(&w.conflicts); conflicts != nil {
			t.Errorf("conflicts of one host: %q", conflicts)
		}
		w.place(roamer, "s1", 0x66)
		w.hint(roamer, w.s1)
		advance(answerWait + tick)
		if diff := cmp.Diff([]string{roamer + " on s2 02:00:00:00:00:42 and s1 " + claimant}, w.take(&w.conflicts)); diff != "" {
			t.Error(diff)
		}
		w.expect("it stays", behind2...)
	})
}

// A host that the kernel has on the master's link, and that is behind a slave now, gets
// its route when it does not answer there, and the stations there are informed.
func TestMoveFromTheMastersLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.heard[roamer+" 50"] = &schemas.MAC{2, 0, 0, 0, 0, 0x42}
		w.place(roamer, "s2", 0x42)
		w.hint(roamer, w.s2)
		advance(answerWait - time.Millisecond)
		w.expect("while the master's link is asked")
		advance(2 * tick)
		w.expect("then", behind2...)
		announced := func() int {
			n := 0
			for _, sent := range w.take(&w.sent) {
				if strings.HasSuffix(sent, " to all") {
					n++
					if sent != "m0! "+roamer+" to all" {
						t.Errorf("announced: %s", sent)
					}
				}
			}
			return n
		}
		if n := announced(); n != 1 {
			t.Errorf("announced %d times at once", n)
		}
		advance(10 * time.Second)
		if n := announced(); n != announcements-1 {
			t.Errorf("announced %d times later", n)
		}
		if conflicts := w.take(&w.conflicts); conflicts != nil {
			t.Errorf("conflicts of one host: %q", conflicts)
		}
	})
}

// What duplicate address detection gets with --dad.
func TestDuplicateAddressDetection(t *testing.T) {
	const tester = "02:00:00:00:00:ff" // of world.solicited
	denied := func(on string) string { return on + "! " + roamer + " to :: " + tester }
	for name, tt := range map[string]struct {
		at     string // where the address is
		last   byte   // of its Ethernet address
		known  bool
		dad    bool
		denied bool
	}{
		"behind another slave":            {"s2", 0x42, true, true, true},
		"behind another slave, not known": {"s2", 0x42, false, true, true},
		"on the master's link":            {"m0", 0x42, true, true, true},
		"on the master's link, not known": {"m0", 0x42, false, true, true},
		"nowhere":                         {"", 0, false, true, false},
		"the tester itself":               {"s2", 0xff, true, true, false},
		"not asked for":                   {"s2", 0x42, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldWith(t, tt.dad)
				if tt.at != "" {
					w.place(roamer, tt.at, tt.last)
				}
				if tt.known {
					w.solicited("c0", roamer, map[string]string{"s2": "m0", "m0": "s2"}[tt.at], source)
					advance(5 * time.Second)
				}
				w.take(&w.sent)
				w.solicited("c1", roamer, "s1", "::")
				advance(900 * time.Millisecond) // then it has the address
				sent := slices.DeleteFunc(w.take(&w.sent), func(s string) bool { return !strings.Contains(s, " to :: ") })
				var want, conflicts []string
				if tt.denied {
					want = []string{denied("s1")}
					conflicts = []string{fmt.Sprintf("%s on %s 02:00:00:00:00:42 and s1 %s tested", roamer, tt.at, tester)}
				}
				if diff := cmp.Diff(strings.Join(want, ", "), strings.Join(sent, ", ")); diff != "" {
					t.Errorf("answers (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(conflicts, w.take(&w.conflicts)); diff != "" {
					t.Errorf("conflicts (-want +got):\n%s", diff)
				}
			})
		})
	}
	// Of two hosts that test one address at the same time, the second gets an answer.
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWith(t, true)
		w.solicited("c1", roamer, "s1", "::")
		w.solicited("c1", roamer, "s1", "::") // again
		advance(time.Second / 2)
		w.command("c2", roamer, func(c *schemas.Relay) {
			c.Solicitation = &schemas.Solicitation{Host: "r1", Interface: "s2", Direction: schemas.In, Source: netip.IPv6Unspecified(), Ethernet: schemas.MAC{2, 9}}
		})
		sent := slices.DeleteFunc(w.take(&w.sent), func(s string) bool { return !strings.Contains(s, "! ") })
		if diff := cmp.Diff([]string{"s2! " + roamer + " to :: 02:09:00:00:00:00"}, sent); diff != "" {
			t.Error(diff)
		}
	})
}

// A host that has tested its address is found when it has it, without another sign of it.
func TestTestedAddressIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.solicited("c0", roamer, "m0", source) // in vain, and held down
		advance(4 * time.Second)
		w.solicited("dad", roamer, "s2", "::")
		advance(time.Second)
		w.place(roamer, "s2", 0x42)
		advance(testWait - time.Second + claimWait)
		w.expect("found", behind2...)
	})
}

// Multicast does not reach the host, but the kernel has its Ethernet address.
func TestHostThatMulticastDoesNotReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.deaf = true
		w.place(roamer, "s2", 0x42)
		w.heard[roamer+" 11"] = &schemas.MAC{2, 0, 0, 0, 0, 0x42}
		w.solicited("c1", roamer, "m0", source)
		advance(time.Second)
		w.expect("found", behind2...)
		w.expectResults("c1 s2 reachable 1s 02:00:00:00:00:42")
		advance(10 * time.Second)
		w.expect("kept", behind2...)
	})
}
