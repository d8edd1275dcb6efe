package ruled

import (
	"container/list"
	"context"
	"fmt"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// The ids of the alerts about sensors, which no rule raises either: a gap in
// watching must not be a silence.
const (
	notWatching = "not-watching"
	sensorLost  = "sensor-lost"
	sensorBack  = "sensor-back"
)

const (
	// maxSensors bounds how many hosts' sensors are known.
	maxSensors = 10_000
	// tickInterval is the time between two ticks of sensors.
	tickInterval = time.Second
	// missedHeartbeats is after how many intervals without an event a sensor is
	// silent.
	missedHeartbeats = 3
	// settleTimeout bounds how long the events that are stored may take to be
	// evaluated, before a sensor is called silent.
	settleTimeout = 2 * time.Second
)

// sensors knows of each host's sensor that publishes heartbeats when it was
// heard last. Its time passes by ticks, so that an event costs a look-up and no
// clock.
type sensors struct {
	hosts map[string]*list.Element // of order, by host
	order *list.List               // of *Watched, the last heard first
	// now counts the ticks. Since the one at since, ruled hears what sensors
	// publish.
	now, since uint64
	silent     int // sensors that were reported as lost and are not back
	evicted    uint64
}

// Watched is the state of a host's sensor, as ruled knows it.
type Watched struct {
	// Heartbeat is the last one, in the event's members that every one has.
	Heartbeat schemas.Event `json:"heartbeat"`
	// Former is when the sensor before this one began to watch.
	Former time.Time `json:"former,omitzero"`
	// Heard is the time of the last event of the host.
	Heard time.Time `json:"heard"`
	// Silent is since when it is silent, if it was reported as lost; nil if it is
	// heard.
	Silent *time.Time `json:"silent,omitempty"`

	tick uint64 // of sensors.now when it was heard
}

// notice is an alert about a sensor.
type notice struct {
	rule        string
	severity    schemas.Severity
	description string
}

func newSensors() *sensors {
	return &sensors{hosts: map[string]*list.Element{}, order: list.New()}
}

// heard notes that a host has published an event, if it ever had a heartbeat.
func (s *sensors) heard(e *schemas.Event) {
	at, ok := s.hosts[e.Host]
	if !ok {
		return
	}
	w := at.Value.(*Watched)
	w.Heard, w.tick = e.Time, s.now
	s.order.MoveToFront(at)
}

// heartbeat notes a heartbeat and returns what is to be reported.
func (s *sensors) heartbeat(e *schemas.Event) []notice {
	state, before := *e.Sensor, e.Sensor.Before
	state.Before = nil // the reader uses its memory again
	heartbeat := schemas.Event{Type: e.Type, ID: e.ID, Time: e.Time, Host: e.Host, Direction: e.Direction, Sensor: &state}
	at, known := s.hosts[e.Host]
	if !known {
		s.add(&Watched{Heartbeat: heartbeat, Heard: e.Time})
		if before == nil {
			return nil
		}
		return []notice{gap(e.Host, *before, state.Started)}
	}
	w := at.Value.(*Watched)
	was, heard := w.Heartbeat.Sensor, w.Heard
	w.Heartbeat = heartbeat
	s.heard(e)

	var notices []notice
	if !state.Started.Equal(was.Started) {
		// Where two sensors share a host's name, they take turns.
		another := !state.Started.Equal(w.Former)
		w.Former = was.Started
		if another && (before != nil || !was.Stopped) {
			if before != nil && before.After(heard) {
				heard = *before
			}
			notices = append(notices, gap(e.Host, heard, state.Started))
		}
	}
	if w.Silent != nil {
		notices = append(notices, notice{sensorBack, schemas.Info,
			fmt.Sprintf("the sensor of %s is heard again, it was silent since %s", e.Host, stamp(*w.Silent))})
		w.Silent = nil
		s.silent--
	}
	return notices
}

// gap says that a host was not watched.
func gap(host string, from, to time.Time) notice {
	when := "from " + stamp(from) + " to " + stamp(to)
	if from.After(to) {
		when = "before " + stamp(to) + " (its clock was set back: it was heard last at " + stamp(from) + ")"
	}
	return notice{notWatching, schemas.Warning,
		fmt.Sprintf("%s was not watched %s: the sensor ended without notice; frames in that time were not seen", host, when)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// add adds a sensor as the last one heard. If there are too many, that which has
// been silent for longest is forgotten.
func (s *sensors) add(w *Watched) {
	if s.order.Len() == maxSensors {
		oldest := s.order.Remove(s.order.Back()).(*Watched)
		delete(s.hosts, oldest.Heartbeat.Host)
		if oldest.Silent != nil {
			s.silent--
		}
		s.evicted++
	}
	w.tick = s.now
	s.hosts[w.Heartbeat.Host] = s.order.PushFront(w)
}

// tick lets a second pass.
func (s *sensors) tick() { s.now++ }

// deaf notes that ruled may not hear the sensors: none is silent before it could
// be heard for long enough.
func (s *sensors) deaf() { s.since = s.now }

// fallen returns the sensors that are silent now and not reported as lost.
func (s *sensors) fallen() []*Watched {
	var fallen []*Watched
	for at := s.order.Front(); at != nil; at = at.Next() {
		w := at.Value.(*Watched)
		if w.Silent == nil && s.now-max(w.tick, s.since) > missedHeartbeats*max(1, uint64(w.Heartbeat.Sensor.Interval)) {
			fallen = append(fallen, w)
		}
	}
	return fallen
}

// lost notes that a sensor was reported as lost.
func (s *sensors) lost(w *Watched) {
	since := w.Heard
	w.Silent = &since
	s.silent++
}

// loss says that a sensor is silent.
func (w *Watched) loss() string {
	if w.Heartbeat.Sensor.Stopped {
		return fmt.Sprintf("the sensor of %s was stopped at %s: its frames are not seen", w.Heartbeat.Host, stamp(w.Heartbeat.Time))
	}
	return fmt.Sprintf("the sensor of %s is silent since %s: it has ended without notice, or does not reach NATS; its frames are not seen",
		w.Heartbeat.Host, stamp(w.Heard))
}

// state returns what is known of the sensors, the longest silent first.
func (s *sensors) state() []Watched {
	var all []Watched
	for at := s.order.Back(); at != nil; at = at.Prev() {
		all = append(all, *at.Value.(*Watched))
	}
	return all
}

// restore adds what state has returned. Each sensor has its full time to be
// heard.
func (s *sensors) restore(all []Watched) {
	for i := range all {
		w := &all[i]
		if _, twice := s.hosts[w.Heartbeat.Host]; twice || w.Heartbeat.Sensor == nil {
			continue
		}
		s.add(w)
		if w.Silent != nil {
			s.silent++
		}
	}
}

// watchSensors raises an alert for each sensor that falls silent.
func (e *evaluation) watchSensors(ctx context.Context, ticks <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
		}
		e.mu.Lock()
		e.sensors.tick()
		if !e.reading || !e.conn.Connected() {
			e.sensors.deaf()
		}
		fallen := len(e.sensors.fallen())
		e.mu.Unlock()
		if fallen == 0 {
			continue
		}
		// Events of theirs may be stored and not evaluated yet.
		err := e.settle(ctx)
		e.mu.Lock()
		if err != nil {
			e.log.Debug("sensors are silent, but not everything is evaluated", "sensors", fallen, "error", err)
			e.sensors.deaf()
		} else {
			err = e.reportLost(ctx)
		}
		e.mu.Unlock()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// settle waits until all events that are stored now are evaluated.
func (e *evaluation) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	consumer, err := e.makeConsumer(ctx)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	newest := info.Delivered.Consumer + info.NumPending
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !e.evaluated(newest) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for event %d of the consumer: %w", newest, context.Cause(ctx))
		case <-ticker.C:
		}
	}
	return nil
}

// reportLost raises an alert for each sensor that has fallen silent. It is called
// with mu held.
func (e *evaluation) reportLost(ctx context.Context) error {
	for _, w := range e.sensors.fallen() {
		heartbeat := &w.Heartbeat
		if err := e.alert(ctx, heartbeat, heartbeat.AppendJSON(nil), sensorLost, schemas.Warning, w.loss(), 1); err != nil {
			return err
		}
		e.sensors.lost(w)
		e.changed = true
	}
	return nil
}

// evaluated reports whether the consumer's event with a number was evaluated.
func (e *evaluation) evaluated(delivery uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last.delivery >= delivery
}
