package link

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/schemas"
)

// told collects what a table tells of bindings: the station's last octets, the address, when it was heard first and
// last, how, and whether it is contested.
type told struct {
	table *Table
	list  []string
	full  bool // there is no room for more
}

func newTold() *told {
	h := &told{}
	h.table = New(Config{Neighbours: 100_000, ClaimTimeout: time.Hour, Silence: 30 * 24 * time.Hour, History: h.note})
	return h
}

func (h *told) note(b *schemas.Binding) bool {
	if h.full {
		return false
	}
	line := fmt.Sprint(b.Ethernet.String()[15:], " ", b.Address, " ", b.First.Sub(epoch), " ", b.Last.Sub(epoch), " ", strings.Join(b.Heard, ","))
	if b.Contested {
		line += " contested"
	}
	h.list = append(h.list, line)
	return true
}

// expect compares what was told since the last call.
func (h *told) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.list); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	h.list = nil
}

func (h *told) observe(events ...*schemas.Event) {
	for _, e := range events {
		h.table.Observe(e)
	}
}

func (h *told) remember(at time.Duration) { h.table.Remember(epoch.Add(at).UnixNano()) }

func TestHistory(t *testing.T) {
	h := newTold()
	h.observe(ns(host, "::", global), ns(host, global, "2001:db8::1", after(time.Second)))
	h.expect(t, "a new address", "0a 2001:db8::a 0s 0s dad")
	h.observe(na(host, global, after(30*time.Second)))
	h.remember(45 * time.Second)
	h.expect(t, "it was heard just now")
	h.remember(91 * time.Second)
	h.expect(t, "it is silent", "0a 2001:db8::a 0s 30s ns,na,dad")
	h.remember(200 * time.Second)
	h.expect(t, "it is still silent")
	for n := range 12 {
		h.observe(ns(host, global, "2001:db8::1", after(time.Duration(n+1)*minute)))
		h.remember(time.Duration(n+1)*minute + time.Second)
	}
	h.expect(t, "it is heard each minute", "0a 2001:db8::a 0s 11m0s ns,na,dad")
	h.remember(20 * minute)
	h.expect(t, "then no longer", "0a 2001:db8::a 0s 12m0s ns,na,dad")
	h.observe(ns(host, global, "2001:db8::1", after(72*minute)))
	h.expect(t, "a pause that is not long enough")
	h.observe(ns(host, global, "2001:db8::1", after(133*minute)))
	h.expect(t, "a pause", "0a 2001:db8::a 0s 1h12m0s ns,na,dad", "0a 2001:db8::a 2h13m0s 2h13m0s ns")
	h.observe(na(attacker, global, after(140*minute)))
	h.expect(t, "another station", "0a 2001:db8::a 2h13m0s 2h13m0s ns contested", "66 2001:db8::a 2h20m0s 2h20m0s na contested")
	h.observe(ns(host, global, "2001:db8::1", after(141*minute)), ns(other, "fe80::b", "2001:db8::1", on("eth1"), after(142*minute)))
	h.expect(t, "both know that, and another link", "0b fe80::b 2h22m0s 2h22m0s ns")
	h.observe(ns(other, global, "2001:db8::1", after(300*minute)))
	h.expect(t, "a successor", "0a 2001:db8::a 2h13m0s 2h21m0s ns contested", "0b 2001:db8::a 5h0m0s 5h0m0s ns")
}

// What was told is not told again after a restart.
func TestHistoryAfterRestart(t *testing.T) {
	h := newTold()
	h.observe(ns(host, global, "2001:db8::1"), ns(host, global, "2001:db8::1", after(5*minute)))
	h.expect(t, "before", "0a 2001:db8::a 0s 0s ns")
	next := newTold()
	for _, s := range h.table.State() {
		if err := next.table.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	next.observe(ns(host, global, "2001:db8::1", after(6*minute)))
	next.expect(t, "after")
	next.remember(8 * minute)
	next.expect(t, "then", "0a 2001:db8::a 0s 6m0s ns")
}

// A state of an earlier version, or of a table without a history, has no times of its own for it.
func TestHistoryAfterUpgrade(t *testing.T) {
	former := newTable()
	former.Observe(ns(host, global, "2001:db8::1"))
	next := newTold()
	for _, s := range former.State() {
		if err := next.table.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	next.observe(ns(host, global, "2001:db8::1", after(minute)))
	next.expect(t, "heard again", "0a 2001:db8::a 1m0s 1m0s ns")
}

// What there was no room for is told later.
func TestHistoryWithoutRoom(t *testing.T) {
	h := newTold()
	h.full = true
	h.observe(ns(host, global, "2001:db8::1"))
	h.full = false
	h.remember(minute)
	h.expect(t, "later", "0a 2001:db8::a 0s 0s ns")
}

// A flood, and what one station makes up, are not told, unless they last.
func TestHistoryOfFloods(t *testing.T) {
	address := func(n int) string { return fmt.Sprintf("2001:db8:2::%x", n) }
	station := func(n int) string { return fmt.Sprintf("02:00:00:02:%02x:%02x", n>>8, n&255) }
	for _, test := range []struct {
		name string
		send func(n int) *schemas.Event
		most int
	}{
		{"stations", func(n int) *schemas.Event {
			return ns(station(n), address(n), "2001:db8::1", after(time.Duration(n)*time.Millisecond))
		}, 128},
		{"addresses of one station", func(n int) *schemas.Event { return na(attacker, address(n), after(time.Duration(n)*time.Millisecond)) }, 128},
		{"a few in a minute", func(n int) *schemas.Event { return na(attacker, address(n), after(time.Duration(n)*time.Second)) }, 9*trusted + 1},
		{"claims for one address", func(n int) *schemas.Event { return na(station(n), global, after(time.Duration(n)*time.Millisecond)) }, 128},
		{"by the option alone", func(n int) *schemas.Event {
			return na(attacker, global, lladdr(station(n)), after(time.Duration(n)*time.Millisecond))
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newTold()
			h.observe(ns(host, global, "2001:db8::1", after(-minute)), ns(host, global, "2001:db8::1"))
			h.list = nil
			for n := range 5000 {
				h.observe(test.send(n))
			}
			h.remember(2 * time.Hour)
			if len(h.list) > test.most {
				t.Errorf("%d bindings were told", len(h.list))
			}
			h.list = nil
			h.observe(ns(other, "fe80::b", "2001:db8::1", after(5*time.Second)), ns(other, "fe80::b", "2001:db8::1", after(2*minute)))
			h.remember(2 * time.Hour)
			if len(h.list) == 0 {
				t.Error("an honest station is not told")
			}
		})
	}
}
