package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// unwatched reads from an alert not-watching from when to when nothing was
// watched.
func unwatched(t *testing.T, a alert) (from, to time.Time) {
	t.Helper()
	m := regexp.MustCompile(`^` + regexp.QuoteMeta(a.Host) + ` was not watched from (\S+) to (\S+):`).FindStringSubmatch(a.Description)
	if a.Rule != "not-watching" || a.Severity != "warning" || m == nil {
		t.Fatalf("alert %s, %s: %s; want not-watching", a.ID, a.Severity, a.Description)
	}
	times := [2]time.Time{}
	for i := range times {
		var err error
		if times[i], err = time.Parse(time.RFC3339, m[1+i]); err != nil {
			t.Fatal(err)
		}
	}
	return times[0], times[1]
}

// An ndmon that was killed did not watch until the next one did, which says so
// before anything else. One that was stopped was not meant to.
func TestNdmonIsKilled(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := t.TempDir()
	wire := r.Upstream.Wire("eth0")
	begin := func(n int) *lab.Process {
		p := monitor(t, r, "--data", data)
		wire.Send(numbered(n))
		return p
	}
	p := begin(0)
	p.Stdout.WaitFor("ra-lifetime-zero")
	for n := range 3 {
		p.Kill()
		killed := time.Now()
		p = begin(1 + n)
		watching := time.Now()
		p.Stdout.WaitFor(fmt.Sprintf(`"reachabletimer":%d,`, 1+n))
		got := printed(t, p)
		from, to := unwatched(t, got[0])
		// Both are whole seconds, and the file's time may be one and a bit old.
		if from.Before(killed.Add(-5*time.Second)) || from.After(killed) || to.Before(killed.Add(-time.Second)) || to.After(watching) {
			t.Errorf("%s\nkilled %v, watching %v", got[0].Description, killed, watching)
		}
		// The last alert of the one that was killed may come again, if it was written and
		// that was not noted yet.
		got = slices.DeleteFunc(got[1:], func(a alert) bool { return numberOf(t, a) == n })
		if len(got) != 1 || numberOf(t, got[0]) != 1+n {
			t.Errorf("alerts: %+v", got)
		}
	}
	stop(t, p)
	if left, err := os.Stat(filepath.Join(data, "watching")); err == nil {
		t.Errorf("a file is left behind: %v", left)
	}
	p = begin(9)
	p.Stdout.WaitFor("ra-lifetime-zero")
	if got := printed(t, p); len(got) != 1 || numberOf(t, got[0]) != 9 {
		t.Errorf("alerts after an end in order: %+v", got)
	}
}

// The sensor of a router that is killed raises an alert, and another when it is back.
func TestSensorIsKilled(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	nc := connect(t, r.Namespace, localNATS)
	startRuled(r.Namespace)
	alerts, heartbeats := collect(t, nc, "nd.alerts"), collect(t, nc, "nd.events.r1.=.other")
	begin := func() *lab.Process { return startSensor(r, "SENSOR_HEARTBEAT=1s") }
	expect := func(rule, severity string) alert {
		t.Helper()
		m := next(t, alerts, "the alert "+rule)
		a := parseAlert(t, m.Data)
		if a.Rule != rule || a.Severity != severity || a.Host != "r1" || a.Interface != "" || a.Event.Sensor == nil {
			t.Fatalf("%s; want %s", m.Data, rule)
		}
		fits := messageSchemas(t)["nd.alert.v1"]
		if doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data)); err != nil {
			t.Error(err)
		} else if err := fits.Validate(doc); err != nil {
			t.Errorf("%v\n%s", err, m.Data)
		}
		return a
	}
	p := begin()
	started := parse[event](t, next(t, heartbeats, "the first heartbeat").Data).Sensor.Started
	next(t, heartbeats, "the second heartbeat")
	killed := time.Now()
	p.Kill()
	lost := expect("sensor-lost", "warning")
	if lost.Event.Sensor.Started != started {
		t.Errorf("%s is lost, want the sensor of %s", lost.Event.Sensor.Started, started)
	}
	p = begin()
	from, to := unwatched(t, expect("not-watching", "warning"))
	if from.Before(killed.Add(-5*time.Second)) || from.After(time.Now()) || to.Before(killed.Add(time.Second)) || to.After(time.Now()) {
		t.Errorf("not watched from %v to %v, killed %v", from, to, killed)
	}
	expect("sensor-back", "info")
	stop(t, p)
	if a := expect("sensor-lost", "warning"); !regexp.MustCompile(` was stopped at \S+Z:`).MatchString(a.Description) {
		t.Errorf("%s", a.Description)
	}
	begin()
	expect("sensor-back", "info")
	wire := r.Upstream.Wire("eth0")
	wire.Send(numbered(1))
	if a := parseAlert(t, next(t, alerts, "the alert for a frame").Data); numberOf(t, a) != 1 {
		t.Errorf("%+v", a)
	}
}
