package bench

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/schemas"
)

// arrivals records when a NATS subscriber received the alerts of frames, which are
// numbered from 0.
type arrivals struct {
	end func()

	mu      sync.Mutex
	left    []time.Time // right before the frame was sent
	arrived []time.Time // zero: not yet
	missing int
	again   int
	alert   schemas.Alert
	event   schemas.Event
}

// expect subscribes to the alerts of a number of frames.
func (s *system) expect(frames int) *arrivals {
	s.Helper()
	a := &arrivals{left: make([]time.Time, frames), arrived: make([]time.Time, frames), missing: frames}
	sub := s.subscribe(schemas.SubjectAlerts, a.arrives)
	a.end = func() { sub.Unsubscribe() }
	return a
}

// leaves records that a frame is being sent.
func (a *arrivals) leaves(number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left[number] = time.Now()
}

func (a *arrivals) arrives(data []byte) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if json.Unmarshal(data, &a.alert) != nil {
		return
	}
	n, ok := alerted(&a.alert, &a.event)
	switch {
	case !ok || int(n) >= len(a.left) || a.left[n].IsZero():
	case !a.arrived[n].IsZero():
		a.again++
	default:
		a.arrived[n] = now
		a.missing--
	}
}

func (a *arrivals) complete() bool {
	missing, _ := a.outcome()
	return missing == 0
}

// outcome returns the numbers of missing alerts and of repeated alerts.
func (a *arrivals) outcome() (missing, again int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing, a.again
}

// took returns the times from frames to their alerts.
func (a *arrivals) took() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for n, at := range a.arrived {
		if !at.IsZero() {
			took = append(took, at.Sub(a.left[n]))
		}
	}
	return took
}

// addArrivals adds the numbers of missing and repeated alerts.
func (r *run) addArrivals(a *arrivals) {
	missing, again := a.outcome()
	r.add(figure.Figure{Name: "frames that alert", Value: float64(len(a.left)), Unit: figure.Count})
	r.add(figure.Figure{Name: "alerts that never came", Value: float64(missing), Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "alerts that came again", Value: float64(again), Unit: figure.Count, Target: figure.Exactly(0)})
}
