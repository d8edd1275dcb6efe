package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ndmon/ndmon/schemas"
)

// thresholdRule returns a rule with a threshold that counts for each source.
func thresholdRule(kind ThresholdType, count, seconds uint32) *Rule {
	return &Rule{ID: string(kind), Threshold: &Threshold{Type: kind, Track: []*schemas.Field{field("inet6.source")}, Count: count, Seconds: seconds}}
}

func eventFrom(source string, at time.Time) *schemas.Event {
	return &schemas.Event{Time: at, Inet6: &schemas.Inet6{Source: addr(source)}}
}

func TestThresholds(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type pass struct {
		at float64 // seconds
		// want is the count, 0 for a match that is held back.
		want uint64
	}
	for name, tt := range map[string]struct {
		rule   *Rule
		passes []pass
	}{
		"none":  {&Rule{ID: "none"}, []pass{{0, 1}, {0, 1}}},
		"limit": {thresholdRule(TypeLimit, 2, 10), []pass{{0, 1}, {1, 1}, {2, 0}, {9.999999, 0}, {10, 3}, {11, 1}, {12, 0}, {100, 2}}},
		"threshold": {thresholdRule(TypeThreshold, 3, 10), []pass{
			{0, 0}, {1, 0}, {2, 3}, // the next match begins a window
			{11, 0}, {12, 0}, {20, 3},
			{30, 0}, {39, 0}, {40, 0}, {41, 0}, {42, 5}, // the first two came to nothing
		}},
		"threshold of one": {thresholdRule(TypeThreshold, 1, 10), []pass{{0, 1}, {0, 1}, {1, 1}}},
		"both":             {thresholdRule(TypeBoth, 3, 10), []pass{{0, 0}, {1, 0}, {2, 3}, {3, 0}, {4, 0}, {5, 0}, {10, 0}, {11, 0}, {12, 6}}},
		"both of one":      {thresholdRule(TypeBoth, 1, 10), []pass{{0, 1}, {1, 0}, {9, 0}, {10, 3}}},
		"clock set back":   {thresholdRule(TypeLimit, 1, 10), []pass{{0, 1}, {-1, 0}, {-10, 0}, {-10.000001, 3}, {-9, 0}, {0, 2}}},
		"clock far back":   {thresholdRule(TypeLimit, 1, MaxThresholdSeconds), []pass{{0, 1}, {-7e9, 1}, {7e9, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			th := NewThresholds(10)
			for i, p := range tt.passes {
				at := start.Add(time.Duration(p.at * 1e9))
				th.Pass(thresholdRule(TypeLimit, 1, 1), eventFrom("::2", at)) // is in no other's way
				count, ok := th.Pass(tt.rule, eventFrom("::1", at))
				if count != p.want || ok != (p.want > 0) {
					t.Errorf("match %d at %v s: %d, %t, want %d", i, p.at, count, ok, p.want)
				}
			}
		})
	}
}

// capRule is thresholdRule with a cap.
func capRule(kind ThresholdType, count, seconds, most uint32) *Rule {
	rule := thresholdRule(kind, count, seconds)
	rule.Threshold.Cap = most
	return rule
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
		rule    *Rule
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
			th := NewThresholds(100)
			for i, m := range tt.matches {
				e := eventFrom(m.source, start.Add(time.Duration(m.at*1e9)))
				e.Interface = m.iface
				if m.flood {
					e.Link = &schemas.Link{Flood: true}
				}
				state := th.State()
				th = NewThresholds(100)
				th.Restore(state)
				if count, ok := th.Pass(tt.rule, e); count != m.want || ok != (m.want > 0) {
					t.Errorf("match %d, %s at %v s: %d, %t, want %d", i, m.source, m.at, count, ok, m.want)
				}
			}
		})
	}
}

// TestThresholdCapFlood makes up a value in each of very many frames: a few alerts
// count them all, though there is not room for all keys, and less for the cap's
// than the flood has values.
func TestThresholdCapFlood(t *testing.T) {
	start := time.Unix(1e9, 0)
	const frames, room = 40_000, 1000
	for name, rule := range map[string]*Rule{
		"limit":     capRule(TypeLimit, 1, 60, 20),
		"threshold": capRule(TypeThreshold, 1, 60, 20),
	} {
		th := NewThresholds(room)
		alerts, counted := 0, uint64(0)
		pass := func(n int, at time.Time) {
			if count, ok := th.Pass(rule, madeUp(n, "eth0", at)); ok {
				alerts++
				counted += count
			}
		}
		for n := range frames {
			pass(n, start.Add(time.Duration(n)*time.Millisecond))
		}
		if alerts < 20 || alerts > 20+11 { // 40, 80 … 40960
			t.Errorf("%s: %d alerts", name, alerts)
		}
		pass(frames, start.Add(time.Hour)) // what was held back since the last alert
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
	flooded.Threshold.Track = append(defaultTrack(), flooded.Threshold.Track...)
	third := *flooded
	third.Threshold = &Threshold{Type: TypeBoth, Track: flooded.Threshold.Track, Count: 3, Seconds: 60}
	another := third
	another.ID = "another"
	onEth0 := func(n int) *schemas.Event { return madeUp(n, "eth0", start) }
	onEth1 := func(n int) *schemas.Event { return madeUp(n, "eth1", start) }
	onR2 := func(n int) *schemas.Event { e := onEth0(n); e.Host = "r2"; return e }
	type keysOf struct {
		rule  *Rule
		event func(n int) *schemas.Event
	}
	for name, tt := range map[string]struct {
		flood  func(n int) *schemas.Event
		others map[string]keysOf
	}{
		"values":     {onEth0, map[string]keysOf{"another host": {&third, onR2}, "another interface": {&third, onEth1}, "another rule": {&another, onEth0}}},
		"interfaces": {func(n int) *schemas.Event { return madeUp(n, fmt.Sprint("x", n), start) }, map[string]keysOf{"another host": {&third, onR2}}},
	} {
		th := NewThresholds(room)
		for n := range 2 * keys {
			for _, other := range tt.others {
				th.Pass(other.rule, other.event(n%keys))
			}
		}
		second := func(n int) bool { // of a key that is matched twice
			th.Pass(flooded, onEth0(frames+n))
			_, ok := th.Pass(flooded, onEth0(frames+n))
			return ok
		}
		for n := range 5 {
			if !second(n) {
				t.Fatalf("%s: the cap holds back match %d", name, n)
			}
		}
		for n := range frames {
			th.Pass(flooded, tt.flood(n))
		}
		if len(th.counters) != room || len(th.keys) != room {
			t.Errorf("%s: %d counters, %d keys", name, len(th.counters), len(th.keys))
		}
		if name == "values" && second(5) {
			t.Errorf("%s: the cap is forgotten", name)
		}
		for from, other := range tt.others {
			for n := range keys {
				if count, ok := th.Pass(other.rule, other.event(n)); !ok || count != 3 {
					t.Errorf("%s: key %d of %s: %d, %t, want the count of 3", name, n, from, count, ok)
					break
				}
			}
		}
	}
}

// TestThresholdKey sees what is told apart.
func TestThresholdKey(t *testing.T) {
	track := func(names ...string) *Threshold {
		th := &Threshold{Type: TypeLimit, Count: 1, Seconds: 60}
		for _, name := range names {
			th.Track = append(th.Track, field(name))
		}
		return th
	}
	link := &Rule{ID: "a", Threshold: track("host", "interface")}
	prefixes := &Rule{ID: "a", Threshold: track("nd.opt.prefixinfo.prefix", "nd.opt.mtu")}
	ra := eventOf(t, "radvd-full#1")
	without := eventOf(t, "radvd-full#1")
	without.ND.Opt.PrefixInfo = without.ND.Opt.PrefixInfo[:1]
	seen := map[thresholdKey]string{}
	for name, tt := range map[string]struct {
		rule *Rule
		e    *schemas.Event
	}{
		"r1 eth0":      {link, &schemas.Event{Host: "r1", Interface: "eth0"}},
		"r1 eth1":      {link, &schemas.Event{Host: "r1", Interface: "eth1"}},
		"r1e th0":      {link, &schemas.Event{Host: "r1e", Interface: "th0"}},
		"no host":      {link, &schemas.Event{Interface: "r1eth0"}},
		"other rule":   {&Rule{ID: "b", Threshold: link.Threshold}, &schemas.Event{Host: "r1", Interface: "eth0"}},
		"prefixes":     {prefixes, ra},
		"one prefix":   {prefixes, without},
		"no options":   {prefixes, &schemas.Event{ND: &schemas.ND{}}},
		"MTU":          {prefixes, &schemas.Event{ND: &schemas.ND{Opt: &schemas.Options{MTU: []schemas.MTU{{MTU: 1500}}}}}},
		"nothing":      {&Rule{ID: "", Threshold: track()}, &schemas.Event{}},
		"MAC":          {&Rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{Source: schemas.MAC{1}}}},
		"another MAC":  {&Rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{Source: schemas.MAC{2}}}},
		"MAC of zeros": {&Rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{}}},
	} {
		key := NewThresholds(1).key(tt.rule, tt.e)
		if other, taken := seen[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
		if again := NewThresholds(2).key(tt.rule, tt.e); again != key {
			t.Errorf("%s has two keys", name)
		}
	}
}

// TestThresholdsBounded sends ever new keys.
func TestThresholdsBounded(t *testing.T) {
	start := time.Unix(1e9, 0)
	rule := thresholdRule(TypeLimit, 1, 60)
	for _, room := range []int{-1, 1, 2, 3, 100} {
		th := NewThresholds(room)
		room = max(room, 1)
		for i := range 1000 {
			if _, ok := th.Pass(rule, eventFrom(fmt.Sprintf("2001:db8::%x", i), start)); !ok {
				t.Fatalf("room for %d: match %d is held back", room, i)
			}
			if _, ok := th.Pass(rule, eventFrom(fmt.Sprintf("2001:db8::%x", i-min(i, room-1)), start)); ok {
				t.Fatalf("room for %d: the oldest key is forgotten too early", room)
			}
			if i >= room-1 { // touched, so that the next oldest goes
				for j := i - room + 2; j <= i; j++ {
					th.Pass(rule, eventFrom(fmt.Sprintf("2001:db8::%x", j), start))
				}
			}
		}
		if len(th.keys) != room || len(th.counters) != room || th.Dropped() != uint64(1000-room) {
			t.Errorf("room for %d: %d keys, %d counters, %d dropped", room, len(th.keys), len(th.counters), th.Dropped())
		}
	}
	th := NewThresholds(1)
	th.Pass(rule, eventFrom("::1", start))
	th.Pass(rule, eventFrom("::2", start.Add(time.Minute)))
	th.Pass(thresholdRule(TypeThreshold, 1, 60), eventFrom("::3", start.Add(time.Minute)))
	th.Pass(rule, eventFrom("::4", start.Add(time.Minute)))
	if th.Dropped() != 1 {
		t.Errorf("%d keys dropped early, want 1: the windows of the others were over", th.Dropped())
	}
}

func TestThresholdsScratch(t *testing.T) {
	th := NewThresholds(10)
	rule := &Rule{ID: "a", Threshold: &Threshold{Type: TypeLimit, Track: []*schemas.Field{field("nd.opt.dnssl.domain")}, Count: 1, Seconds: 1}}
	e := &schemas.Event{ND: &schemas.ND{Opt: &schemas.Options{DNSSL: []schemas.DNSSL{{Domain: []string{strings.Repeat("x", 1<<20)}}}}}}
	th.Pass(rule, e)
	th.Pass(rule, &schemas.Event{})
	if cap(th.text) > maxThresholdText {
		t.Errorf("room for %d bytes is kept", cap(th.text))
	}
}

// TestThresholdsState goes on, after a restart, as if there had been none.
func TestThresholdsState(t *testing.T) {
	start := time.Unix(1e9, 123456000)
	rule := thresholdRule(TypeThreshold, 3, 60)
	fill := func(th *Thresholds) {
		for i := range 10 {
			th.Pass(rule, eventFrom(fmt.Sprintf("::%d", i%7), start.Add(time.Duration(i)*time.Second)))
		}
	}
	before := NewThresholds(10)
	if state := before.State(); len(state) != 0 {
		t.Errorf("state of nothing: %v", state)
	}
	fill(before)
	data, err := json.Marshal(before.State())
	if err != nil {
		t.Fatal(err)
	}
	var state []ThresholdState
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{10, 7, 3} {
		after := NewThresholds(room)
		fill(after)
		after.Restore(state)
		want := state[len(state)-min(room, len(state)):]
		if diff := cmp.Diff(want, after.State()); diff != "" {
			t.Errorf("room for %d: %s", room, diff)
		}
	}
	// An older version tells nothing of where a key comes from.
	var old []ThresholdState
	if err := json.Unmarshal([]byte(`[{"rule":"threshold","key":"`+state[0].Key+`","start":1,"seconds":60,"count":2,"matches":2}]`), &old); err != nil {
		t.Fatal(err)
	}
	older := NewThresholds(10)
	older.Restore(old)
	if diff := cmp.Diff([]ThresholdState{{Rule: "threshold", Key: state[0].Key, Start: 1, Seconds: 60, Count: 2, Matches: 2}}, older.State()); diff != "" {
		t.Error(diff)
	}
	after := NewThresholds(10)
	after.Restore(append(state, ThresholdState{Key: "no key"}, ThresholdState{Key: "00"}, ThresholdState{Rule: strings.Repeat("x", 1000), Key: strings.Repeat("0", 32)}))
	for i := range 7 {
		e := eventFrom(fmt.Sprintf("::%d", i), start.Add(20*time.Second))
		wantCount, wantOK := before.Pass(rule, e)
		if count, ok := after.Pass(rule, e); count != wantCount || ok != wantOK {
			t.Errorf("key %d: %d, %t after the restart, want %d, %t", i, count, ok, wantCount, wantOK)
		}
	}
}

func TestThresholdsAllocate(t *testing.T) {
	th := NewThresholds(50)
	rule := &Rule{ID: "a", Threshold: &Threshold{Type: TypeLimit, Track: defaultTrack(), Count: 1, Seconds: 60}}
	sources := thresholdRule(TypeBoth, 2, 60)
	e := eventOf(t, "radvd-full#1")
	for i := range 100 { // until it is full
		th.Pass(sources, eventFrom(fmt.Sprintf("2001:db8::%x", i), e.Time))
	}
	from := eventFrom("2001:db8::", e.Time)
	source := from.Inet6.Source
	allocs := testing.AllocsPerRun(1000, func() {
		th.Pass(rule, e)
		source = source.Next()
		from.Inet6.Source = source
		th.Pass(sources, from)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzThresholdsRestore(f *testing.F) {
	f.Add([]byte(`[{"rule":"a","key":"00112233445566778899aabbccddeeff","start":-9223372036854775808,"seconds":4294967295,"count":18446744073709551615,"matches":18446744073709551615}]`))
	f.Add([]byte(`[{"key":"x"},{"key":"00"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var state []ThresholdState
		if json.Unmarshal(data, &state) != nil {
			return
		}
		th := NewThresholds(3)
		th.Restore(state)
		for i := range 5 {
			th.Pass(thresholdRule(TypeBoth, 1, 1), eventFrom(fmt.Sprintf("::%d", i), time.Unix(int64(i), 0)))
		}
		again := NewThresholds(3)
		again.Restore(th.State())
		if diff := cmp.Diff(th.State(), again.State()); diff != "" || len(th.State()) > 3 {
			t.Error(diff)
		}
	})
}

func BenchmarkThresholds(b *testing.B) {
	e := eventOf(b, "linux-unresolved#1")
	rule := &Rule{ID: "ra-flood", Threshold: &Threshold{Type: TypeLimit, Track: defaultTrack(), Count: 1, Seconds: 60}}
	b.Run("same key", func(b *testing.B) {
		th := NewThresholds(MaxThresholdKeys)
		b.ReportAllocs()
		for b.Loop() {
			th.Pass(rule, e)
		}
	})
	b.Run("new keys", func(b *testing.B) {
		th := NewThresholds(MaxThresholdKeys)
		sources := thresholdRule(TypeLimit, 1, 60)
		from := eventFrom("2001:db8::", e.Time)
		b.ReportAllocs()
		for b.Loop() {
			from.Inet6.Source = from.Inet6.Source.Next()
			th.Pass(sources, from)
		}
	})
}
