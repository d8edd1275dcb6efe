package judge

import (
	"github.com/ndmon/ndmon/ruled/link"
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

// Snapshot returns a copy of what the Judge remembers, which counts as stored from then on. It returns false while
// there is no state that belongs to a position: before Restore, and while an event is only partly evaluated.
func (j *Judge) Snapshot() (Memory, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.restored || j.halfway {
		return Memory{}, false
	}
	j.changed.Store(false)
	return Memory{j.position, j.links.State(), j.thresholds.State(), j.sensors.State(), j.Alerts.Published()}, true
}

// Outdate notes that the last snapshot was not stored.
func (j *Judge) Outdate() { j.changed.Store(true) }

// OutOfDate reports whether the last snapshot is out of date.
func (j *Judge) OutOfDate() bool { return j.changed.Load() }

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

// Newest returns when the last frame of each host was captured, in nanoseconds since 1970. Like Stats, it does not wait.
func (j *Judge) Newest() map[string]int64 {
	if j.mu.TryLock() {
		newest := map[string]int64{}
		j.links.Newest(func(host string, last int64) { newest[host] = max(newest[host], last) })
		j.mu.Unlock()
		j.captured.Store(&newest)
	}
	if newest := j.captured.Load(); newest != nil {
		return *newest
	}
	return nil
}
