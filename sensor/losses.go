package sensor

import (
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// maxPending bounds how many interfaces have losses that are not published yet. There is no other
// bound on a host where interfaces come and go with new names while NATS is away.
const maxPending = 1024

// losses adds up, for each interface, the frames that were lost until they can be published.
type losses struct {
	*session
	pending map[string]*pendingLoss
	since   time.Time
}

// pendingLoss counts the frames lost on an interface that are not published yet.
type pendingLoss struct {
	maker *maker
	lost  schemas.Lost
}

func newLosses(s *session) *losses {
	return &losses{session: s, pending: map[string]*pendingLoss{}, since: s.Now().UTC()}
}

// add logs and counts what was lost on an interface in the current period.
func (l *losses) add(iface string, m marks, kernel, buffer uint64) {
	if kernel == 0 && buffer == 0 {
		return
	}
	l.metrics.droppedByOS.Add(float64(kernel)) // buffer was counted when it was lost
	l.lost.Add(kernel + buffer)
	l.lastLost.Store(new(l.Now().UTC()))
	l.Log.Warn("frames were lost", "interface", iface, "kernel", kernel, "buffer", buffer)

	p, ok := l.pending[iface]
	if !ok {
		if len(l.pending) == maxPending {
			l.Log.Error("too many interfaces have lost frames: rules will not see that this one did", "interface", iface)
			return
		}
		p = &pendingLoss{
			maker: newMaker(origin{host: l.host, iface: iface, direction: schemas.In, marks: m}, l.metrics),
			lost:  schemas.Lost{Since: l.since},
		}
		l.pending[iface] = p
	}
	p.lost.Kernel += kernel
	p.lost.Buffer += buffer
	p.lost.Until = l.Now().UTC()
}

// publish passes on what is pending: what can be stored, as far as the publisher's queue has space.
func (l *losses) publish() {
	for iface, p := range l.pending {
		if stored := l.Pass(p.maker.lost(&p.lost)); stored || l.Judge != nil {
			l.metrics.published.Inc()
			delete(l.pending, iface)
		}
	}
}
