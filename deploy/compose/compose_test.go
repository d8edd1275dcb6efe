package compose_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/schemas"
)

// What the lab has to keep within.
const (
	mostStart  = 3 * time.Minute
	mostMemory = 400e6
	mostImage  = 40e6
)

// patience is how long the engine may take for anything but building.
const patience = 3 * time.Minute

// dockerEnv is the variable that has TestLab run: it takes minutes.
const dockerEnv = "NDMON_DOCKER"

// TestLab brings up the lab of docker-compose.yml under a name and a prefix of
// its own, with traffic, and breaks one part after the other. Images are built
// from GO_IMAGE or, if that is not set, from this machine's own Go, because a
// registry may not be reachable.
func TestLab(t *testing.T) {
	l := &trial{composed: newCompose(t, "--profile", "demo")}
	l.start()
	l.step("attacks are seen by the router of their link", l.attacks)
	l.step("a host behind r2 is found by relay", l.found)
	l.step("least privilege", l.privileges)

	// Each router of a LAN is to alert a rogue router there, whatever breaks.
	l.lan1, l.lan2 = l.attach("lan1"), l.attach("lan2")
	for _, service := range []string{"nats", "ruled"} {
		l.step(service+" is killed", func() { l.kill(service) })
	}
	l.step("only the attackers are accused", l.accused)
	l.step("a router is killed", l.killRouter)

	want := make([]int, l.sent)
	for i := range want {
		want[i] = i
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(l.alerts.numbers("r1")))); diff != "" {
		t.Errorf("alerts of %d frames, each once (-want +got):\n%s", l.sent, diff)
	}
	l.eventually("the log of alerts has them all", func() bool { return l.logged("r1") >= l.sent })
	if n := l.logged("r1"); n != l.sent {
		t.Errorf("%d lines on the log of alerts for %d frames", n, l.sent)
	}
	l.memory()
	l.images()
}

// TestCluster brings up the lab with three NATS servers and two nd-ruled, and kills one after the
// other.
func TestCluster(t *testing.T) {
	l := &trial{composed: newCompose(t, "--env-file", "deploy/compose/cluster.env", "--profile", "cluster", "--profile", "demo")}
	l.start()
	l.lan1 = l.attach("lan1")
	for _, service := range []string{"nats2", "ruled", "nats3", "ruled2"} {
		l.step(service+" is killed", func() {
			l.send()
			l.run("kill", service)
			l.send()
			l.arrived()
			l.run("start", service)
			l.eventually("all is healthy again", l.healthy)
		})
	}
	want := make([]int, l.sent)
	for i := range want {
		want[i] = i
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(l.alerts.numbers("r1")))); diff != "" {
		t.Errorf("alerts of %d frames, each once (-want +got):\n%s", l.sent, diff)
	}
}

// The files of the lab are in order, and the settings of a cluster reach its services.
func TestClusterProfile(t *testing.T) {
	command := []string{"docker-compose"}
	if _, err := exec.LookPath(command[0]); err != nil {
		command = []string{"docker", "compose"}
	}
	cmd := exec.Command(command[0], append(command[1:], "--env-file", "deploy/compose/cluster.env", "--profile", "cluster", "--profile", "metrics", "config")...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	for words, want := range map[string]int{"--servers=nats,nats2,nats3": 1, "NATS_URL: tls://nats,tls://nats2,tls://nats3": 7, "NATS_CA: /keys/ca.pem": 7} {
		if n := strings.Count(string(out), words); n != want {
			t.Errorf("%q is there %d times, want %d:\n%s", words, n, want, out)
		}
	}
}

// trial is the lab while TestLab tries it.
type trial struct {
	*composed
	alerts     *stored
	results    chan *nats.Msg // of r2
	lan1, lan2 wire
	sent       int // frames on lan1
}

// step runs a part of the test. If it fails, it is the last one.
func (l *trial) step(name string, f func()) {
	whole := l.T
	if !whole.Run(name, func(t *testing.T) {
		l.T = t
		f()
	}) {
		whole.FailNow()
	}
	l.T = whole
}

func (l *trial) start() {
	began := time.Now()
	l.run("up", "--build", "--detach")
	l.eventually("the first alert is on the log of alerts", func() bool { return strings.Contains(l.alertsLog(), "/eth") })
	took := time.Since(began)
	l.Logf("docker-compose up --build to the first alert: %v", took.Round(time.Second))
	if took > mostStart {
		// A build needs the processor, which other programs may use too.
		l.Logf("that is more than %v, load average %s", mostStart, read(l.T, "/proc/loadavg"))
	}
	l.eventually("all is healthy", l.healthy)

	keys := l.copyKeys()
	l.alerts = follow(l.T, l.connect(keys, "viewer.nk"))
	l.results = make(chan *nats.Msg, 1024)
	if _, err := l.connect(keys, "operator.nk").ChanSubscribe("nd.results.r2", l.results); err != nil {
		l.Fatal(err)
	}
}

func (l *trial) attacks() {
	l.eventually("both attacks are alerted", func() bool {
		return len(l.alerts.of("rogue-ra")) > 0 && len(l.alerts.of("ra-from-unknown-router")) > 0 && len(l.alerts.of("changed-ethernet-address")) > 0
	})
	// The second rule knows r1 by its own Router Advertisements.
	for _, a := range append(l.alerts.of("rogue-ra"), l.alerts.of("ra-from-unknown-router")...) {
		if a.Host != "r1" || a.Severity != schemas.Critical || a.event.Inet6.Source.String() != "fe80::ff:fe00:bad" {
			l.Errorf("rogue RA: %s %s/%s: %s", a.Severity, a.Host, a.Interface, a.Summary)
		}
	}
	for _, a := range l.alerts.of("changed-ethernet-address") {
		if a.Host != "r2" || a.Severity == schemas.Info || !strings.Contains(a.Summary, l.prefix+":2::1 ") {
			l.Errorf("spoofed NA: %s %s/%s: %s", a.Severity, a.Host, a.Interface, a.Summary)
		}
	}
}

// found waits until r2's pinger finds h2 again.
func (l *trial) found() {
	l.Helper()
	for len(l.results) > 0 {
		<-l.results
	}
	mac := l.inspect(l.container("h2"), "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}")
	target := netip.MustParseAddr(l.prefix + ":a::42").String()
	late := time.After(patience)
	for {
		select {
		case m := <-l.results:
			var r schemas.Result
			if err := json.Unmarshal(m.Data, &r); err != nil {
				l.Fatalf("result %s: %v", m.Data, err)
			}
			if r.Host != "r2" {
				l.Fatalf("result on %s: %s", m.Subject, m.Data)
			}
			if r.Target.String() == target && r.Status == schemas.Reachable && r.Ethernet.String() == mac {
				return
			}
		case <-late:
			l.Fatalf("not within %v: r2 finds %s at %s", patience, target, mac)
		}
	}
}

// send sends some of the numbered frames on lan1.
func (l *trial) send() {
	for range 5 {
		l.lan1.send(l.sent)
		l.sent++
	}
}

func (l *trial) arrived() {
	l.eventually("all alerts are stored", func() bool { return len(l.alerts.numbers("r1")) >= l.sent })
}

func (l *trial) kill(service string) {
	l.send()
	l.run("kill", service)
	l.send()
	l.run("start", service)
	l.eventually("all is healthy again", l.healthy)
	l.send()
	l.arrived()
	l.found()
}

func (l *trial) killRouter() {
	l.send()
	started := func() string { return l.inspect(l.container("r2-sensor"), "{{.State.StartedAt}}") }
	before := started()
	l.crash("r2")
	l.send()
	l.eventually("its sensor is started again", func() bool { return started() != before })
	l.eventually("all is healthy again", l.healthy)
	alerted := len(l.alerts.numbers("r2"))
	next := 0
	l.eventually("its sensor sees its LAN again", func() bool {
		l.lan2.send(next)
		next++
		return len(l.alerts.numbers("r2")) > alerted
	})
	l.found()
	l.send()
	l.arrived()
}

func (l *trial) accused() {
	l.eventually("a second round of attacks is alerted", func() bool {
		frames := map[string]map[string]bool{"r1": {}, "r2": {}}
		for _, a := range l.alerts.accusing() {
			if a.event.Ethernet.Source.String() == attacker {
				frames[a.Host][a.event.ID] = true
			}
		}
		return len(frames["r1"]) >= 2 && len(frames["r2"]) >= 2
	})
	for _, a := range l.alerts.accusing() {
		if mac := a.event.Ethernet.Source.String(); mac != attacker && mac != ourMAC {
			l.Errorf("%s %s/%s %s: %s", a.Severity, a.Host, a.Interface, a.Rule, a.Summary)
		}
	}
}
