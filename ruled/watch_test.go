package ruled

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// ticking has ruled's seconds pass when the test says so.
func (f *fixture) ticking() (pass func(n int)) {
	ticks := make(chan time.Time)
	f.ticks = func(partition int) <-chan time.Time {
		if partition == schemas.Partition("r1") {
			return ticks
		}
		return nil
	}
	return func(n int) {
		for range n {
			ticks <- time.Time{}
		}
	}
}

// frame publishes a frame and waits until it is evaluated, and with it what came before.
func (f *fixture) frame(t *testing.T, n, now int) {
	t.Helper()
	e := solicitation(n)
	e.Time = corpus.At(now)
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
	f.publish(t, corpus.Heartbeat(1, 0, 0))
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
	f.publish(t, corpus.Heartbeat(3, 60, 60))
	f.publish(t, solicitation(4))
	f.wantAlert(t, "h3.not-watching", "from 2026-11-25T10:00:01Z to 2026-11-25T10:01:00Z")
	if a := f.wantAlert(t, "h3.sensor-back", "silent since 2026-11-25T10:00:01Z"); a.Severity != schemas.Info {
		t.Errorf("%+v", a)
	}
	f.wantAlerts(t, "e4.all-ns")
	f.publish(t, corpus.Heartbeat(5, 60, 70, corpus.Stopped))
	f.frame(t, 6, 71)
	pass(8)
	f.wantAlert(t, "h5.sensor-lost", "stopped at 2026-11-25T10:01:10Z")
	if n := f.counter(t, "nd_ruled_events_total"); n != 3 {
		t.Errorf("%v events are counted, want the 3 frames", n)
	}
}

// A clock is compared with that of the server which stores the heartbeats.
func TestClockIsOff(t *testing.T) {
	f := start(t, testRules)
	f.config.RelayTTL = 3 * time.Second
	f.run(t)
	e := corpus.Heartbeat(1, 0, 0)
	e.Time = time.Now().Add(time.Hour)
	f.publish(t, e)
	if a := f.wantAlert(t, "h1.clock-off", "ahead of that of the NATS server"); a.Severity != schemas.Warning {
		t.Errorf("%+v", a)
	}
}

// A pinger is watched as a sensor is, and the status lists who is silent.
func TestPingerIsLost(t *testing.T) {
	f := start(t, testRules)
	var describe []func(*schemas.DaemonStatus)
	f.status = func(d func(*schemas.DaemonStatus)) { describe = append(describe, d) }
	pass := f.ticking()
	f.run(t)
	beat := func(n, started, now int) *schemas.Event {
		e := corpus.Heartbeat(n, started, now)
		e.Sensor, e.Pinger = nil, e.Sensor
		return e
	}
	f.publish(t, beat(1, 0, 0))
	f.frame(t, 2, 1)
	pass(8)
	f.wantAlert(t, "h1.pinger-lost", "it relays nothing")
	var got schemas.DaemonStatus
	for _, d := range describe {
		d(&got)
	}
	if diff := cmp.Diff([]schemas.SilentPart{{Host: "r1", Part: "pinger", Heard: corpus.At(0)}}, got.Silent); diff != "" || !got.Newest.Equal(corpus.At(1)) {
		t.Errorf("newest event at %v, silent: %s", got.Newest, diff)
	}
	f.publish(t, beat(3, 60, 60))
	f.wantAlert(t, "h3.pinger-back", "silent since 2026-11-25T10:00:00Z")
}

// No sensor is silent while ruled cannot hear it.
func TestSensorIsNotLostWithNATS(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	f.run(t)
	f.publish(t, corpus.Heartbeat(1, 0, 0))
	f.frame(t, 2, 1)
	port := f.server.Addr().(*net.TCPAddr).Port
	bustest.Stop(f.server)
	waitFor(t, "ruled notices", func() bool { return !f.ruled.Connected() })
	pass(100)
	f.server = bustest.Start(t, f.dir, port)
	<-f.reading
	pass(6)
	waitFor(t, "the test is connected", f.conn.Connected)
	f.publish(t, corpus.Heartbeat(3, 0, 100))
	f.frame(t, 4, 101) // and no other alert before it
}

// Nor is one whose events are stored and not evaluated yet.
func TestSensorIsNotLostInABacklog(t *testing.T) {
	f := start(t, testRules)
	pass := f.ticking()
	f.run(t)
	f.publish(t, corpus.Heartbeat(1, 0, 0))
	f.frame(t, 2, 1)
	js := f.conn.JetStream()
	if _, err := js.PauseConsumer(testContext(t), schemas.StreamEvents, stateOf, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.publish(t, corpus.Heartbeat(3, 0, 2))
	pass(8)
	if _, err := js.ResumeConsumer(testContext(t), schemas.StreamEvents, stateOf); err != nil {
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
	f.publish(t, corpus.Heartbeat(1, 0, 0))
	f.frame(t, 5, 1)
	f.requestState(t)
	stored := f.storedState(t)
	f.publish(t, corpus.Heartbeat(2, 60, 60))
	f.wantAlerts(t, "h2.not-watching")
	pass(8)
	f.wantAlerts(t, "h2.sensor-lost")
	// One that is on its way would come again to the test's plain subscription.
	f.requestState(t)
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
	f.publish(t, corpus.Heartbeat(4, 90, 90))
	f.wantAlert(t, "h4.not-watching", "from 2026-11-25T10:01:01Z to 2026-11-25T10:01:30Z")
	f.wantAlert(t, "h4.sensor-back", "silent since")
}

// What a frame has changed, and what was reported, is stored before long; a heartbeat alone is not worth it.
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
			info, err := store.GetInfo(testContext(t), stateOf)
			if err != nil || info.NUID == last {
				return false
			}
			last = info.NUID
			return true
		})
		head, err := state.Read(testContext(t), f.conn.JetStream(), stateOf, func(link.State) error { return nil })
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
	f.publish(t, corpus.Heartbeat(2, 0, 0))
	waitFor(t, "the sensor is known", func() bool { return f.counter(t, "nd_ruled_sensors") == 1 })
	pass(8)
	f.wantAlerts(t, "h2.sensor-lost")
	stored(2, true)
	f.publish(t, corpus.Heartbeat(3, 0, 30))
	f.wantAlerts(t, "h3.sensor-back")
	stored(3, false)
}

// While it learns, ruled reports nothing of sensors.
func TestLearnIgnoresHeartbeats(t *testing.T) {
	f := start(t, testRules)
	f.learn(t, corpus.Heartbeat(1, 0, 0, corpus.Before(-9)), corpus.Heartbeat(2, 60, 60), advertisement(3, "fe80::1"))
	if msg, err := f.alerts.NextMsg(0); err != nats.ErrTimeout {
		t.Errorf("%v, %+v", err, msg)
	}
}
