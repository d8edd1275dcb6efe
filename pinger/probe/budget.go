package probe

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// budget bounds the probes in any second, wherever that second begins (a token bucket
// allows up to twice its rate in the first one), and shares them among the sources of
// the solicitations. Probes that were sent at once become free again one after the other:
// otherwise a flood takes all of them again in the same milliseconds of each second, and the
// commands of others are refused every time.
//
// A source may use three times what it leaves free. So a single one gets three
// quarters, two get three sevenths each, and something is left for one that comes later
// (Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet
// switches, 1998). Nothing about the sources has to be configured or known. An eighth
// is reserved for probes with priority, because sources can be forged.
type budget struct {
	// sent is a ring of the probes that count, the oldest at next.
	sent     []spent
	until    time.Time // of the newest
	next     int
	used     int
	bySource map[netip.Addr]int
}

// spent is a probe that counts until a time.
type spent struct {
	until  time.Time
	source netip.Addr
}

const (
	// share is how many probes a source may use for each that it leaves free.
	share = 3
	// reserved is the part of the budget for probes with priority: one in so many.
	reserved = 8
)

func newBudget(rate int) budget {
	return budget{sent: make([]spent, rate), bySource: make(map[netip.Addr]int)}
}

// allow reports whether n probes may be sent now for a source, and counts them if so:
// all or none. With priority they may use all that is left.
func (b *budget) allow(now time.Time, n int, source netip.Addr, priority bool) bool {
	b.expire(now)
	free := len(b.sent) - b.used - n
	if free < 0 {
		return false
	}
	if before := b.bySource[source]; b.used > 0 && !priority && (free < len(b.sent)/reserved || before > 0 && before+n > share*free) {
		return false
	}
	for range n {
		b.until = b.until.Add(time.Second / time.Duration(len(b.sent)))
		if second := now.Add(time.Second); b.until.Before(second) {
			b.until = second
		}
		b.sent[(b.next+b.used)%len(b.sent)] = spent{b.until, source}
		b.used++
	}
	if n > 0 {
		b.bySource[source] += n
	}
	return true
}

// idle reports whether less than half of the budget is used, so that probes that are
// useful but not necessary may be sent.
func (b *budget) idle(now time.Time) bool {
	b.expire(now)
	return b.used < len(b.sent)/2
}

func (b *budget) expire(now time.Time) {
	for b.used > 0 {
		oldest := b.sent[b.next]
		if now.Before(oldest.until) {
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

// tableRoom keeps the probes' entries in the kernel's neighbour table below three
// quarters of its size. All programs and all network namespaces share the table: if it
// has gc_thresh3 entries, every send to a new neighbour fails with EINVAL.
type tableRoom struct {
	// read returns how many entries the table has, and may have at most. It waits for
	// the kernel.
	read func() (entries, most int, err error)

	mu            sync.Mutex
	at            time.Time // of the last reading
	entries, most int
	err           error
	added         int    // since then
	full          string // why there is no room; empty while there is
}

const (
	// readingAge is how long a reading of the table is used.
	readingAge = 50 * time.Millisecond
	// echoEntries is how many entries an echo may take: one for its target, and one
	// for the multicast group in which the kernel solicits for the target.
	echoEntries = 2
)

// update reads the table, unless it was read lately.
func (r *tableRoom) update(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.at) >= readingAge {
		r.entries, r.most, r.err = r.read()
		r.at, r.added, r.full = now, 0, ""
	}
}

// take counts an echo, or returns why there is no room for it.
func (r *tableRoom) take(now time.Time) (full string) {
	r.update(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	// If the table cannot be read, only the budget limits the echoes.
	if r.err != nil || r.entries+r.added+echoEntries <= r.most-r.most/4 {
		r.added += echoEntries
	} else if r.full == "" {
		r.full = fmt.Sprintf("the kernel's neighbour table has %d entries of at most %d (net.ipv6.neigh.default.gc_thresh3), the last quarter is left to others",
			r.entries+r.added, r.most)
	}
	return r.full
}
