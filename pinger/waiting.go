package pinger

import (
	"math/bits"
	"net/netip"
	"time"
)

// probe is an echo that waits for its reply.
type probe struct {
	slave  *slave
	target netip.Addr
	relay  string // id of the command
	sent   time.Time
	cookie uint64
	done   bool // answered, or never sent
}

// waiting holds the probes in the order in which they were sent, which is that
// of their deadlines too, for all wait equally long. A probe stands where the
// sequence number of its echo says.
type waiting struct {
	ring []probe
	// Probes first to next-1 are in the ring; the first one is not done.
	first, next uint32
	open        int
}

// newWaiting makes room for at least most probes, 1 to 65536.
func newWaiting(most int) waiting {
	return waiting{ring: make([]probe, 1<<bits.Len(uint(most-1)))}
}

func (w *waiting) at(seq uint32) *probe { return &w.ring[seq&uint32(len(w.ring)-1)] }

// room reports whether n probes more can wait.
func (w *waiting) room(n int) bool { return int(w.next-w.first)+n <= len(w.ring) }

// add puts in a probe, for which there is room, and returns its sequence number.
func (w *waiting) add(p probe) uint16 {
	seq := w.next
	*w.at(seq) = p
	w.next++
	w.open++
	return uint16(seq)
}

// take takes out the probe with a sequence number, if it waits and match holds.
func (w *waiting) take(seq uint16, match func(*probe) bool) (probe, bool) {
	// Sequence numbers of the ring are within 65536 of the first one.
	full := w.first + uint32(seq-uint16(w.first))
	if full-w.first >= w.next-w.first {
		return probe{}, false
	}
	p := w.at(full)
	if p.done || !match(p) {
		return probe{}, false
	}
	taken := *p
	*p = probe{done: true}
	w.open--
	w.trim()
	return taken, true
}

// oldest returns the probe that was sent first of those that wait, nil if none
// does.
func (w *waiting) oldest() *probe {
	if w.first == w.next {
		return nil
	}
	return w.at(w.first)
}

// pop takes out the oldest probe; there must be one.
func (w *waiting) pop() probe {
	p := *w.at(w.first)
	*w.at(w.first) = probe{done: true}
	w.open--
	w.trim()
	return p
}

func (w *waiting) trim() {
	for w.first != w.next && w.at(w.first).done {
		w.first++
	}
}
