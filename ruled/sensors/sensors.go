// Package sensors knows which sensors and pingers of the fleet are heard. It finds gaps in what
// sensors watched, those that fall silent, and hosts whose clock is off.
package sensors

import (
	"cmp"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/ndmon/ndmon/schemas"
)

// The ids of the alerts about sensors and pingers; sensor-lost and so on begin with the part. No
// rule raises them: a gap in watching must always be reported.
const (
	notWatching = "not-watching"
	lost        = "-lost"
	back        = "-back"
	clockOff    = "clock-off"
	clockRight  = "clock-right"
)

const (
	// maxSensors bounds how many sensors and pingers are kept.
	maxSensors = 10_000
	// missedHeartbeats is after how many intervals without an event a sensor is silent.
	missedHeartbeats = 3
)

// Table records for each sensor and pinger that publishes heartbeats when it was heard last. Its time passes by
// ticks of a second, so that an event costs a look-up and reads no clock. It serves one goroutine.
type Table struct {
	// hosts has the sensors and pingers, the one that was heard least recently first.
	hosts *simplelru.LRU[key, *Watched]
	// clock is how far the clock of a host may be off, 0 for any.
	clock time.Duration
	// now counts the ticks. Since the tick since, ruled receives what sensors publish.
	now, since uint64
	silent     int // sensors that were reported as lost and are not back
	evicted    uint64
	missing    atomic.Pointer[[]schemas.SilentPart] // at the last tick
}

// key identifies the sensor or the pinger of a host.
type key struct {
	host   string
	pinger bool
}

// Watched is the state of a host's sensor or pinger.
type Watched struct {
	// Heartbeat is the last one, with the members that every heartbeat has.
	Heartbeat schemas.Event `json:"heartbeat"`
	// Former is when the sensor before this one began to watch.
	Former time.Time `json:"former,omitzero"`
	// Heard is the time of the last event of the host.
	Heard time.Time `json:"heard"`
	// Silent is since when the sensor is silent, if it was reported as lost, or nil.
	Silent *time.Time `json:"silent,omitempty"`
	// Stored is when the heartbeat was stored. ClockOff says that the clock of the host was reported.
	Stored   time.Time `json:"stored,omitzero"`
	ClockOff bool      `json:"clockoff,omitempty"`
	// Late counts the heartbeats in a row that were stored as late as the one before, by more than a clock may be off.
	Late int `json:"late,omitempty"`

	tick uint64 // of Table.now when the sensor was heard
}

// state returns what the last heartbeat said.
func (w *Watched) state() *schemas.Heartbeat { return cmp.Or(w.Heartbeat.Sensor, w.Heartbeat.Pinger) }

func (w *Watched) key() key { return key{w.Heartbeat.Host, w.Heartbeat.Pinger != nil} }

// part names the part of the host, as in the ids of alerts.
func (w *Watched) part() string {
	if w.Heartbeat.Pinger != nil {
		return "pinger"
	}
	return "sensor"
}

// Notice is an alert about a sensor or pinger.
type Notice struct {
	Rule        string
	Severity    schemas.Severity
	Description string
}

// NewTable returns an empty table. It reports clocks that differ from the server's by more than clock, unless that is 0.
func NewTable(clock time.Duration) *Table {
	t := &Table{clock: clock}
	t.hosts, _ = simplelru.NewLRU(maxSensors, t.evict) // it fails only for a size below 1
	return t
}

func (t *Table) evict(_ key, w *Watched) {
	if w.Silent != nil {
		t.silent--
	}
	t.evicted++
}

// Stats returns how many sensors and pingers are kept, how many of them are silent, and how many were
// dropped because there were too many.
func (t *Table) Stats() (sensors, silent int, evicted uint64) {
	return t.hosts.Len(), t.silent, t.evicted
}

// Heard notes that a host's sensor published an event, if it ever published a heartbeat. A
// conflict comes from the host's pinger.
func (t *Table) Heard(e *schemas.Event) {
	if w, ok := t.hosts.Get(key{e.Host, e.Conflict != nil}); ok {
		w.Heard, w.tick = e.Time, t.now
	}
}

// Heartbeat notes a heartbeat, which was stored at a time, and returns what to report. The time is
// zero if nothing delays the events.
func (t *Table) Heartbeat(e *schemas.Event, stored time.Time) []Notice {
	next := &Watched{Heartbeat: schemas.Event{Type: e.Type, ID: e.ID, Time: e.Time, Host: e.Host, Direction: e.Direction}, Heard: e.Time, Stored: stored}
	state := *cmp.Or(e.Sensor, e.Pinger) // the reader of events uses its memory again
	before := state.Before
	state.Before = nil
	if e.Sensor != nil {
		next.Heartbeat.Sensor = &state
	} else {
		next.Heartbeat.Pinger = &state
	}
	w, ok := t.hosts.Get(next.key())
	if !ok {
		t.add(next)
		notices := t.checkClock(next, &Watched{})
		if before == nil {
			return notices
		}
		return append(notices, gap(e.Host, *before, state.Started))
	}
	former := *w
	was, heard := former.state(), w.Heard
	w.Heartbeat, w.Heard, w.Stored, w.tick = next.Heartbeat, e.Time, stored, t.now

	notices := t.checkClock(w, &former)
	if e.Sensor != nil && !state.Started.Equal(was.Started) {
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
		notices = append(notices, Notice{w.part() + back, schemas.Info,
			fmt.Sprintf("the %s of %s is heard again, it was silent since %s", w.part(), e.Host, stamp(*w.Silent))})
		w.Silent = nil
		t.silent--
	}
	return notices
}

// lateMost is how many heartbeats in a row are as late as the one before without a fault of the clock: the server or the
// way to it may be slow each time.
const lateMost = 2

// checkClock compares the time of a heartbeat with that at which the server stored it. A heartbeat that
// is behind may have waited for the server, so it counts only if several before it waited as long. The
// clock is right again when it is well within the limit. A pinger counts where no sensor is heard.
func (t *Table) checkClock(w, former *Watched) []Notice {
	if t.clock == 0 || w.Stored.IsZero() {
		return nil
	}
	if sensor, ok := t.hosts.Peek(key{host: w.Heartbeat.Host}); ok && sensor != w && sensor.Silent == nil {
		return nil
	}
	ahead := w.Heartbeat.Time.Sub(w.Stored)
	jitter := min(time.Second, time.Duration(w.state().Interval)*time.Second/2)
	live := !former.Stored.IsZero() && (ahead-former.Heartbeat.Time.Sub(former.Stored)).Abs() <= jitter
	if live && ahead < -t.clock {
		w.Late++
	} else {
		w.Late = 0
	}
	switch {
	case !w.ClockOff && (ahead > t.clock || w.Late > lateMost):
		w.ClockOff = true
		direction := "ahead of"
		if ahead < 0 {
			direction = "behind"
		}
		return []Notice{{clockOff, schemas.Warning, fmt.Sprintf("the clock of %s is %v %s that of the NATS server; relay commands live %v: run NTP on both",
			w.Heartbeat.Host, ahead.Abs().Round(100*time.Millisecond), direction, t.clock)}}
	case w.ClockOff && live && ahead.Abs() < t.clock/2:
		w.ClockOff = false
		return []Notice{{clockRight, schemas.Info, fmt.Sprintf("the clock of %s is right again", w.Heartbeat.Host)}}
	}
	return nil
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
	t.hosts.Add(w.key(), w)
}

// Tick lets a second pass.
func (t *Table) Tick() { t.now++ }

// Deaf notes that ruled may not receive what sensors publish: none counts as silent before
// it could be heard for long enough.
func (t *Table) Deaf() { t.since = t.now }

// Fallen returns the sensors and pingers that are silent and not reported as lost, the one heard last first.
func (t *Table) Fallen() []*Watched {
	var fallen []*Watched
	missing := []schemas.SilentPart{}
	hosts := t.hosts.Values()
	for i := len(hosts) - 1; i >= 0; i-- {
		w := hosts[i]
		silence, interval := t.now-max(w.tick, t.since), max(1, uint64(w.state().Interval))
		if w.Silent == nil && silence > missedHeartbeats*interval {
			fallen = append(fallen, w)
		}
		if len(missing) < schemas.MaxSilent && (w.Silent != nil || silence > interval+1 || w.state().Stopped) {
			missing = append(missing, schemas.SilentPart{Host: w.Heartbeat.Host, Part: w.part(), Heard: w.Heard, Stopped: w.state().Stopped})
		}
	}
	t.missing.Store(&missing)
	return fallen
}

// Missing returns the sensors and pingers that had missed a heartbeat, or had stopped, when Fallen was
// called last. It may be called concurrently.
func (t *Table) Missing() []schemas.SilentPart {
	if missing := t.missing.Load(); missing != nil {
		return *missing
	}
	return nil
}

// Reported notes that a sensor was reported as lost.
func (t *Table) Reported(w *Watched) {
	w.Silent = new(w.Heard)
	t.silent++
}

// Loss returns the alert that a sensor or pinger is silent.
func (w *Watched) Loss() Notice {
	effect := "its frames are not seen"
	if w.Heartbeat.Pinger != nil {
		effect = "it relays nothing"
	}
	why := fmt.Sprintf("is silent since %s: it has ended without notice, or does not reach NATS; %s", stamp(w.Heard), effect)
	if w.state().Stopped {
		why = fmt.Sprintf("was stopped at %s: %s", stamp(w.Heartbeat.Time), effect)
	}
	return Notice{w.part() + lost, schemas.Warning, fmt.Sprintf("the %s of %s %s", w.part(), w.Heartbeat.Host, why)}
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
		if w.state() == nil || t.hosts.Contains(w.key()) {
			continue
		}
		t.add(w)
		if w.Silent != nil {
			t.silent++
		}
	}
}
