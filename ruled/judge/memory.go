package judge

import (
	"slices"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/ruled/threshold"
)

// Memory is a copy of what a Judge remembers.
type Memory struct {
	Position   Position
	Links      []link.State
	Thresholds []threshold.State
	Sensors    []sensors.Watched
	// Published is how many alerts were published until then.
	Published uint64
}

// Snapshot returns a copy of what the Judge remembers, which counts as stored from then on.
// It returns false while there is no state that belongs to a position: before Restore, and
// while an event is only partly evaluated.
func (j *Judge) Snapshot() (Memory, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.restored || j.halfway {
		return Memory{}, false
	}
	j.changed = false
	return Memory{j.position, j.links.State(), j.thresholds.State(), j.sensors.State(), j.Alerts.Published()}, true
}

// Outdate notes that the last snapshot was not stored.
func (j *Judge) Outdate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed = true
}

// OutOfDate reports whether the last snapshot is out of date.
func (j *Judge) OutOfDate() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

// Restore has the Judge go on from what a former one remembered: its links are those of the
// table, which was made with the Judge's Config.Link.
func (j *Judge) Restore(m Memory, links *link.Table) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.links, j.program = links, nil // the next event configures the routers
	j.thresholds.Restore(m.Thresholds)
	j.sensors.Restore(m.Sensors)
	j.position, j.restored = m.Position, true
}

// Lessons are what a Judge learned.
type Lessons struct {
	// Links are the routers of each link that has any.
	Links []router.Link
	// Messages and Advertisements count the Neighbor Discovery messages and the Router
	// Advertisements among them.
	Messages, Advertisements uint64
	// Interfaces are those that messages came from, as HOST/INTERFACE.
	Interfaces []string
}

// Learned returns what was learned up to now.
func (j *Judge) Learned() Lessons {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := Lessons{Links: j.links.Learned(), Messages: j.messages, Advertisements: j.advertisements}
	for _, s := range j.links.State() {
		l.Interfaces = append(l.Interfaces, s.Host+"/"+s.Interface)
	}
	slices.Sort(l.Interfaces)
	l.Interfaces = slices.Compact(l.Interfaces)
	return l
}

// Stats returns how much is remembered or, while an event waits for its alerts to be stored,
// how much was: the caller must not wait with it.
func (j *Judge) Stats() Stats {
	if j.mu.TryLock() {
		s := Stats{Stats: j.links.Stats(), ThresholdsDropped: j.thresholds.Dropped()}
		s.Sensors, s.Silent, s.SensorsEvicted = j.sensors.Stats()
		j.stats.Store(&s)
		j.mu.Unlock()
	}
	if s := j.stats.Load(); s != nil {
		return *s
	}
	return Stats{}
}
