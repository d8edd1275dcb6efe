package pool

import "time"

// storm notices when entries are added faster than a link grows by itself: in a flood, or
// when a building gets its power back.
type storm struct {
	since int64 // start of the window, in Unix nanoseconds
	count int
	until int64
}

const (
	stormWindow = int64(10 * time.Second)
	// stormCount is how many new entries of a link within the window are a storm
	// (see Pool.wider).
	stormCount = 100
)

// add counts an entry and reports whether it is part of a storm, which takes at least so
// many entries.
func (s *storm) add(now int64, least int) bool {
	if s.since-now > stormWindow || now-s.since > stormWindow {
		s.since, s.count = now, 0
	}
	s.count++
	if s.count >= least {
		s.until = now + stormWindow
	}
	return s.on(now)
}

// on is true at most for two windows before the end: events arrive out of order, but a
// clock may be set back.
func (s *storm) on(now int64) bool { return now < s.until && s.until-now <= 2*stormWindow }
