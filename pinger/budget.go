package pinger

import (
	"fmt"
	"net/netip"
	"time"
)

// budget bounds the probes that leave in any second, wherever that second begins
// (a token bucket lets up to twice its rate out in the first one), and shares
// them among those who ask.
//
// A source may have three times what it leaves free. So one alone gets three
// quarters, two get three sevenths each, and something is free for one that has
// not asked yet (Choudhury and Hahne, Dynamic queue length thresholds for
// shared-memory packet switches, 1998). Nothing has to be configured or known of
// the sources. An eighth is kept for what has priority, for sources can be forged.
type budget struct {
	// sent are the probes of the last second, the oldest at next.
	sent     []spent
	next     int
	used     int
	bySource map[netip.Addr]int
}

type spent struct {
	at     time.Time
	source netip.Addr
}

const (
	// share is what a source may have for each probe that it leaves free.
	share = 3
	// kept is the part of the budget that is kept for what has priority.
	kept = 8
)

func newBudget(rate int) budget {
	return budget{sent: make([]spent, rate), bySource: make(map[netip.Addr]int)}
}

// allow reports whether n probes may leave now for a source, and counts them if
// so: all or none. With priority they may take what is left.
func (b *budget) allow(now time.Time, n int, source netip.Addr, priority bool) bool {
	b.expire(now)
	free := len(b.sent) - b.used - n
	if free < 0 {
		return false
	}
	if before := b.bySource[source]; b.used > 0 && !priority && (free < len(b.sent)/kept || before > 0 && before+n > share*free) {
		return false
	}
	for range n {
		b.sent[(b.next+b.used)%len(b.sent)] = spent{now, source}
		b.used++
	}
	if n > 0 {
		b.bySource[source] += n
	}
	return true
}

// idle reports whether less than half of the budget is used: what is only
// useful, and not needed, may leave.
func (b *budget) idle(now time.Time) bool {
	b.expire(now)
	return b.used < len(b.sent)/2
}

func (b *budget) expire(now time.Time) {
	for b.used > 0 {
		oldest := b.sent[b.next]
		if now.Sub(oldest.at) < time.Second {
			return
		}
		if left := b.bySource[oldest.source] - 1; left > 0 {
			b.bySource[oldest.source] = left
		} else {
			delete(b.bySource, oldest.source)
		}
		b.next = (b.next + 1) % len(b.sent)
		b.used--
	}
}

// room keeps what the relay has the kernel do from taking the last room in the
// kernel's neighbour table. All programs and all network namespaces share that
// table: beyond gc_thresh3 every send to a new neighbour fails with EINVAL.
type room struct {
	// read returns how many entries the table has, and may have.
	read func() (tableSize, error)

	at    time.Time // of the last reading
	size  tableSize
	taken int // since then
	err   error
}

// tableSize is the fill of the kernel's neighbour table.
type tableSize struct {
	entries, most int
}

const (
	// roomAge is how long a reading of the table serves.
	roomAge = 50 * time.Millisecond
	// echoEntries is what an echo may take: an entry for its target, and one for
	// the multicast group in which the kernel solicits for that.
	echoEntries = 2
)

// why says why there is none.
func (r *room) why() string {
	return fmt.Sprintf("the kernel's neighbour table has %d entries of at most %d (net.ipv6.neigh.default.gc_thresh3), the last quarter is left to others",
		r.size.entries+r.taken, r.size.most)
}

// take reports whether there is room for an echo, and counts it if so. A quarter of
// the table is never touched.
func (r *room) take(now time.Time) bool {
	if now.Sub(r.at) >= roomAge {
		r.size, r.err = r.read()
		r.at, r.taken = now, 0
	}
	// Who cannot see the table is bounded by the rate alone.
	if r.err == nil && r.size.entries+r.taken+echoEntries > r.size.most-r.size.most/4 {
		return false
	}
	r.taken += echoEntries
	return true
}
