package sensors

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

// What is reported, of heartbeats in their order.
func TestSensorsReport(t *testing.T) {
	const (
		gap  = "not-watching: r1 was not watched from %s to %s: the sensor ended without notice; frames in that time were not seen"
		back = "sensor-back: the sensor of r1 is heard again, it was silent since %s"
	)
	said := func(format string, seconds ...int) string {
		var times []any
		for _, s := range seconds {
			times = append(times, corpus.At(s).Format(time.RFC3339))
		}
		return fmt.Sprintf(format, times...)
	}
	frame := func(now int) *schemas.Event { return &schemas.Event{Host: "r1", Time: corpus.At(now)} }
	var silence *schemas.Event // the sensor is reported as lost
	for name, tc := range map[string]struct {
		events []*schemas.Event
		want   []string
	}{
		"the first sensor":              {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 0, 2)}, nil},
		"stopped and started":           {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 0, 3, corpus.Stopped), corpus.Heartbeat(3, 9, 9)}, nil},
		"killed and started":            {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 9, 9), corpus.Heartbeat(3, 9, 11)}, []string{said(gap, 0, 9)}},
		"killed behind a frame":         {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), frame(3), corpus.Heartbeat(2, 9, 9)}, []string{said(gap, 3, 9)}},
		"frames without heartbeats":     {[]*schemas.Event{frame(0), corpus.Heartbeat(1, 9, 9)}, nil},
		"the host knows":                {[]*schemas.Event{corpus.Heartbeat(1, 9, 9, corpus.Before(5))}, []string{said(gap, 5, 9)}},
		"the host knows better":         {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 9, 9, corpus.Before(5))}, []string{said(gap, 5, 9)}},
		"the host knows less":           {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), frame(7), corpus.Heartbeat(2, 9, 9, corpus.Before(5))}, []string{said(gap, 7, 9)}},
		"the host knows of another one": {[]*schemas.Event{corpus.Heartbeat(1, 0, 0, corpus.Stopped), corpus.Heartbeat(2, 9, 9, corpus.Before(5))}, []string{said(gap, 5, 9)}},
		"killed twice": {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 9, 9), corpus.Heartbeat(3, 20, 20)},
			[]string{said(gap, 0, 9), said(gap, 9, 20)}},
		"two of one name": {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), corpus.Heartbeat(2, 9, 9), corpus.Heartbeat(3, 0, 10), corpus.Heartbeat(4, 9, 11), corpus.Heartbeat(5, 0, 12)},
			[]string{said(gap, 0, 9)}},
		"the clock was set back": {[]*schemas.Event{corpus.Heartbeat(1, 50, 50), corpus.Heartbeat(2, 9, 9)},
			[]string{said("not-watching: r1 was not watched before %s (its clock was set back: it was heard last at %s): the sensor ended without notice; frames in that time were not seen", 9, 50)}},
		"silent and back":   {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), frame(1), silence, frame(19), corpus.Heartbeat(2, 0, 20), corpus.Heartbeat(3, 0, 22)}, []string{said(back, 1)}},
		"lost and replaced": {[]*schemas.Event{corpus.Heartbeat(1, 0, 0), silence, corpus.Heartbeat(2, 20, 20)}, []string{said(gap, 0, 20), said(back, 0)}},
		"stopped for long":  {[]*schemas.Event{corpus.Heartbeat(1, 0, 0, corpus.Stopped), silence, corpus.Heartbeat(2, 20, 20)}, []string{said(back, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewTable(0)
			var got []string
			for _, e := range tc.events {
				switch {
				case e == silence:
					s.Reported(newest(s))
				case e.Sensor == nil:
					s.Heard(e)
				default:
					for _, n := range s.Heartbeat(e, time.Time{}) {
						got = append(got, n.Rule+": "+n.Description)
					}
					*e.Sensor = schemas.Heartbeat{} // the reader uses its memory again
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// newest returns the sensor that was heard last.
func newest(s *Table) *Watched { return s.hosts.Values()[s.hosts.Len()-1] }

// hosts returns the hosts of the sensors that have fallen silent.
func hosts(s *Table) (names []string) {
	for _, w := range s.Fallen() {
		names = append(names, w.Heartbeat.Host)
	}
	slices.Sort(names)
	return names
}

// A sensor has fallen silent when ruled could hear it for more than three intervals and has not.
func TestSensorsFallSilent(t *testing.T) {
	s := NewTable(0)
	of := func(host string, interval uint32) *schemas.Event {
		e := corpus.Heartbeat(1, 0, 0)
		e.Host, e.Sensor.Interval = host, interval
		return e
	}
	pass := func(ticks int) {
		for range ticks {
			s.Tick()
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, hosts(s)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	s.Heartbeat(of("r1", 2), time.Time{})
	s.Heartbeat(of("r2", 10), time.Time{})
	s.Heartbeat(of("r3", 0), time.Time{}) // no interval that a sensor has
	pass(3)
	check("after 3 s")
	pass(1)
	check("after 4 s", "r3")
	pass(2)
	check("after 6 s", "r3")
	pass(1)
	check("after 7 s", "r1", "r3")
	s.Heard(&schemas.Event{Host: "r1", Conflict: new(schemas.Conflict)})
	check("when the pinger of r1 is heard", "r1", "r3")
	s.Heard(&schemas.Event{Host: "r1"})
	check("when r1 is heard", "r3")
	s.Deaf()
	check("when NATS is away")
	pass(4)
	check("after 4 s more", "r3")
	pass(3)
	check("after 7 s more", "r1", "r3")
	for _, w := range s.Fallen() {
		s.Reported(w)
	}
	check("when they are reported")
	if s.silent != 2 {
		t.Errorf("%d sensors are silent, want 2", s.silent)
	}

	again := NewTable(0)
	data, err := json.Marshal(s.State())
	if err != nil {
		t.Fatal(err)
	}
	var stored []Watched
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	again.Restore(append(stored, stored[0], Watched{}))
	s = again
	if s.silent != 2 || s.hosts.Len() != 3 {
		t.Errorf("%d of %d sensors are silent in the state, want 2 of 3", s.silent, s.hosts.Len())
	}
	pass(30)
	check("30 s after the start")
	pass(1)
	check("31 s after the start", "r2")
	if got := s.Heartbeat(of("r1", 2), time.Time{}); len(got) != 1 || got[0].Rule != "sensor-back" || s.silent != 1 {
		t.Errorf("%+v, %d are silent", got, s.silent)
	}
}

// However many hosts there are, or are made up, few are known: those heard last.
func TestSensorsAreBounded(t *testing.T) {
	s := NewTable(0)
	for n := range maxSensors + 2 {
		e := corpus.Heartbeat(n, 0, 0)
		e.Host = fmt.Sprint(n)
		s.Heartbeat(e, time.Time{})
		if n == 1 {
			s.Reported(newest(s))
		}
		s.Heard(&schemas.Event{Host: "0"})
	}
	if s.hosts.Len() != maxSensors || s.evicted != 2 || s.silent != 0 {
		t.Errorf("%d hosts, %d evicted, %d silent", s.hosts.Len(), s.evicted, s.silent)
	}
	for host, want := range map[string]bool{"0": true, "1": false, "2": false, "3": true} {
		if known := s.hosts.Contains(key{host: host}); known != want {
			t.Errorf("host %s is known: %v", host, known)
		}
	}
}

func TestEventOfSensorDoesNotAllocate(t *testing.T) {
	s := NewTable(0)
	s.Heartbeat(corpus.Heartbeat(1, 0, 0), time.Time{})
	e := &schemas.Event{Host: "r1", Time: corpus.At(1)}
	if n := testing.AllocsPerRun(100, func() { s.Heard(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
