// Package sensors knows which sensors of the fleet are heard. It finds gaps in what they
// watched, and those that fall silent.
package sensors

import (
	"fmt"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/ndmon/ndmon/schemas"
)

// The ids of the alerts about sensors. No rule raises them: a gap in watching must always be reported.
const (
	notWatching = "not-watching"
	sensorBack  = "sensor-back"
	// Lost is the id of the alert about a sensor that fell silent.
	Lost = "sensor-lost"
)

const (
	// maxSensors bounds how many hosts' sensors are kept.
	maxSensors = 10_000
	// missedHeartbeats is after how many intervals without an event a sensor is silent.
	missedHeartbeats = 3
)

// Table records for each host whose sensor publishes heartbeats when it was heard last. Its time passes by
// ticks of a second, so that an event costs a look-up and reads no clock. It serves one goroutine.
type Table struct {
	// hosts has the sensors by host, the one that was heard least recently first.
	hosts *simplelru.LRU[string, *Watched]
	// now counts the ticks. Since the tick since, ruled receives what sensors publish.
	now, since uint64
	silent     int // sensors that were reported as lost and are not back
	evicted    uint64
}

// Watched is the state of a host's sensor.
type Watched struct {
	// Heartbeat is the last one, with the members that every heartbeat has.
	Heartbeat schemas.Event `json:"heartbeat"`
	// Former is when the sensor before this one began to watch.
	Former time.Time `json:"former,omitzero"`
	// Heard is the time of the last event of the host.
	Heard time.Time `json:"heard"`
	// Silent is since when the sensor is silent, if it was reported as lost, or nil.
	Silent *time.Time `json:"silent,omitempty"`

	tick uint64 // of Table.now when the sensor was heard
}

// Notice is an alert about a sensor.
type Notice struct {
	Rule        string
	Severity    schemas.Severity
	Description string
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{}
	t.hosts, _ = simplelru.NewLRU(maxSensors, t.evict) // it fails only for a size below 1
	return t
}

func (t *Table) evict(_ string, w *Watched) {
	if w.Silent != nil {
		t.silent--
	}
	t.evicted++
}

// Stats returns how many sensors are kept, how many of them are silent, and how many were
// dropped because there were too many.
func (t *Table) Stats() (sensors, silent int, evicted uint64) {
	return t.hosts.Len(), t.silent, t.evicted
}

// Heard notes that a host published an event, if it ever published a heartbeat.
func (t *Table) Heard(e *schemas.Event) {
	if w, ok := t.hosts.Get(e.Host); ok {
		w.Heard, w.tick = e.Time, t.now
	}
}

// Heartbeat notes a heartbeat and returns what to report.
func (t *Table) Heartbeat(e *schemas.Event) []Notice {
	state, before := *e.Sensor, e.Sensor.Before
	state.Before = nil // the reader of events uses its memory again
	heartbeat := schemas.Event{Type: e.Type, ID: e.ID, Time: e.Time, Host: e.Host, Direction: e.Direction, Sensor: &state}
	w, ok := t.hosts.Peek(e.Host)
	if !ok {
		t.add(&Watched{Heartbeat: heartbeat, Heard: e.Time})
		if before == nil {
			return nil
		}
		return []Notice{gap(e.Host, *before, state.Started)}
	}
	was, heard := w.Heartbeat.Sensor, w.Heard
	w.Heartbeat = heartbeat
	t.Heard(e)

	var notices []Notice
	if !state.Started.Equal(was.Started) {
		// Where two sensors share a host's name, their heartbeats alternate.
		another := !state.Started.Equal(w.Former)
		w.Former = was.Started
		if another && (before != nil || !was.Stopped) {
			if before != nil && before.After(heard) {
				heard = *before
			}
			notices = append(notices, gap(e.Host, heard, state.Started))
		}
	}
	if w.Silent != nil {
		notices = append(notices, Notice{sensorBack, schemas.Info,
			fmt.Sprintf("the sensor of %s is heard again, it was silent since %s", e.Host, stamp(*w.Silent))})
		w.Silent = nil
		t.silent--
	}
	return notices
}

// gap reports that a host was not watched.
func gap(host string, from, to time.Time) Notice {
	when := "from " + stamp(from) + " to " + stamp(to)
	if from.After(to) {
		when = "before " + stamp(to) + " (its clock was set back: it was heard last at " + stamp(from) + ")"
	}
	return Notice{notWatching, schemas.Warning,
		fmt.Sprintf("%s was not watched %s: the sensor ended without notice; frames in that time were not seen", host, when)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// add adds a sensor as the last one heard. If there are too many, the one that has been silent for longest is dropped.
func (t *Table) add(w *Watched) {
	w.tick = t.now
	t.hosts.Add(w.Heartbeat.Host, w)
}

// Tick lets a second pass.
func (t *Table) Tick() { t.now++ }

// Deaf notes that ruled may not receive what sensors publish: none counts as silent before
// it could be heard for long enough.
func (t *Table) Deaf() { t.since = t.now }

// Fallen returns the sensors that are silent and not reported as lost, the one heard last first.
func (t *Table) Fallen() []*Watched {
	var fallen []*Watched
	hosts := t.hosts.Values()
	for i := len(hosts) - 1; i >= 0; i-- {
		w := hosts[i]
		if w.Silent == nil && t.now-max(w.tick, t.since) > missedHeartbeats*max(1, uint64(w.Heartbeat.Sensor.Interval)) {
			fallen = append(fallen, w)
		}
	}
	return fallen
}

// Reported notes that a sensor was reported as lost.
func (t *Table) Reported(w *Watched) {
	w.Silent = new(w.Heard)
	t.silent++
}

// Loss describes that a sensor is silent.
func (w *Watched) Loss() string {
	if w.Heartbeat.Sensor.Stopped {
		return fmt.Sprintf("the sensor of %s was stopped at %s: its frames are not seen", w.Heartbeat.Host, stamp(w.Heartbeat.Time))
	}
	return fmt.Sprintf("the sensor of %s is silent since %s: it has ended without notice, or does not reach NATS; its frames are not seen",
		w.Heartbeat.Host, stamp(w.Heard))
}

// State returns the sensors, the one silent for longest first.
func (t *Table) State() []Watched {
	var all []Watched
	for _, w := range t.hosts.Values() {
		all = append(all, *w)
	}
	return all
}

// Restore adds sensors that State returned. Each has its full time to be heard.
func (t *Table) Restore(all []Watched) {
	for i := range all {
		w := &all[i]
		if t.hosts.Contains(w.Heartbeat.Host) || w.Heartbeat.Sensor == nil {
			continue
		}
		t.add(w)
		if w.Silent != nil {
			t.silent++
		}
	}
}
