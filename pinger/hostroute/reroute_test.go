package hostroute

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// onLink makes a prefix the one that is on-link at the masters, which the kernel reports.
func (w *world) onLink(prefix string) {
	p := netip.MustParsePrefix(prefix)
	changed := []netip.Prefix{w.prefix, p}
	w.mu.Lock()
	w.prefix = p
	w.mu.Unlock()
	w.keeper.Rerouted(w.t.Context(), Reroute{Prefixes: changed})
}

// logged has the warnings of the keeper go to a buffer.
func (w *world) logged() *bytes.Buffer {
	var log bytes.Buffer
	w.keeper.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return &log
}

func TestRoutesThatAnotherProgramRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.logged()
		for i := range 3 {
			w.place(numbered(i).String(), "s2", byte(i))
			w.solicited(fmt.Sprint("c", i), numbered(i).String(), "m0", source)
		}
		all := w.kept()
		for _, removed := range [][]netip.Prefix{nil, {netip.PrefixFrom(numbered(1), 128)}} {
			w.mu.Lock()
			for target := range w.routes {
				if removed == nil || removed[0].Contains(target) {
					delete(w.routes, target)
				}
			}
			w.mu.Unlock()
			w.keeper.Rerouted(t.Context(), Reroute{Prefixes: removed, Lost: 1, Program: "systemd-network"})
			w.expect("made again", all...)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "program=systemd-network") || !strings.Contains(got, "ManageForeignRoutes=no") {
			t.Errorf("warnings: %s", got)
		}
		if lost := testutil.ToFloat64(w.keeper.metrics.lost); lost != 2 {
			t.Errorf("%v lost routes are counted", lost)
		}
	})
}

// When a prefix goes from the masters' links its routes go, and come back with it.
func TestRenumbering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.place(roamer, "s2", 0x42)
		w.solicited("c1", roamer, "m0", source)
		w.expect("found", behind2...)
		old, renumbered := w.prefix.String(), "2001:db8:0:7::42"
		w.onLink("2001:db8:0:7::/64")
		w.expect("without the prefix")
		w.place(renumbered, "s2", 0x42)
		w.solicited("c2", renumbered, "m0", source)
		w.expect("in the new prefix", renumbered+" via 11")
		w.onLink(old)
		advance(2 * claimWait) // for the stations on the master's link
		w.expect("with the old prefix", behind2...)
		// An expired prefix is noticed without a change of routes.
		w.mu.Lock()
		w.prefix = netip.MustParsePrefix("2001:db8:0:7::/64")
		w.mu.Unlock()
		advance(assureEvery + time.Second)
		w.expect("without the prefix again")
	})
}

// A target whose prefix is missing is logged, and gets its route with the prefix.
func TestPrefixIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onLink("2001:db8:0:7::/64")
		log := w.logged()
		for i := range 3 {
			w.place(numbered(i).String(), "s2", byte(i))
			w.solicited(fmt.Sprint("c", i), numbered(i).String(), "m0", source)
		}
		w.expect("without the prefix")
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `remedy="ip -6 route add 2001:db8::/64 dev m0"`) {
			t.Errorf("warnings: %s", got)
		}
		w.take(&w.sent)
		w.onLink("2001:db8::/64")
		if kept := w.kept(); len(kept) != 3 {
			t.Errorf("with the prefix: %v", kept)
		}
		if sent := strings.Join(w.take(&w.sent), "\n"); !strings.Contains(sent, "m0! "+numbered(2).String()+" to "+source) {
			t.Errorf("the requester gets no answer: %s", sent)
		}
	})
}

// Whatever addresses hosts claim, little is remembered and logged of them.
func TestMissingPrefixesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.logged()
		now := time.Now()
		for i := range 1000 {
			n := event{kind: targetFound, target: netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", i+1))}
			n.at.On, n.at.MAC = w.s1, &schemas.MAC{2}
			w.keeper.noPrefix(&n, now.Add(time.Duration(i)*time.Millisecond))
		}
		u := &w.keeper.unrouted
		if _, last := u.targets[netip.MustParseAddr("2001:db8:3e8::1")]; len(u.targets) != maxUnrouted || !last {
			t.Errorf("%d targets, the last one %v", len(u.targets), last)
		}
		if got := strings.Count(log.String(), "\n"); got != maxPrefixes {
			t.Errorf("%d warnings", got)
		}
	})
}
