//go:build linux

package sensor

import (
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// maxUntold bounds how many interfaces' losses wait to be told: on a host where
// interfaces come and go with new names while NATS is away, there is no other
// bound.
const maxUntold = 1024

// losses adds up, for each interface, what was lost until ruled could be told.
type losses struct {
	*sensor
	untold map[string]*untold
	// since is when the losses were last counted.
	since time.Time
}

// untold is what was lost on an interface.
type untold struct {
	encoder *encoder
	lost    schemas.Lost
}

func newLosses(s *sensor) *losses {
	return &losses{sensor: s, untold: map[string]*untold{}, since: s.Now().UTC()}
}

// add logs and counts what was lost on an interface since the last period began.
func (l *losses) add(iface string, m marks, kernel, buffer uint64) {
	if kernel == 0 && buffer == 0 {
		return
	}
	l.metrics.droppedByOS.Add(float64(kernel)) // buffer was counted when it was lost
	l.Log.Warn("frames were lost", "interface", iface, "kernel", kernel, "buffer", buffer)

	u, ok := l.untold[iface]
	if !ok {
		if len(l.untold) == maxUntold {
			l.Log.Error("too many interfaces have lost frames: rules will not see that this one did", "interface", iface)
			return
		}
		u = &untold{
			encoder: newEncoder(origin{host: l.host, iface: iface, direction: schemas.In, marks: m}, l.metrics),
			lost:    schemas.Lost{Since: l.since},
		}
		l.untold[iface] = u
	}
	u.lost.Kernel += kernel
	u.lost.Buffer += buffer
	u.lost.Until = l.Now().UTC()
}

// tell publishes what has not been told, as far as there is room.
func (l *losses) tell() {
	for iface, u := range l.untold {
		subject, data := u.encoder.lost(&u.lost)
		if l.Publisher.TryPublish(subject, "", data) {
			l.metrics.published.Inc()
			delete(l.untold, iface)
		}
	}
}

// period begins a new period.
func (l *losses) period() { l.since = l.Now().UTC() }
