package sensors

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

// pinger makes a heartbeat that of the pinger of r1.
func pinger(e *schemas.Event) *schemas.Event {
	e.Sensor, e.Pinger = nil, e.Sensor
	return e
}

// rules returns which alerts there are.
func rules(notices []Notice) (ids []string) {
	for _, n := range notices {
		ids = append(ids, n.Rule)
	}
	return ids
}

// The sensor and the pinger of a host are lost and back apart. A pinger that is killed leaves no gap in watching.
func TestPingerIsLostAndBack(t *testing.T) {
	s := NewTable(0)
	same := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	s.Heartbeat(corpus.Heartbeat(1, 0, 0), time.Time{})
	same("the first", []string(nil), rules(s.Heartbeat(pinger(corpus.Heartbeat(2, 0, 0)), time.Time{})))
	for range 7 {
		s.Tick()
		s.Heard(&schemas.Event{Host: "r1", Time: corpus.At(1)})
	}
	fallen := s.Fallen()
	if len(fallen) != 1 {
		t.Fatalf("%d have fallen silent, want the pinger", len(fallen))
	}
	same("the alert", Notice{"pinger-lost", schemas.Warning,
		"the pinger of r1 is silent since 2026-11-25T10:00:00Z: it has ended without notice, or does not reach NATS; it relays nothing"}, fallen[0].Loss())
	s.Reported(fallen[0])
	s.Fallen()
	same("missing", []schemas.SilentPart{{Host: "r1", Part: "pinger", Heard: corpus.At(0)}}, s.Missing())

	data, err := json.Marshal(s.State())
	if err != nil {
		t.Fatal(err)
	}
	var stored []Watched
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	s = NewTable(0)
	s.Restore(stored)
	same("replaced", []Notice{{"pinger-back", schemas.Info, "the pinger of r1 is heard again, it was silent since 2026-11-25T10:00:00Z"}},
		s.Heartbeat(pinger(corpus.Heartbeat(3, 20, 20)), time.Time{}))
	s.Heartbeat(pinger(corpus.Heartbeat(4, 20, 22, corpus.Stopped)), time.Time{})
	s.Fallen()
	same("stopped", []schemas.SilentPart{{Host: "r1", Part: "pinger", Heard: corpus.At(22), Stopped: true}}, s.Missing())
	for range 9 {
		s.Tick()
		s.Heard(&schemas.Event{Host: "r1", Time: corpus.At(22)})
	}
	same("the alert", "the pinger of r1 was stopped at 2026-11-25T10:00:22Z: it relays nothing", s.Fallen()[0].Loss().Description)
}

// Each is a heartbeat: its time, and when it was stored, in tenths of a second.
func TestClock(t *testing.T) {
	type beat struct{ time, stored int }
	for name, tc := range map[string]struct {
		beats []beat
		want  map[int]string // by beat
	}{
		"right":                            {[]beat{{0, 0}, {20, 29}, {40, 15}, {60, 60}}, nil},
		"ahead":                            {[]beat{{31, 0}, {51, 20}}, map[int]string{0: "clock-off"}},
		"behind":                           {[]beat{{0, 31}, {20, 51}, {40, 71}, {60, 91}, {80, 111}}, map[int]string{3: "clock-off"}},
		"within the limit":                 {[]beat{{30, 0}, {0, 30}, {20, 50}}, nil},
		"set back":                         {[]beat{{0, 0}, {-1000, 20}, {-980, 40}, {-960, 60}, {-940, 80}}, map[int]string{4: "clock-off"}},
		"set right":                        {[]beat{{900, 0}, {920, 20}, {40, 40}, {60, 60}, {80, 80}}, map[int]string{0: "clock-off", 3: "clock-right"}},
		"hardly right":                     {[]beat{{900, 0}, {58, 40}, {78, 60}, {98, 80}}, map[int]string{0: "clock-off"}},
		"stored late":                      {[]beat{{0, 0}, {20, 900}, {920, 920}, {940, 940}}, nil},
		"a server that is slow each time":  {[]beat{{0, 35}, {20, 55}, {40, 75}, {60, 61}, {80, 115}, {100, 135}, {120, 155}}, nil},
		"stored late, all of them":         {[]beat{{0, 0}, {20, 900}, {40, 900}, {60, 900}, {900, 901}}, nil},
		"late and lost":                    {[]beat{{0, 0}, {20, 900}, {2000, 2000}, {2020, 2020}}, nil},
		"ahead, and seems right when late": {[]beat{{900, 0}, {920, 920}, {1840, 940}, {1860, 960}}, map[int]string{0: "clock-off"}},
		"not stored":                       {[]beat{{900, -1}, {920, -1}}, nil},
	} {
		s := NewTable(3 * time.Second)
		tenths := func(n int) time.Time { return corpus.At(0).Add(time.Duration(n) * 100 * time.Millisecond) }
		for i, b := range tc.beats {
			e := corpus.Heartbeat(i, 0, 0)
			e.Time = tenths(b.time)
			stored := tenths(b.stored)
			if b.stored < 0 {
				stored = time.Time{}
			}
			got := ""
			for _, n := range s.Heartbeat(e, stored) {
				got += n.Rule
			}
			if got != tc.want[i] {
				t.Errorf("%s: heartbeat %d raises %q, want %q", name, i, got, tc.want[i])
			}
			if i == 0 {
				e.Time = tenths(-1 << 30) // the clock of a host is reported once
				if n := s.Heartbeat(pinger(e), stored); len(n) > 0 {
					t.Errorf("%s: the pinger's raises %+v", name, n)
				}
			}
		}
	}
	s := NewTable(3 * time.Second)
	if got := s.Heartbeat(pinger(corpus.Heartbeat(1, 0, 20)), corpus.At(0)); len(got) != 1 ||
		got[0].Description != "the clock of r1 is 20s ahead of that of the NATS server; relay commands live 3s: run NTP on both" {
		t.Errorf("a host with a pinger alone: %+v", got)
	}
}
