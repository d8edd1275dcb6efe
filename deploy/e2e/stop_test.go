package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// atOnce is how long ndmon may take to end, on a machine as busy as any.
const atOnce = 10 * time.Second

func interrupt(t *testing.T, p *lab.Process) {
	t.Helper()
	interrupted := time.Now()
	p.Signal(syscall.SIGINT)
	exits(t, p, 0)
	if took := time.Since(interrupted); took > atOnce {
		t.Errorf("it took %v to end", took)
	}
}

// Ctrl-C ends ndmon at once, and what came just before it is still alerted on.
func TestInterruptLosesNothing(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := t.TempDir()
	p := monitor(t, r, "--data", data)
	const frames = 500
	wire := r.Upstream.Wire("eth0")
	for n := range frames {
		wire.Send(numbered(n))
	}
	interrupt(t, p)
	exactlyOnce(t, "standard output", frames, printed(t, p))

	// The alerts are still there for who comes later; those printed once are
	// not printed again.
	p = monitor(t, r, "--data", data)
	exactlyOnce(t, "stream", frames, storedAlerts(t, connect(t, r.Namespace, localNATS)))
	p.Stop()
	if lines := p.Stdout.Lines(); len(lines) > 0 {
		t.Errorf("the next ndmon printed %d alerts of the first", len(lines))
	}
}

// A second Ctrl-C, or a closed pipe, must not be needed: ndmon ends while
// nothing is captured, and while it pings.
func TestInterruptWhilePinging(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	p := startRelay(t, r)
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.*")
	r.Solicit(lab.UnusedAddress)
	r.Solicit(lab.Host1Address)
	next(t, results, "the first result")
	interrupt(t, p)
	// The routing rules that were made for the pings are gone.
	rules, err := r.Netlink.RuleList(syscall.AF_INET6)
	must(t, err)
	for _, rule := range rules {
		if rule.OifName != "" {
			t.Errorf("a routing rule is left: %v", rule)
		}
	}
}

// With -d ndmon goes to the background once it works, and goes on there. A file has its process id.
// With -l off it has no log.
func TestDaemon(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	dir := t.TempDir()
	p := r.Start(lab.Command{
		Path: "/bin/sh", Args: []string{"-c", `exec "$0" -d -i ` + lab.Master + ` --data data --pid-file pid -l off >alerts 2>log`, program("ndmon").Path}, Dir: dir,
		Env: program("ndmon").Env,
	})
	status := p.Wait()
	log := readFile(t, filepath.Join(dir, "log"))
	m := regexp.MustCompile(`running in the background, process (\d+)`).FindSubmatch(log)
	if status != 0 || m == nil {
		t.Fatalf("exit status %d of ndmon -d: %s", status, log)
	}
	pid, err := strconv.Atoi(string(m[1]))
	must(t, err)
	t.Cleanup(func() {
		if runs(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	// It works before the process in the foreground ends.
	nc := connect(t, r.Namespace, localNATS)
	alerts := collect(t, nc, "nd.alerts")
	r.Upstream.Wire("eth0").Send(numbered(5))
	if n := numberOf(t, parseAlert(t, next(t, alerts, "the alert").Data)); n != 5 {
		t.Errorf("alert for frame %d", n)
	}
	equal(t, "file with the process id", string(m[1])+"\n", string(readFile(t, filepath.Join(dir, "pid"))))
	second := r.Start(program("ndmon", "-d", "-i", lab.Master, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--pid-file", filepath.Join(dir, "pid")))
	exits(t, second, 2)
	says(t, second, "--pid-file: ", "is in use by process "+string(m[1]))
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	lab.Eventually(t, "the daemon has ended", func() bool { return !runs(pid) })
	if _, err := os.Stat(filepath.Join(dir, "pid")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file with the process id at the end: %v", err)
	}
	equal(t, "the log", string(m[0])+"\n", strings.TrimPrefix(string(readFile(t, filepath.Join(dir, "log"))), "ndmon: "))
	// Its output is still that of the command line.
	written := readFile(t, filepath.Join(dir, "alerts"))
	if n := numberOf(t, parseAlert(t, written)); n != 5 {
		t.Errorf("alert for frame %d in the file", n)
	}
}

// runs reports whether a process that is no child of ours still runs.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The state is behind the name, which is in parentheses.
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

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

// Each program reports its health: why it is not well without NATS, and that
// it is when it does its work.
func TestHealth(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	daemons := []struct{ name, variable, address, part string }{
		{"nd-sensor", "SENSOR_METRICS", "127.0.0.1:9101", ""},
		{"nd-ruled", "RULED_METRICS", "127.0.0.1:9102", "events: "},
		{"nd-pinger", "PINGER_METRICS", "127.0.0.1:9103", ""},
	}
	// health waits for an exit status and returns the answer that came with it.
	health := func(ask lab.Command, status int) string {
		var said string
		lab.Eventually(t, ask.Path+" health exits with the status", func() bool {
			p := r.Start(ask)
			got := p.Wait()
			said = p.Stdout.String() + p.Stderr.String()
			return got == status
		})
		return said
	}
	for _, d := range daemons {
		r.Start(with(program(d.name), d.variable+"="+d.address, "SENSOR_INTERFACES="+lab.Master+",nosuch0", "PINGER_SLAVES="+lab.Slave1)).
			Stderr.WaitFor("cannot reach NATS")
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 1); !strings.HasPrefix(said, "NATS: not connected") ||
			!strings.Contains(said, d.part) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s without NATS: %q", d.name, said)
		}
		if said := health(program(d.name, "health"), 2); !strings.Contains(said, d.variable+" is not set") {
			t.Errorf("%s without an address: %q", d.name, said)
		}
	}
	b := startBroker(t, r.Namespace)
	for _, d := range daemons {
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 0); said != "healthy\n" {
			t.Errorf("%s: %q", d.name, said)
		}
	}
	// A sensor is well while it waits for an interface; a pinger without any slave
	// is not.
	r.Delete(lab.Slave1)
	pinger := daemons[2]
	if said := health(with(program(pinger.name, "health"), pinger.variable+"="+pinger.address), 1); said != "commands: no slave is usable: "+lab.Slave1+" does not exist\n" {
		t.Errorf("%s without a slave: %q", pinger.name, said)
	}
	r.Veth(lab.Slave1, r.Host1, "eth0")
	r.LinkLocal(lab.Slave1)
	if said := health(with(program(pinger.name, "health"), pinger.variable+"="+pinger.address), 0); said != "healthy\n" {
		t.Errorf("%s with its slave: %q", pinger.name, said)
	}

	b.Kill()
	for _, d := range daemons {
		if said := health(with(program(d.name, "health"), d.variable+"="+d.address), 1); !strings.HasPrefix(said, "NATS: not connected") {
			t.Errorf("%s when NATS is lost: %q", d.name, said)
		}
	}

	r.Start(with(program("ndmon", "-m", lab.Master, "-s", lab.Slave1, "--listen", "127.0.0.1:0", "--data", t.TempDir(),
		"--metrics", "127.0.0.1:9104"), "PINGER_TABLE=5000000"))
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9104"), 0); said != "healthy\n" {
		t.Errorf("ndmon: %q", said)
	}
	r.Down(lab.Slave1)
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9104"), 1); said != "commands: no slave is usable: "+lab.Slave1+" is down\n" {
		t.Errorf("ndmon without a slave: %q", said)
	}
	if said := health(program("ndmon", "health"), 2); !strings.Contains(said, "--metrics is not set") {
		t.Errorf("ndmon without an address: %q", said)
	}
	if said := health(program("ndmon", "health", "--metrics", "127.0.0.1:9199"), 1); !strings.Contains(said, "connection refused") {
		t.Errorf("ndmon that does not run: %q", said)
	}
}
