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
