package probe

import (
	"fmt"
	"time"
)

// tableRoom keeps the probes' entries in the kernel's neighbour table below three
// quarters of its size. All programs and all network namespaces share the table: if it
// has gc_thresh3 entries, every send to a new neighbour fails with EINVAL.
type tableRoom struct {
	// read returns how many entries the table has, and may have at most.
	read func() (entries, most int, err error)

	at            time.Time // of the last reading
	entries, most int
	err           error
	added         int // since then
}

const (
	// readingAge is how long a reading of the table is used.
	readingAge = 50 * time.Millisecond
	// echoEntries is how many entries an echo may take: one for its target, and one
	// for the multicast group in which the kernel solicits for the target.
	echoEntries = 2
)

// why says why there is no room.
func (r *tableRoom) why() string {
	return fmt.Sprintf("the kernel's neighbour table has %d entries of at most %d (net.ipv6.neigh.default.gc_thresh3), the last quarter is left to others",
		r.entries+r.added, r.most)
}

// allow reports whether there is room for an echo, and counts it if so.
func (r *tableRoom) allow(now time.Time) bool {
	if now.Sub(r.at) >= readingAge {
		r.entries, r.most, r.err = r.read()
		r.at, r.added = now, 0
	}
	// If the table cannot be read, only the budget limits the echoes.
	if r.err == nil && r.entries+r.added+echoEntries > r.most-r.most/4 {
		return false
	}
	r.added += echoEntries
	return true
}
