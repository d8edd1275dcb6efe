package sensor

import (
	"crypto/rand"
	"fmt"
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

// pendingLoss is what was lost on an interface and is not published yet.
type pendingLoss struct {
	encoder *encoder
	lost    schemas.Lost
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
	l.Log.Warn("frames were lost", "interface", iface, "kernel", kernel, "buffer", buffer)

	p, ok := l.pending[iface]
	if !ok {
		if len(l.pending) == maxPending {
			l.Log.Error("too many interfaces have lost frames: rules will not see that this one did", "interface", iface)
			return
		}
		p = &pendingLoss{
			encoder: newEncoder(origin{host: l.host, iface: iface, direction: schemas.In, marks: m}, l.metrics),
			lost:    schemas.Lost{Since: l.since},
		}
		l.pending[iface] = p
	}
	p.lost.Kernel += kernel
	p.lost.Buffer += buffer
	p.lost.Until = l.Now().UTC()
}

// publish publishes what is pending, as far as the publisher's queue has space.
func (l *losses) publish() {
	for iface, p := range l.pending {
		subject, data := p.encoder.lost(&p.lost)
		if l.Publisher.TryPublish(subject, "", data) {
			l.metrics.published.Inc()
			delete(l.pending, iface)
		}
	}
}

// heartbeat publishes that the sensor captures. They go through the same publisher as
// the events, which keeps both in order.
type heartbeat struct {
	*session
	state   schemas.SensorState
	subject string
	id      string // of the run; with a number it is the id of a heartbeat
	count   int
	// queued says that one was published after the connection was lost.
	queued bool
}

func newHeartbeat(s *session) *heartbeat {
	h := &heartbeat{
		session: s, subject: schemas.EventSubject(s.host, "", schemas.KindOther), id: rand.Text()[:16],
		state: schemas.SensorState{Interval: uint32((s.config.Heartbeat + time.Second - 1) / time.Second)},
	}
	if !s.Before.IsZero() {
		before := s.Before.UTC()
		h.state.Before = &before
	}
	return h
}

// start publishes the first heartbeat, and returns a channel that receives when the next are due.
func (h *heartbeat) start() (due <-chan time.Time, stop func()) {
	if h.config.Heartbeat == 0 {
		return nil, func() {}
	}
	h.state.Started = h.Now().UTC()
	h.beat()
	ticker := time.NewTicker(h.config.Heartbeat)
	return ticker.C, ticker.Stop
}

// beat publishes a heartbeat. While NATS is away one is enough.
func (h *heartbeat) beat() {
	away := !h.Connected()
	if away && h.queued {
		return
	}
	h.queued = away
	h.publish()
}

// end publishes that the sensor ends in order.
func (h *heartbeat) end() {
	if h.count == 0 {
		return
	}
	h.state.Stopped = true
	h.publish()
}

func (h *heartbeat) publish() {
	h.count++
	if h.count > 1 {
		h.state.Before = nil // it is reported once
	}
	e := schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprintf("%s-%d", h.id, h.count), Time: h.Now().UTC(),
		Host: h.host, Direction: schemas.In, Sensor: &h.state,
	}
	// If the queue is full, its events show as well that the sensor captures.
	h.Publisher.TryPublish(h.subject, "", e.AppendJSON(nil))
}
