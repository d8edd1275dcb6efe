package threshold

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

// TestThresholdKey sees which keys differ.
func TestThresholdKey(t *testing.T) {
	track := func(names ...string) *Threshold {
		th := &Threshold{Type: TypeLimit, Count: 1, Seconds: 60}
		for _, name := range names {
			th.Track = append(th.Track, field(name))
		}
		return th
	}
	linkRule := &rule{ID: "a", Threshold: track("host", "interface")}
	prefixes := &rule{ID: "a", Threshold: track("nd.opt.prefixinfo.prefix", "nd.opt.mtu")}
	ra := corpus.Event(t, "radvd-full#1")
	without := corpus.Event(t, "radvd-full#1")
	without.ND.Opt.PrefixInfo = without.ND.Opt.PrefixInfo[:1]
	seen := map[key]string{}
	for name, tt := range map[string]struct {
		rule *rule
		e    *schemas.Event
	}{
		"r1 eth0":      {linkRule, &schemas.Event{Host: "r1", Interface: "eth0"}},
		"r1 eth1":      {linkRule, &schemas.Event{Host: "r1", Interface: "eth1"}},
		"r1e th0":      {linkRule, &schemas.Event{Host: "r1e", Interface: "th0"}},
		"no host":      {linkRule, &schemas.Event{Interface: "r1eth0"}},
		"other rule":   {&rule{ID: "b", Threshold: linkRule.Threshold}, &schemas.Event{Host: "r1", Interface: "eth0"}},
		"prefixes":     {prefixes, ra},
		"one prefix":   {prefixes, without},
		"no options":   {prefixes, &schemas.Event{ND: &schemas.ND{}}},
		"MTU":          {prefixes, &schemas.Event{ND: &schemas.ND{Opt: &schemas.Options{MTU: []schemas.MTU{{MTU: 1500}}}}}},
		"nothing":      {&rule{ID: "", Threshold: track()}, &schemas.Event{}},
		"MAC":          {&rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{Source: schemas.MAC{1}}}},
		"another MAC":  {&rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{Source: schemas.MAC{2}}}},
		"MAC of zeros": {&rule{ID: "a", Threshold: track("ethernet.source")}, &schemas.Event{Ethernet: &schemas.Ethernet{}}},
	} {
		key := New(1).key(tt.rule.ID, tt.rule.Threshold, tt.e)
		if other, taken := seen[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
		if again := New(2).key(tt.rule.ID, tt.rule.Threshold, tt.e); again != key {
			t.Errorf("%s has two keys", name)
		}
	}
}

// TestThresholdsBounded sends ever new keys.
func TestThresholdsBounded(t *testing.T) {
	start := time.Unix(1e9, 0)
	r := thresholdRule(TypeLimit, 1, 60)
	for _, room := range []int{-1, 1, 2, 3, 100} {
		th := New(room)
		room = max(room, 1)
		for i := range 1000 {
			if _, ok := pass(th, r, eventFrom(fmt.Sprintf("2001:db8::%x", i), start)); !ok {
				t.Fatalf("room for %d: match %d is held back", room, i)
			}
			if _, ok := pass(th, r, eventFrom(fmt.Sprintf("2001:db8::%x", i-min(i, room-1)), start)); ok {
				t.Fatalf("room for %d: the oldest key is forgotten too early", room)
			}
			if i >= room-1 { // touched, so that the next oldest goes
				for j := i - room + 2; j <= i; j++ {
					pass(th, r, eventFrom(fmt.Sprintf("2001:db8::%x", j), start))
				}
			}
		}
		if len(th.keys) != room || th.pool.Used != room || th.Dropped() != uint64(1000-room) {
			t.Errorf("room for %d: %d keys, %d counters, %d dropped", room, len(th.keys), th.pool.Used, th.Dropped())
		}
	}
	th := New(1)
	pass(th, r, eventFrom("::1", start))
	pass(th, r, eventFrom("::2", start.Add(time.Minute)))
	pass(th, thresholdRule(TypeThreshold, 1, 60), eventFrom("::3", start.Add(time.Minute)))
	pass(th, r, eventFrom("::4", start.Add(time.Minute)))
	if th.Dropped() != 1 {
		t.Errorf("%d keys dropped early, want 1: the windows of the others were over", th.Dropped())
	}
}

func TestThresholdsScratch(t *testing.T) {
	th := New(10)
	r := &rule{ID: "a", Threshold: &Threshold{Type: TypeLimit, Track: []*schemas.Field{field("nd.opt.dnssl.domain")}, Count: 1, Seconds: 1}}
	e := &schemas.Event{ND: &schemas.ND{Opt: &schemas.Options{DNSSL: []schemas.DNSSL{{Domain: []string{strings.Repeat("x", 1<<20)}}}}}}
	pass(th, r, e)
	pass(th, r, &schemas.Event{})
	if cap(th.text) > maxText {
		t.Errorf("room for %d bytes is kept", cap(th.text))
	}
}

// TestThresholdsState goes on, after a restart, as if there had been none.
func TestThresholdsState(t *testing.T) {
	start := time.Unix(1e9, 123456000)
	r := thresholdRule(TypeThreshold, 3, 60)
	fill := func(th *Counters) {
		for i := range 10 {
			pass(th, r, eventFrom(fmt.Sprintf("::%d", i%7), start.Add(time.Duration(i)*time.Second)))
		}
	}
	before := New(10)
	if state := before.State(); len(state) != 0 {
		t.Errorf("state of nothing: %v", state)
	}
	fill(before)
	data, err := json.Marshal(before.State())
	if err != nil {
		t.Fatal(err)
	}
	var state []State
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{10, 7, 3} {
		after := New(room)
		fill(after)
		after.Restore(state)
		want := state[len(state)-min(room, len(state)):]
		if diff := cmp.Diff(want, after.State()); diff != "" {
			t.Errorf("room for %d: %s", room, diff)
		}
	}
	// An older version does not store where a key comes from.
	var old []State
	if err := json.Unmarshal([]byte(`[{"rule":"threshold","key":"`+state[0].Key+`","start":1,"seconds":60,"count":2,"matches":2}]`), &old); err != nil {
		t.Fatal(err)
	}
	older := New(10)
	older.Restore(old)
	if diff := cmp.Diff([]State{{Rule: "threshold", Key: state[0].Key, Start: 1, Seconds: 60, Count: 2, Matches: 2}}, older.State()); diff != "" {
		t.Error(diff)
	}
	after := New(10)
	after.Restore(append(state, State{Key: "no key"}, State{Key: "00"}, State{Rule: strings.Repeat("x", 1000), Key: strings.Repeat("0", 32)}))
	for i := range 7 {
		e := eventFrom(fmt.Sprintf("::%d", i), start.Add(20*time.Second))
		wantCount, wantOK := pass(before, r, e)
		if count, ok := pass(after, r, e); count != wantCount || ok != wantOK {
			t.Errorf("key %d: %d, %t after the restart, want %d, %t", i, count, ok, wantCount, wantOK)
		}
	}
}

func TestThresholdsAllocate(t *testing.T) {
	th := New(50)
	r := &rule{ID: "a", Threshold: &Threshold{Type: TypeLimit, Track: onLink(), Count: 1, Seconds: 60}}
	sources := thresholdRule(TypeBoth, 2, 60)
	e := corpus.Event(t, "radvd-full#1")
	for i := range 100 { // until it is full
		pass(th, sources, eventFrom(fmt.Sprintf("2001:db8::%x", i), e.Time))
	}
	from := eventFrom("2001:db8::", e.Time)
	source := from.Inet6.Source
	allocs := testing.AllocsPerRun(1000, func() {
		pass(th, r, e)
		source = source.Next()
		from.Inet6.Source = source
		pass(th, sources, from)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzThresholdsRestore(f *testing.F) {
	f.Add([]byte(`[{"rule":"a","key":"00112233445566778899aabbccddeeff","start":-9223372036854775808,"seconds":4294967295,"count":18446744073709551615,"matches":18446744073709551615}]`))
	f.Add([]byte(`[{"key":"x"},{"key":"00"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var state []State
		if json.Unmarshal(data, &state) != nil {
			return
		}
		th := New(3)
		th.Restore(state)
		for i := range 5 {
			pass(th, thresholdRule(TypeBoth, 1, 1), eventFrom(fmt.Sprintf("::%d", i), time.Unix(int64(i), 0)))
		}
		again := New(3)
		again.Restore(th.State())
		if diff := cmp.Diff(th.State(), again.State()); diff != "" || len(th.State()) > 3 {
			t.Error(diff)
		}
	})
}

func BenchmarkThresholds(b *testing.B) {
	e := corpus.Event(b, "linux-unresolved#1")
	r := &rule{ID: "ra-flood", Threshold: &Threshold{Type: TypeLimit, Track: onLink(), Count: 1, Seconds: 60}}
	b.Run("same key", func(b *testing.B) {
		th := New(MaxKeys)
		b.ReportAllocs()
		for b.Loop() {
			pass(th, r, e)
		}
	})
	b.Run("new keys", func(b *testing.B) {
		th := New(MaxKeys)
		sources := thresholdRule(TypeLimit, 1, 60)
		from := eventFrom("2001:db8::", e.Time)
		b.ReportAllocs()
		for b.Loop() {
			from.Inet6.Source = from.Inet6.Source.Next()
			pass(th, sources, from)
		}
	})
}
