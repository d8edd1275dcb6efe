// Package threshold limits how often rules act: it counts the matches of each rule by the
// values that the rule tracks, in bounded memory, and decides which of them act.
package threshold

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// MaxSeconds is the longest window of a threshold, 30 days.
const MaxSeconds = 30 * 24 * 60 * 60

// Type is which matches act, in Suricata's terms.
type Type string

// The types of thresholds.
const (
	// TypeLimit lets the first Count matches of a window act.
	TypeLimit Type = "limit"
	// TypeThreshold lets match number Count of a window act, and ends the window.
	TypeThreshold Type = "threshold"
	// TypeBoth lets only match number Count of a window act.
	TypeBoth Type = "both"
)

// Threshold lets only some matches of a rule act: it counts the matches that
// have the same values in the tracked fields, in windows of time that begin with
// a match.
type Threshold struct {
	Type Type
	// Track are the fields, each once; at least one.
	Track []*schemas.Field
	// Count is at least 1.
	Count uint32
	// Seconds is from 1 to MaxSeconds.
	Seconds uint32
	// Cap, if not 0, is how many matches may act in a window of Seconds for each host,
	// interface and value of link.flood, whatever the tracked values are: senders may make
	// those up. Beyond that, matches whose number is Cap times a power of two act. Matches
	// about a settled address do not count there: each such address has a cap, and all of an
	// interface together have one ten times as large.
	Cap uint32
}

// String describes the threshold, for a person.
func (t *Threshold) String() string {
	names := make([]string, len(t.Track))
	for i, f := range t.Track {
		names[i] = f.Name
	}
	per := strings.Join(names, ", ")
	if t.Cap > 0 {
		per += fmt.Sprintf("; at most %d, and then ever fewer, for each host, interface, link.flood", t.Cap)
	}
	switch t.Type {
	case TypeLimit:
		return fmt.Sprintf("limit: at most %d in %d s for each %s", t.Count, t.Seconds, per)
	case TypeBoth:
		return fmt.Sprintf("both: one in %d s, at match %d, for each %s", t.Seconds, t.Count, per)
	}
	return fmt.Sprintf("threshold: one for every %d matches within %d s for each %s", t.Count, t.Seconds, per)
}

// window counts the matches since a time.
type window struct {
	start int64 // microseconds since 1970
	count uint64
}

const second = 1_000_000 // microseconds

// open reports whether the matches of the window still count. Those from before the clock of
// events was set back do not.
func (w *window) open(now int64, seconds uint32) bool {
	length := int64(seconds) * second
	return w.count > 0 && now-w.start < length && w.start-now <= length
}

// pass counts a match and reports whether it acts.
func (t *Threshold) pass(w *window, now int64) bool {
	if !w.open(now, t.Seconds) {
		*w = window{start: now}
	}
	w.count++
	switch t.Type {
	case TypeLimit:
		return w.count <= uint64(t.Count)
	case TypeBoth:
		return w.count == uint64(t.Count)
	}
	if w.count < uint64(t.Count) {
		return false
	}
	w.count = 0
	return true
}

// passCap counts a match and reports whether a cap of most lets it act.
func (t *Threshold) passCap(w *window, most uint64, now int64) bool {
	if !w.open(now, t.Seconds) {
		*w = window{start: now}
	}
	w.count++
	return w.count <= most || w.count%most == 0 && bits.OnesCount64(w.count/most) == 1
}
