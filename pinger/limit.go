package pinger

import (
	"net/netip"
	"time"
)

// window lets at most a number of echoes out in any second, wherever that
// second begins. A token bucket lets up to twice its rate out in the first one.
type window struct {
	// sent holds the times of the last echoes, the oldest at next.
	sent []time.Time
	next int
}

func newWindow(rate int) window { return window{sent: make([]time.Time, rate)} }

// allow reports whether n echoes may leave now, and counts them if so: all or
// none.
func (w *window) allow(now time.Time, n int) bool {
	if n > len(w.sent) || n > 0 && now.Sub(w.sent[(w.next+n-1)%len(w.sent)]) < time.Second {
		return false
	}
	for range n {
		w.sent[w.next] = now
		w.next = (w.next + 1) % len(w.sent)
	}
	return true
}

// maxHeld bounds the targets in hold-down. Beyond it the oldest is forgotten,
// which costs an echo at worst, and these are limited by the rate.
const maxHeld = 1 << 14

// holdDown remembers the targets that were probed within a period.
type holdDown struct {
	period time.Duration
	since  map[netip.Addr]time.Time
	// queue holds the targets of since in the order of their times, from
	// oldest on.
	queue  []netip.Addr
	oldest int
}

func newHoldDown(period time.Duration) holdDown {
	return holdDown{period: period, since: make(map[netip.Addr]time.Time)}
}

// holds reports whether the target was probed within the period.
func (h *holdDown) holds(target netip.Addr, now time.Time) bool {
	since, ok := h.since[target]
	return ok && now.Sub(since) < h.period
}

// add begins the target's hold-down. The target must not be held.
func (h *holdDown) add(target netip.Addr, now time.Time) {
	for h.oldest < len(h.queue) && (len(h.since) >= maxHeld || now.Sub(h.since[h.queue[h.oldest]]) >= h.period) {
		delete(h.since, h.queue[h.oldest])
		h.oldest++
	}
	if h.oldest > len(h.queue)/2 {
		h.queue = append(h.queue[:0], h.queue[h.oldest:]...)
		h.oldest = 0
	}
	h.since[target] = now
	h.queue = append(h.queue, target)
}

// clear forgets every target.
func (h *holdDown) clear() {
	clear(h.since)
	h.queue, h.oldest = h.queue[:0], 0
}
