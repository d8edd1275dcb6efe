package hostroute

import (
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

// queue holds targets until their time comes. All wait equally long, so it is in the order
// of the times. It is bounded like the events.
type queue []waiting

type waiting struct {
	target netip.Addr
	on     *port.Port
	due    time.Time
}

// push reports whether there was space.
func (q *queue) push(target netip.Addr, on *port.Port, due time.Time) bool {
	if len(*q) == maxEvents {
		return false
	}
	*q = append(*q, waiting{target, on, due})
	return true
}

// next returns when the first is due.
func (q *queue) next() (due time.Time, ok bool) {
	if len(*q) == 0 {
		return due, false
	}
	return (*q)[0].due, true
}

// pop removes the first, if it is due.
func (q *queue) pop(now time.Time) (first waiting, ok bool) {
	if len(*q) == 0 || now.Before((*q)[0].due) {
		return first, false
	}
	first = (*q)[0]
	*q = (*q)[1:]
	return first, true
}
