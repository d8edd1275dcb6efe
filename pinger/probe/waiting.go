package probe

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
)

// position is where a target may be: behind the interface with that index.
type position struct {
	target netip.Addr
	index  int
}

// probe is a solicitation or an echo request that waits for its answer.
type probe struct {
	target netip.Addr
	on     *port.Port
	relay  string // id of the command; empty if there was none
	sent   time.Time
	due    time.Time // when it is sent again or given up
	tries  int
	// seq and cookie are those of an echo; both are 0 for a solicitation.
	seq    uint16
	cookie uint64
	done   bool // answered, or never sent
	// asked is the Ethernet address at which it was sent again; nil for none.
	asked *schemas.MAC
}

func (p *probe) position() position { return position{p.target, p.on.Index} }

// waiting holds the probes that wait, at most one per position. All wait equally long
// between two tries, so the queue is in the order in which they are due.
type waiting struct {
	period time.Duration // between two tries
	count  prometheus.Gauge
	probes map[position]*probe
	queue  []*probe // from first on; those that are done are skipped
	first  int

	timer *time.Timer // for the oldest
	armed bool        // the timer runs
	next  time.Time   // when it may end again
}

// pause is the shortest time between two ends of the timer: under load it ends for many
// probes at once, and each waits up to that much longer.
const pause = 20 * time.Millisecond

func newWaiting(period time.Duration, count prometheus.Gauge) waiting {
	w := waiting{period: period, count: count, probes: make(map[position]*probe), timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}

// arm sets the timer to when the oldest probe is due, unless it runs already. It never
// runs while no probe waits.
func (w *waiting) arm(now time.Time) {
	if oldest := w.oldest(); oldest != nil && !w.armed {
		at := oldest.due
		if at.Before(w.next) {
			at = w.next
		}
		w.timer.Reset(at.Sub(now))
		w.next = at.Add(pause)
		w.armed = true
	}
}

// add adds a probe that was sent now.
func (w *waiting) add(p *probe, now time.Time) {
	p.due = now.Add(w.period)
	w.probes[p.position()] = p
	w.count.Set(float64(len(w.probes)))
	if w.first > len(w.queue)/2 {
		kept := copy(w.queue, w.queue[w.first:])
		clear(w.queue[kept:])
		w.queue, w.first = w.queue[:kept], 0
	}
	w.queue = append(w.queue, p)
}

// at returns the probe for a position, nil if none waits.
func (w *waiting) at(at position) *probe { return w.probes[at] }

// answered removes the probe for a position, if one with this seq and cookie waits; nil
// otherwise.
func (w *waiting) answered(at position, seq uint16, cookie uint64) *probe {
	p, ok := w.probes[at]
	if !ok || p.seq != seq || p.cookie != cookie {
		return nil
	}
	p.done = true
	delete(w.probes, at)
	w.count.Set(float64(len(w.probes)))
	return p
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

// pop removes the oldest probe; there must be one.
func (w *waiting) pop() *probe {
	p := w.oldest()
	w.queue[w.first] = nil
	w.first++
	delete(w.probes, p.position())
	w.count.Set(float64(len(w.probes)))
	return p
}
