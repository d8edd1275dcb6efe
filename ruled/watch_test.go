package ruled

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// at is a time of the tests.
func at(seconds int) time.Time {
	return time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// beat returns the n-th of a sensor that began to watch at a time, with an
// interval of 2 s.
func beat(n, started, now int, edit ...func(*schemas.SensorState)) *schemas.Event {
	e := &schemas.Event{
		Type: schemas.TypeEvent, ID: fmt.Sprintf("h%d", n), Time: at(now), Host: "r1", Direction: schemas.In,
		Sensor: &schemas.SensorState{Started: at(started), Interval: 2},
	}
	for _, f := range edit {
		f(e.Sensor)
	}
	return e
}

func stopped(s *schemas.SensorState) { s.Stopped = true }

func before(seconds int) func(*schemas.SensorState) {
	return func(s *schemas.SensorState) { t := at(seconds); s.Before = &t }
}

// What is reported, of heartbeats in their order.
func TestSensorsReport(t *testing.T) {
	const (
		gap  = "not-watching: r1 was not watched from %s to %s: the sensor ended without notice; frames in that time were not seen"
		back = "sensor-back: the sensor of r1 is heard again, it was silent since %s"
	)
	said := func(format string, seconds ...int) string {
		var times []any
		for _, s := range seconds {
			times = append(times, at(s).Format(time.RFC3339))
		}
		return fmt.Sprintf(format, times...)
	}
	frame := func(now int) *schemas.Event { return &schemas.Event{Host: "r1", Time: at(now)} }
	var silence *schemas.Event // the sensor is reported as lost
	for name, tc := range map[string]struct {
		events []*schemas.Event
		want   []string
	}{
		"the first sensor":              {[]*schemas.Event{beat(1, 0, 0), beat(2, 0, 2)}, nil},
		"stopped and started":           {[]*schemas.Event{beat(1, 0, 0), beat(2, 0, 3, stopped), beat(3, 9, 9)}, nil},
		"killed and started":            {[]*schemas.Event{beat(1, 0, 0), beat(2, 9, 9), beat(3, 9, 11)}, []string{said(gap, 0, 9)}},
		"killed behind a frame":         {[]*schemas.Event{beat(1, 0, 0), frame(3), beat(2, 9, 9)}, []string{said(gap, 3, 9)}},
		"frames without heartbeats":     {[]*schemas.Event{frame(0), beat(1, 9, 9)}, nil},
		"the host knows":                {[]*schemas.Event{beat(1, 9, 9, before(5))}, []string{said(gap, 5, 9)}},
		"the host knows better":         {[]*schemas.Event{beat(1, 0, 0), beat(2, 9, 9, before(5))}, []string{said(gap, 5, 9)}},
		"the host knows less":           {[]*schemas.Event{beat(1, 0, 0), frame(7), beat(2, 9, 9, before(5))}, []string{said(gap, 7, 9)}},
		"the host knows of another one": {[]*schemas.Event{beat(1, 0, 0, stopped), beat(2, 9, 9, before(5))}, []string{said(gap, 5, 9)}},
		"killed twice": {[]*schemas.Event{beat(1, 0, 0), beat(2, 9, 9), beat(3, 20, 20)},
			[]string{said(gap, 0, 9), said(gap, 9, 20)}},
		"two of one name": {[]*schemas.Event{beat(1, 0, 0), beat(2, 9, 9), beat(3, 0, 10), beat(4, 9, 11), beat(5, 0, 12)},
			[]string{said(gap, 0, 9)}},
		"the clock was set back": {[]*schemas.Event{beat(1, 50, 50), beat(2, 9, 9)},
			[]string{said("not-watching: r1 was not watched before %s (its clock was set back: it was heard last at %s): the sensor ended without notice; frames in that time were not seen", 9, 50)}},
		"silent and back":   {[]*schemas.Event{beat(1, 0, 0), frame(1), silence, frame(19), beat(2, 0, 20), beat(3, 0, 22)}, []string{said(back, 1)}},
		"lost and replaced": {[]*schemas.Event{beat(1, 0, 0), silence, beat(2, 20, 20)}, []string{said(gap, 0, 20), said(back, 0)}},
		"stopped for long":  {[]*schemas.Event{beat(1, 0, 0, stopped), silence, beat(2, 20, 20)}, []string{said(back, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSensors()
			var got []string
			for _, e := range tc.events {
				switch {
				case e == silence:
					s.lost(s.order.Front().Value.(*Watched))
				case e.Sensor == nil:
					s.heard(e)
				default:
					for _, n := range s.heartbeat(e) {
						got = append(got, n.rule+": "+n.description)
					}
					*e.Sensor = schemas.SensorState{} // the reader uses its memory again
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// hosts returns the hosts of the sensors that have fallen silent.
func hosts(s *sensors) (names []string) {
	for _, w := range s.fallen() {
		names = append(names, w.Heartbeat.Host)
	}
	slices.Sort(names)
	return names
}

// A sensor has fallen silent when ruled could hear it for more than three
// intervals and has not.
func TestSensorsFallSilent(t *testing.T) {
	s := newSensors()
	of := func(host string, interval uint32) *schemas.Event {
		e := beat(1, 0, 0)
		e.Host, e.Sensor.Interval = host, interval
		return e
	}
	pass := func(ticks int) {
		for range ticks {
			s.tick()
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, hosts(s)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	s.heartbeat(of("r1", 2))
	s.heartbeat(of("r2", 10))
	s.heartbeat(of("r3", 0)) // no interval that a sensor has
	pass(3)
	check("after 3 s")
	pass(1)
	check("after 4 s", "r3")
	pass(2)
	check("after 6 s", "r3")
	pass(1)
	check("after 7 s", "r1", "r3")
	s.heard(&schemas.Event{Host: "r1"})
	check("when r1 is heard", "r3")
	s.deaf()
	check("when NATS is away")
	pass(4)
	check("after 4 s more", "r3")
	pass(3)
	check("after 7 s more", "r1", "r3")
	for _, w := range s.fallen() {
		s.lost(w)
	}
	check("when they are reported")
	if s.silent != 2 {
		t.Errorf("%d sensors are silent, want 2", s.silent)
	}

	again := newSensors()
	data, err := json.Marshal(s.state())
	if err != nil {
		t.Fatal(err)
	}
	var stored []Watched
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	again.restore(append(stored, stored[0], Watched{}))
	s = again
	if s.silent != 2 || s.order.Len() != 3 {
		t.Errorf("%d of %d sensors are silent in the state, want 2 of 3", s.silent, s.order.Len())
	}
	pass(30)
	check("30 s after the start")
	pass(1)
	check("31 s after the start", "r2")
	if got := s.heartbeat(of("r1", 2)); len(got) != 1 || got[0].rule != sensorBack || s.silent != 1 {
		t.Errorf("%+v, %d are silent", got, s.silent)
	}
}

// However many hosts there are, or are made up, few are known: those heard last.
func TestSensorsAreBounded(t *testing.T) {
	s := newSensors()
	for n := range maxSensors + 2 {
		e := beat(n, 0, 0)
		e.Host = fmt.Sprint(n)
		s.heartbeat(e)
		if n == 1 {
			s.lost(s.order.Front().Value.(*Watched))
		}
		s.heard(&schemas.Event{Host: "0"})
	}
	if len(s.hosts) != maxSensors || s.order.Len() != maxSensors || s.evicted != 2 || s.silent != 0 {
		t.Errorf("%d hosts, %d in order, %d evicted, %d silent", len(s.hosts), s.order.Len(), s.evicted, s.silent)
	}
	for host, want := range map[string]bool{"0": true, "1": false, "2": false, "3": true} {
		if _, known := s.hosts[host]; known != want {
			t.Errorf("host %s is known: %v", host, known)
		}
	}
}

func TestEventOfSensorDoesNotAllocate(t *testing.T) {
	s := newSensors()
	s.heartbeat(beat(1, 0, 0))
	e := &schemas.Event{Host: "r1", Time: at(1)}
	if n := testing.AllocsPerRun(100, func() { s.heard(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// ticking has ruled's seconds pass when the test says so.
func (f *fixture) ticking() (pass func(n int)) {
	ticks := make(chan time.Time)
	f.ticks = ticks
	return func(n int) {
		for range n {
			ticks <- time.Time{}
		}
	}
}

// frame publishes a frame and waits until it is evaluated, and with it what came
// before.
func (f *fixture) frame(t *testing.T, n, now int) {
	t.Helper()
	e := solicitation(n)
	e.Time = at(now)
	f.publish(t, e)
	f.wantAlerts(t, e.ID+".all-ns")
}

func (f *fixture) wantAlert(t *testing.T, id, word string) schemas.Alert {
	t.Helper()
	a := f.nextAlert(t)
	if a.ID != id || !strings.Contains(a.Description, word) {
		t.Errorf("alert %s: %s; want %s with %q", a.ID, a.Description, id, word)
	}
	return a
}

// A sensor that was killed is reported as lost; the next one as back, and that the
// host was not watched, before what it has seen.
func TestSensorIsLostAndBack(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	f.run(t)
	f.publish(t, beat(1, 0, 0))
	f.frame(t, 2, 1)
	pass(8)
	a := f.wantAlert(t, "h1.sensor-lost", "silent since 2026-11-25T10:00:01Z")
	var event schemas.Event
	if err := event.ParseJSON(a.Event); err != nil || event.Sensor == nil || a.Host != "r1" || a.Severity != schemas.Warning {
		t.Errorf("%v, %+v", err, a)
	}
	if n := f.counter(t, "nd_ruled_sensors"); n != 1 {
		t.Errorf("%v sensors", n)
	}
	f.publish(t, beat(3, 60, 60))
	f.publish(t, solicitation(4))
	f.wantAlert(t, "h3.not-watching", "from 2026-11-25T10:00:01Z to 2026-11-25T10:01:00Z")
	if a := f.wantAlert(t, "h3.sensor-back", "silent since 2026-11-25T10:00:01Z"); a.Severity != schemas.Info {
		t.Errorf("%+v", a)
	}
	f.wantAlerts(t, "e4.all-ns")
	f.publish(t, beat(5, 60, 70, stopped))
	f.frame(t, 6, 71)
	pass(8)
	f.wantAlert(t, "h5.sensor-lost", "stopped at 2026-11-25T10:01:10Z")
	if n := f.counter(t, "nd_ruled_events_total"); n != 3 {
		t.Errorf("%v events are counted, want the 3 frames", n)
	}
}

// No sensor is silent while ruled cannot hear it.
func TestSensorIsNotLostWithNATS(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	f.run(t)
	f.publish(t, beat(1, 0, 0))
	f.frame(t, 2, 1)
	port := f.server.Addr().(*net.TCPAddr).Port
	bustest.Stop(f.server)
	waitFor(t, "ruled notices", func() bool { return !f.ruled.Connected() })
	pass(100)
	f.server = bustest.Start(t, f.dir, port)
	<-f.reading
	pass(6)
	waitFor(t, "the test is connected", f.conn.Connected)
	f.publish(t, beat(3, 0, 100))
	f.frame(t, 4, 101) // and no other alert before it
}

// Nor is one whose events are stored and not evaluated yet.
func TestSensorIsNotLostInABacklog(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	f.run(t)
	f.publish(t, beat(1, 0, 0))
	f.frame(t, 2, 1)
	js := f.conn.JetStream()
	if _, err := js.PauseConsumer(testContext(t), schemas.StreamEvents, "ruled", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.publish(t, beat(3, 0, 2))
	pass(8)
	if _, err := js.ResumeConsumer(testContext(t), schemas.StreamEvents, "ruled"); err != nil {
		t.Fatal(err)
	}
	f.frame(t, 4, 3) // and no other alert before it
}

// An event that comes again, and a ruled that comes again, report a gap once; what
// is known of the sensors outlives a stop.
func TestSensorsOutliveAStop(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	stop := f.run(t)
	f.publish(t, beat(1, 0, 0))
	f.frame(t, 5, 1)
	if running, err := StoreState(testContext(t), f.conn.NATS(), "ruled"); err != nil || !running {
		t.Fatal(running, err)
	}
	stored := f.storedState(t)
	f.publish(t, beat(2, 60, 60))
	f.wantAlerts(t, "h2.not-watching")
	pass(8)
	f.wantAlerts(t, "h2.sensor-lost")
	// One that is on its way would come again to the test's plain subscription.
	if running, err := StoreState(testContext(t), f.conn.NATS(), "ruled"); err != nil || !running {
		t.Fatal(running, err)
	}
	if err := f.ruled.NATS().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	<-f.reading
	stop()

	f.putState(t, stored) // as it was when it was killed
	stop = f.run(t)
	repeated := func(n float64) {
		t.Helper()
		waitFor(t, "alerts that are not raised again", func() bool { return f.counter(t, "nd_ruled_alerts_repeated_total") == n })
	}
	repeated(1)
	pass(8)
	repeated(2)
	f.frame(t, 3, 61) // and no other alert before it
	stop()

	f.run(t)
	f.publish(t, beat(4, 90, 90))
	f.wantAlert(t, "h4.not-watching", "from 2026-11-25T10:01:01Z to 2026-11-25T10:01:30Z")
	f.wantAlert(t, "h4.sensor-back", "silent since")
}

// What a frame has changed, and what was reported, is stored before long; a
// heartbeat alone is not worth it.
func TestStateIsStoredWhenItChanges(t *testing.T) {
	f := start(t, testRules)
	f.config.StateInterval = 20 * time.Millisecond
	pass := f.ticking()
	f.run(t)
	last := ""
	stored := func(events uint64, silent ...bool) {
		t.Helper()
		waitFor(t, "another state is stored", func() bool {
			store, err := f.conn.JetStream().ObjectStore(testContext(t), schemas.BucketState)
			if err != nil {
				return false
			}
			info, err := store.GetInfo(testContext(t), "ruled")
			if err != nil || info.NUID == last {
				return false
			}
			last = info.NUID
			return true
		})
		head, err := ReadState(testContext(t), f.conn.JetStream(), "ruled", func(link.State) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		var got []bool
		for _, w := range head.Sensors {
			got = append(got, w.Silent != nil)
		}
		if diff := cmp.Diff(silent, got); diff != "" || head.Events != events {
			t.Errorf("the state is of %d events, want %d; sensors that are silent:\n%s", head.Events, events, diff)
		}
	}
	f.publish(t, solicitation(1))
	f.wantAlerts(t, "e1.all-ns")
	stored(1)
	f.publish(t, beat(2, 0, 0))
	waitFor(t, "the sensor is known", func() bool { return f.counter(t, "nd_ruled_sensors") == 1 })
	pass(8)
	f.wantAlerts(t, "h2.sensor-lost")
	stored(2, true)
	f.publish(t, beat(3, 0, 30))
	f.wantAlerts(t, "h3.sensor-back")
	stored(3, false)
}

// While it learns, ruled reports nothing of sensors.
func TestLearnIgnoresHeartbeats(t *testing.T) {
	f := start(t, testRules)
	f.learn(t, beat(1, 0, 0, before(-9)), beat(2, 60, 60), advertisement(3, "fe80::1"))
	if msg, err := f.alerts.NextMsg(0); err != nats.ErrTimeout {
		t.Errorf("%v, %+v", err, msg)
	}
}
