package sensor

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// heartbeat publishes that the sensor captures. It goes the way of the events, which keeps both in order.
type heartbeat struct {
	*session
	state schemas.Heartbeat
	id    string // of the run; with a number it is the id of a heartbeat
	count int
	// queued says that one was published after the connection was lost.
	queued bool
}

func newHeartbeat(s *session) *heartbeat {
	h := &heartbeat{
		session: s, id: rand.Text()[:16],
		state: schemas.Heartbeat{Interval: uint32((s.config.Heartbeat + time.Second - 1) / time.Second)},
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
	h.Pass(&e) // if the queue is full, its events show as well that the sensor captures
}
