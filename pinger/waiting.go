package pinger

import (
	"net/netip"
	"time"
)

// place is where a target may be: behind the interface with that index.
type place struct {
	target netip.Addr
	index  int
}

// probe is a solicitation or an echo that waits for its answer.
type probe struct {
	target netip.Addr
	slave  *slave
	relay  string // id of the command; "" if there was none
	sent   time.Time
	due    time.Time // when it is sent again, or given up
	tries  int
	// seq and cookie are those of an echo; the cookie of a solicitation is 0.
	seq    uint16
	cookie uint64
	done   bool // answered, or never sent
}

func (p *probe) place() place { return place{p.target, p.slave.index} }

// waiting holds the probes that wait, one for each place. Between two tries all
// wait equally long, so they stand in the order in which they are due.
type waiting struct {
	probes map[place]*probe
	queue  []*probe // from first on; those that are done are passed over
	first  int
}

func newWaiting() waiting { return waiting{probes: make(map[place]*probe)} }

// add has a probe wait until it is due, which must not be before another.
func (w *waiting) add(p *probe) {
	w.probes[p.place()] = p
	if w.first > len(w.queue)/2 {
		kept := copy(w.queue, w.queue[w.first:])
		clear(w.queue[kept:])
		w.queue, w.first = w.queue[:kept], 0
	}
	w.queue = append(w.queue, p)
}

// at returns the probe that waits for a place, nil if none does.
func (w *waiting) at(at place) *probe { return w.probes[at] }

// take takes out the probe for a place, if one waits and match holds.
func (w *waiting) take(at place, match func(*probe) bool) (*probe, bool) {
	p, ok := w.probes[at]
	if !ok || !match(p) {
		return nil, false
	}
	p.done = true
	delete(w.probes, at)
	return p, true
}

// oldest returns the probe that is due first, nil if none waits.
func (w *waiting) oldest() *probe {
	for ; w.first < len(w.queue); w.first++ {
		if p := w.queue[w.first]; !p.done {
			return p
		}
		w.queue[w.first] = nil
	}
	return nil
}

// pop takes out the oldest probe; there must be one.
func (w *waiting) pop() *probe {
	p := w.oldest()
	w.queue[w.first] = nil
	w.first++
	delete(w.probes, p.place())
	return p
}
