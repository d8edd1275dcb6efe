package threshold

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// rule is what Pass needs of a rule.
type rule struct {
	ID        string
	Threshold *Threshold
}

func pass(c *Counters, r *rule, e *schemas.Event) (uint64, bool) { return c.Pass(r.ID, r.Threshold, e) }

func field(name string) *schemas.Field {
	f, ok := schemas.FieldByName(name)
	if !ok {
		panic("no field " + name)
	}
	return f
}

func onLink() []*schemas.Field { return []*schemas.Field{field("host"), field("interface")} }

// thresholdRule returns a rule with a threshold that counts for each source.
func thresholdRule(kind Type, count, seconds uint32) *rule {
	return &rule{ID: string(kind), Threshold: &Threshold{Type: kind, Track: []*schemas.Field{field("inet6.source")}, Count: count, Seconds: seconds}}
}

func eventFrom(source string, at time.Time) *schemas.Event {
	return &schemas.Event{Time: at, Inet6: &schemas.Inet6{Source: netip.MustParseAddr(source)}}
}

func TestThresholds(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type passing struct {
		at float64 // seconds
		// want is the count, 0 for a match that is held back.
		want uint64
	}
	for name, tt := range map[string]struct {
		rule   *rule
		passes []passing
	}{
		"none":  {&rule{ID: "none"}, []passing{{0, 1}, {0, 1}}},
		"limit": {thresholdRule(TypeLimit, 2, 10), []passing{{0, 1}, {1, 1}, {2, 0}, {9.999999, 0}, {10, 3}, {11, 1}, {12, 0}, {100, 2}}},
		"threshold": {thresholdRule(TypeThreshold, 3, 10), []passing{
			{0, 0}, {1, 0}, {2, 3}, // the next match begins a window
			{11, 0}, {12, 0}, {20, 3},
			{30, 0}, {39, 0}, {40, 0}, {41, 0}, {42, 5}, // the first two came to nothing
		}},
		"threshold of one": {thresholdRule(TypeThreshold, 1, 10), []passing{{0, 1}, {0, 1}, {1, 1}}},
		"both":             {thresholdRule(TypeBoth, 3, 10), []passing{{0, 0}, {1, 0}, {2, 3}, {3, 0}, {4, 0}, {5, 0}, {10, 0}, {11, 0}, {12, 6}}},
		"both of one":      {thresholdRule(TypeBoth, 1, 10), []passing{{0, 1}, {1, 0}, {9, 0}, {10, 3}}},
		"clock set back":   {thresholdRule(TypeLimit, 1, 10), []passing{{0, 1}, {-1, 0}, {-10, 0}, {-10.000001, 3}, {-9, 0}, {0, 2}}},
		"clock far back":   {thresholdRule(TypeLimit, 1, MaxSeconds), []passing{{0, 1}, {-7e9, 1}, {7e9, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			th := New(10)
			for i, p := range tt.passes {
				at := start.Add(time.Duration(p.at * 1e9))
				pass(th, thresholdRule(TypeLimit, 1, 1), eventFrom("::2", at)) // is in no other's way
				count, ok := pass(th, tt.rule, eventFrom("::1", at))
				if count != p.want || ok != (p.want > 0) {
					t.Errorf("match %d at %v s: %d, %t, want %d", i, p.at, count, ok, p.want)
				}
			}
		})
	}
}

// capRule is thresholdRule with a cap.
func capRule(kind Type, count, seconds, most uint32) *rule {
	r := thresholdRule(kind, count, seconds)
	r.Threshold.Cap = most
	return r
}

// madeUp is the n-th event of a flood of made-up sources on an interface.
func madeUp(n int, iface string, at time.Time) *schemas.Event {
	e := eventFrom(fmt.Sprintf("2001:db8::%x:%x", n>>16, n&0xffff), at)
	e.Host, e.Interface = "r1", iface
	return e
}

func TestThresholdCap(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type match struct {
		at     float64 // seconds
		source string
		flood  bool
		iface  string
		want   uint64 // 0 for a match that is held back
	}
	for name, tt := range map[string]struct {
		rule    *rule
		matches []match
	}{
		"each source": {capRule(TypeLimit, 1, 60, 2), []match{
			{0, "::1", false, "", 1}, {1, "::2", false, "", 1}, {2, "::3", false, "", 0}, // number 3 of the cap
			{3, "::4", false, "", 2}, {4, "::5", false, "", 0}, {5, "::6", false, "", 0}, {6, "::7", false, "", 0},
			{7, "::8", false, "", 4}, {8, "::9", false, "", 0}, {9, "::a", false, "", 0},
			{60, "::b", false, "", 3}, {61, "::c", false, "", 1}, {62, "::d", false, "", 0}, // the next window
		}},
		"held back by its source first": {capRule(TypeLimit, 1, 60, 1), []match{
			{0, "::1", false, "", 1}, {1, "::1", false, "", 0}, {2, "::1", false, "", 0}, // 2 wait in ::1
			{3, "::2", false, "", 1}, {4, "::3", false, "", 0}, // number 2; number 3 waits in the cap
			{60.5, "::1", false, "", 4}, // its own, the 2 and ::3's
			{61, "::4", false, "", 1}, {61, "::5", false, "", 0},
		}},
		"not what a threshold holds back": {capRule(TypeThreshold, 3, 60, 1), []match{
			{0, "::1", false, "", 0}, {0, "::2", false, "", 0}, {0, "::1", false, "", 0}, {0, "::2", false, "", 0},
			{0, "::1", false, "", 3}, {0, "::2", false, "", 3}, // numbers 1 and 2
			{1, "::1", false, "", 0}, {1, "::1", false, "", 0}, {1, "::1", false, "", 0}, // number 3
			{2, "::2", false, "", 0}, {2, "::2", false, "", 0}, {2, "::2", false, "", 6}, // number 4
		}},
		"both": {capRule(TypeBoth, 2, 60, 1), []match{
			{0, "::1", false, "", 0}, {0, "::1", false, "", 2}, {0, "::1", false, "", 0},
			{0, "::2", false, "", 0}, {0, "::2", false, "", 2}, {0, "::3", false, "", 0}, {0, "::3", false, "", 0}, {0, "::4", false, "", 0}, {0, "::4", false, "", 4},
		}},
		"floods and links apart": {capRule(TypeLimit, 1, 60, 1), []match{
			{0, "::1", true, "", 1}, {0, "::2", true, "", 1}, {0, "::3", true, "", 0},
			{0, "::4", false, "", 1}, {0, "::5", false, "", 1}, {0, "::6", false, "", 0},
			{0, "::7", true, "eth1", 1}, {0, "::8", true, "eth1", 1}, {0, "::9", true, "eth1", 0},
			{0, "::a", true, "", 2}, {0, "::b", false, "", 2},
		}},
		"clock set back": {capRule(TypeLimit, 1, 10, 1), []match{
			{0, "::1", false, "", 1}, {-1, "::2", false, "", 1}, {-2, "::3", false, "", 0}, {-11, "::4", false, "", 2}, {-11, "::5", false, "", 1}, {-11, "::6", false, "", 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			th := New(100)
			for i, m := range tt.matches {
				e := eventFrom(m.source, start.Add(time.Duration(m.at*1e9)))
				e.Interface = m.iface
				if m.flood {
					e.Link = &schemas.Link{Flood: true}
				}
				state := th.State()
				th = New(100)
				th.Restore(state)
				if count, ok := pass(th, tt.rule, e); count != m.want || ok != (m.want > 0) {
					t.Errorf("match %d, %s at %v s: %d, %t, want %d", i, m.source, m.at, count, ok, m.want)
				}
			}
		})
	}
}

// TestThresholdCapFlood makes up a value in each of very many frames: a few alerts count them all, though
// there is not room for all keys, and less for the cap's than the flood has values.
func TestThresholdCapFlood(t *testing.T) {
	start := time.Unix(1e9, 0)
	const frames, room = 40_000, 1000
	for name, r := range map[string]*rule{
		"limit":     capRule(TypeLimit, 1, 60, 20),
		"threshold": capRule(TypeThreshold, 1, 60, 20),
	} {
		th := New(room)
		alerts, counted := 0, uint64(0)
		flood := func(n int, at time.Time) {
			if count, ok := pass(th, r, madeUp(n, "eth0", at)); ok {
				alerts++
				counted += count
			}
		}
		for n := range frames {
			flood(n, start.Add(time.Duration(n)*time.Millisecond))
		}
		if alerts < 20 || alerts > 20+11 { // 40, 80 … 40960
			t.Errorf("%s: %d alerts", name, alerts)
		}
		flood(frames, start.Add(time.Hour)) // what was held back since the last alert
		if counted != frames+1 {
			t.Errorf("%s: the alerts count %d matches, want %d", name, counted, frames+1)
		}
	}
}

// TestThresholdShares sees what a flood of made-up values, on one interface or on
// made-up ones, does to the counts of others.
func TestThresholdShares(t *testing.T) {
	start := time.Unix(1e9, 0)
	const frames, room, keys = 100_000, 1000, 100
	flooded := capRule(TypeBoth, 2, 60, 5)
	flooded.ID = "flooded"
	flooded.Threshold.Track = append(onLink(), flooded.Threshold.Track...)
	third := *flooded
	third.Threshold = &Threshold{Type: TypeBoth, Track: flooded.Threshold.Track, Count: 3, Seconds: 60}
	another := third
	another.ID = "another"
	onEth0 := func(n int) *schemas.Event { return madeUp(n, "eth0", start) }
	onEth1 := func(n int) *schemas.Event { return madeUp(n, "eth1", start) }
	onR2 := func(n int) *schemas.Event { e := onEth0(n); e.Host = "r2"; return e }
	type keysOf struct {
		rule  *rule
		event func(n int) *schemas.Event
	}
	for name, tt := range map[string]struct {
		flood  func(n int) *schemas.Event
		others map[string]keysOf
	}{
		"values":     {onEth0, map[string]keysOf{"another host": {&third, onR2}, "another interface": {&third, onEth1}, "another rule": {&another, onEth0}}},
		"interfaces": {func(n int) *schemas.Event { return madeUp(n, fmt.Sprint("x", n), start) }, map[string]keysOf{"another host": {&third, onR2}}},
	} {
		th := New(room)
		for n := range 2 * keys {
			for _, other := range tt.others {
				pass(th, other.rule, other.event(n%keys))
			}
		}
		second := func(n int) bool { // of a key that is matched twice
			pass(th, flooded, onEth0(frames+n))
			_, ok := pass(th, flooded, onEth0(frames+n))
			return ok
		}
		for n := range 5 {
			if !second(n) {
				t.Fatalf("%s: the cap holds back match %d", name, n)
			}
		}
		for n := range frames {
			pass(th, flooded, tt.flood(n))
		}
		if th.pool.Used != room || len(th.keys) != room {
			t.Errorf("%s: %d counters, %d keys", name, th.pool.Used, len(th.keys))
		}
		if name == "values" && second(5) {
			t.Errorf("%s: the cap is forgotten", name)
		}
		for from, other := range tt.others {
			for n := range keys {
				if count, ok := pass(th, other.rule, other.event(n)); !ok || count != 3 {
					t.Errorf("%s: key %d of %s: %d, %t, want the count of 3", name, n, from, count, ok)
					break
				}
			}
		}
	}
}
