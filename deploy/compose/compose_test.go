//go:build linux

package compose_test

import (
	"archive/tar"
	"bytes"

	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/lab"
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

// TestLab brings up the lab of docker-compose.yml under a name and a prefix of
// its own, with traffic, and breaks one part after the other. Images are built
// from GO_IMAGE or, where that is not set, from this machine's own Go, for a
// registry may not be reached.
func TestLab(t *testing.T) {
	l := newCompose(t)
	began := time.Now()
	l.run("--profile", "demo", "up", "--build", "--detach")
	l.eventually("the first alert is on the log of alerts", func() bool { return strings.Contains(l.alertsLog(), "/eth") })
	took := time.Since(began)
	t.Logf("docker-compose up --build to the first alert: %v", took.Round(time.Second))
	if took > mostStart {
		// Building is work for the processor alone, and others may have it.
		t.Logf("that is more than %v, load average %s", mostStart, read(t, "/proc/loadavg"))
	}
	l.eventually("all is healthy", l.healthy)

	keys := l.copyKeys()
	viewer, operator := l.connect(keys, "viewer.nk"), l.connect(keys, "operator.nk")
	alerts := follow(t, viewer)
	results := make(chan *nats.Msg, 1024)
	if _, err := operator.ChanSubscribe("nd.results.r2", results); err != nil {
		t.Fatal(err)
	}

	// A step that fails is the last one.
	step := func(name string, f func()) {
		if !t.Run(name, func(t *testing.T) {
			l.T = t
			f()
		}) {
			t.FailNow()
		}
		l.T = t
	}

	step("attacks are seen by the router of their link", func() {
		l.eventually("both attacks are alerted", func() bool {
			return len(alerts.of("rogue-ra")) > 0 && len(alerts.of("ra-from-unknown-router")) > 0 && len(alerts.of("changed-ethernet-address")) > 0
		})
		// The second rule knows r1 by its own Router Advertisements.
		for _, a := range append(alerts.of("rogue-ra"), alerts.of("ra-from-unknown-router")...) {
			if a.Host != "r1" || a.Severity != schemas.Critical || a.event.Inet6.Source.String() != "fe80::ff:fe00:bad" {
				l.Errorf("rogue RA: %s %s/%s: %s", a.Severity, a.Host, a.Interface, a.Summary)
			}
		}
		for _, a := range alerts.of("changed-ethernet-address") {
			if a.Host != "r2" || a.Severity == schemas.Info || !strings.Contains(a.Summary, l.prefix+":2::1 ") {
				l.Errorf("spoofed NA: %s %s/%s: %s", a.Severity, a.Host, a.Interface, a.Summary)
			}
		}
	})
	found := func() {
		for len(results) > 0 {
			<-results
		}
		l.found(results)
	}
	step("a host behind r2 is found by relay", found)
	step("least privilege", l.privileges)

	// A rogue router on lan1 and what r1 has to say of it, whatever breaks.
	lan1, lan2 := l.attach("lan1"), l.attach("lan2")
	sent := 0
	send := func() {
		for range 5 {
			lan1.send(sent)
			sent++
		}
	}
	arrived := func() {
		l.eventually("all alerts are stored", func() bool { return len(alerts.numbers("r1")) >= sent })
	}
	for _, service := range []string{"nats", "ruled"} {
		step(service+" is killed", func() {
			send()
			l.run("kill", service)
			send()
			l.run("start", service)
			l.eventually("all is healthy again", l.healthy)
			send()
			arrived()
			found()
		})
	}
	step("only the attackers are accused", func() {
		l.eventually("a second round of attacks is alerted", func() bool {
			frames := map[string]map[string]bool{"r1": {}, "r2": {}}
			for _, a := range alerts.accusing() {
				if a.event.Ethernet.Source.String() == attacker {
					frames[a.Host][a.event.ID] = true
				}
			}
			return len(frames["r1"]) >= 2 && len(frames["r2"]) >= 2
		})
		for _, a := range alerts.accusing() {
			if mac := a.event.Ethernet.Source.String(); mac != attacker && mac != ourMAC {
				l.Errorf("%s %s/%s %s: %s", a.Severity, a.Host, a.Interface, a.Rule, a.Summary)
			}
		}
	})
	step("a router is killed", func() {
		send()
		sensor := l.inspect(l.container("r2-sensor"), "{{.State.StartedAt}}")
		l.crash("r2")
		send()
		l.eventually("its sensor is started again", func() bool { return l.inspect(l.container("r2-sensor"), "{{.State.StartedAt}}") != sensor })
		l.eventually("all is healthy again", l.healthy)
		before := len(alerts.numbers("r2"))
		next := 0
		l.eventually("its sensor sees its LAN again", func() bool {
			lan2.send(next)
			next++
			return len(alerts.numbers("r2")) > before
		})
		found()
		send()
		arrived()
	})

	want := make([]int, sent)
	for i := range want {
		want[i] = i
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(alerts.numbers("r1")))); diff != "" {
		t.Errorf("alerts of %d frames, each once (-want +got):\n%s", sent, diff)
	}
	l.eventually("the log of alerts has them all", func() bool { return l.logged("r1") >= sent })
	if n := l.logged("r1"); n != sent {
		t.Errorf("%d lines on the log of alerts for %d frames", n, sent)
	}
	l.memory()
	l.images()
}

// composed is the lab as its user has it: through docker-compose.
type composed struct {
	*testing.T
	command []string
	env     []string
	prefix  string
}

// newCompose has the lab taken down when the test ends.
func newCompose(t *testing.T) *composed {
	t.Helper()
	unfit := t.Skipf
	if os.Getenv("CI") == "true" {
		unfit = t.Fatalf
	}
	l := &composed{T: t, command: []string{"docker-compose"}, env: os.Environ()}
	if os.Geteuid() != 0 {
		unfit("needs root, for frames on the lab's networks")
	}
	if err := exec.Command("docker", "info").Run(); err != nil {
		unfit("there is no Docker engine: docker info: %v", err)
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		l.command = []string{"docker", "compose"}
		if err := exec.Command("docker", "compose", "version").Run(); err != nil {
			unfit("there is neither docker-compose nor docker compose")
		}
	}
	if os.Getenv("GO_IMAGE") == "" {
		l.env = append(l.env, "GO_IMAGE="+goImage(t))
	}
	// Two labs on one engine can have neither the same name nor the same
	// networks.
	id := os.Getpid()
	l.prefix = fmt.Sprintf("fd4e:444d:%x", id&0xffff)
	l.env = append(l.env, "COMPOSE_PROJECT_NAME=ndmontest"+strconv.Itoa(id), "NDMON_PREFIX="+l.prefix, "NDMON_PORT="+freePort(t))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := l.try("logs", "--no-color", "--tail", "30")
			t.Logf("the lab's logs:\n%s", out)
		}
		if out, err := l.try("--profile", "demo", "down", "--volumes", "--rmi", "local", "--timeout", "5"); err != nil {
			t.Errorf("take the lab down: %v\n%s", err, out)
		}
	})
	return l
}

// goImage makes a stand-in for the image golang and returns its name. It goes with
// the test, and so does what was built on it.
func goImage(t *testing.T) string {
	t.Helper()
	name := "ndmontest-go:" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		// Images that were built on it have its label.
		_ = exec.Command("docker", "image", "prune", "--force", "--filter", "label=ndmon=build").Run()
		_ = exec.Command("docker", "image", "rm", name).Run()
	})
	if out, err := exec.Command(filepath.Join("..", "..", ".ci", "go-image"), name).CombinedOutput(); err != nil {
		t.Fatalf("make an image of this machine's Go: %v\n%s", err, out)
	}
	return name
}

// try runs docker-compose and returns what it printed.
func (l *composed) try(args ...string) (string, error) {
	cmd := exec.Command(l.command[0], slices.Concat(l.command[1:], args)...)
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), l.env
	var stdout, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &all), &all
	if err := cmd.Run(); err != nil {
		return all.String(), err
	}
	return stdout.String(), nil
}

func (l *composed) run(args ...string) string {
	l.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.Fatalf("docker-compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// docker runs docker and returns its standard output.
func (l *composed) docker(args ...string) []byte {
	l.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		l.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (l *composed) inspect(id, format string) string {
	l.Helper()
	return strings.TrimSpace(string(l.docker("inspect", "--format", format, id)))
}

// container returns a service's container.
func (l *composed) container(service string) string {
	l.Helper()
	id := strings.TrimSpace(l.run("--profile", "demo", "ps", "--all", "--quiet", service))
	if id == "" {
		l.Fatalf("service %s has no container", service)
	}
	return id
}

func (l *composed) containers() []string {
	l.Helper()
	return strings.Fields(l.run("--profile", "demo", "ps", "--all", "--quiet"))
}

func (l *composed) eventually(what string, condition func() bool) {
	l.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if <-tick.C; time.Now().After(deadline) {
			l.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// healthy reports whether every service is, those that have ended in order
// included.
func (l *composed) healthy() bool {
	for _, id := range l.containers() {
		state := l.inspect(id, `{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}`)
		if state != "running 0 healthy" && state != "exited 0" {
			return false
		}
	}
	return true
}

// crash kills the process of a service, and leaves it to the engine to start it
// again.
func (l *composed) crash(service string) {
	l.Helper()
	pid, err := strconv.Atoi(l.inspect(l.container(service), "{{.State.Pid}}"))
	if err != nil || pid <= 1 {
		l.Fatalf("process of %s: %d, %v", service, pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.Fatalf("kill %s: %v", service, err)
	}
}

func (l *composed) alertsLog() string { return string(l.docker("logs", l.container("alerts"))) }

// logged counts the lines about our numbered frames.
func (l *composed) logged(host string) (n int) {
	for line := range strings.Lines(l.alertsLog()) {
		if strings.Contains(line, "  "+host+"/") && strings.Contains(line, "  rogue-ra  ") && strings.Contains(line, " "+ourRouter+" ") {
			n++
		}
	}
	return n
}

// copyKeys copies the keys out of their volume and returns the folder.
func (l *composed) copyKeys() string {
	l.Helper()
	dir := filepath.Join(l.TempDir(), "keys")
	l.docker("cp", l.container("keys")+":/keys", dir)
	return dir
}

// connect connects to the lab's server with a seed.
func (l *composed) connect(keys, seed string) *nats.Conn {
	l.Helper()
	path := filepath.Join(keys, seed)
	key, err := nats.NkeyOptionFromSeed(path)
	if err != nil {
		l.Fatal(err)
	}
	var options nats.Options
	if err := key(&options); err != nil {
		l.Fatal(err)
	}
	address := strings.TrimSpace(l.run("port", "nats", "4222"))
	nc, err := nats.Connect("nats://"+address, key, nats.CustomInboxPrefix(nats.InboxPrefix+options.Nkey),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		l.Fatalf("connect to NATS with %s: %v", seed, err)
	}
	l.Cleanup(nc.Close)
	return nc
}

// found waits until r2's pinger has found h2.
func (l *composed) found(results <-chan *nats.Msg) {
	l.Helper()
	mac := l.inspect(l.container("h2"), "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}")
	target := netip.MustParseAddr(l.prefix + ":a::42").String()
	late := time.After(patience)
	for {
		select {
		case m := <-results:
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

// privileges checks that each service has what it needs and no more.
func (l *composed) privileges() {
	type rights struct {
		Capabilities []string
		User         string
		Keys         []string
	}
	const nobody = "65532:65532"
	want := map[string]rights{
		"keys":      {Capabilities: []string{"CHOWN"}},
		"nats":      {User: nobody, Keys: []string{"nats-server.conf", "users.conf"}},
		"ruled":     {User: nobody, Keys: []string{"ruled.nk"}},
		"alerts":    {User: nobody, Keys: []string{"viewer.nk"}},
		"r1":        {Capabilities: []string{"NET_RAW"}},
		"r1-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r1.nk"}},
		"r1-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r1.nk"}},
		"r2":        {Capabilities: []string{"NET_RAW"}},
		"r2-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r2.nk"}},
		"r2-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r2.nk"}},
		"h1":        {},
		"h2":        {Capabilities: []string{"NET_ADMIN"}},
		"traffic":   {Capabilities: []string{"NET_RAW"}},
	}
	got := map[string]rights{}
	for _, id := range l.containers() {
		var c struct {
			Config struct {
				User   string
				Labels map[string]string
			}
			HostConfig struct {
				ReadonlyRootfs, Privileged   bool
				CapAdd, CapDrop, SecurityOpt []string
				Memory                       int64
			}
		}
		if err := json.Unmarshal(l.docker("inspect", "--format", "{{json .}}", id), &c); err != nil {
			l.Fatal(err)
		}
		service := c.Config.Labels["com.docker.compose.service"]
		h := c.HostConfig
		if !h.ReadonlyRootfs || h.Privileged || h.Memory == 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) ||
			!slices.ContainsFunc(h.SecurityOpt, func(s string) bool { return strings.HasPrefix(s, "no-new-privileges") }) {
			l.Errorf("%s: %+v", service, h)
		}
		r := rights{User: c.Config.User}
		for _, name := range h.CapAdd {
			r.Capabilities = append(r.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		slices.Sort(r.Capabilities)
		if service != "keys" && len(want[service].Keys) > 0 {
			r.Keys = l.files(id, "/keys")
		}
		got[service] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("rights (-want +got):\n%s", diff)
	}
}

// files lists the files in a folder of a container, none of which others may
// read.
func (l *composed) files(id, folder string) (names []string) {
	archive := tar.NewReader(bytes.NewReader(l.docker("cp", id+":"+folder, "-")))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			l.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Mode&0o777 != 0o600 {
			l.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		names = append(names, filepath.Base(h.Name))
	}
	slices.Sort(names)
	return names
}

// memory checks what all containers use together.
func (l *composed) memory() {
	l.Helper()
	units := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	var sum float64
	args := []string{"stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"}
	for _, id := range l.containers() {
		if l.inspect(id, "{{.State.Running}}") == "true" {
			args = append(args, id)
		}
	}
	out := string(l.docker(args...))
	for line := range strings.Lines(out) {
		used := strings.Fields(line)[1]
		number := strings.TrimRight(used, "KMGiB")
		n, err := strconv.ParseFloat(number, 64)
		unit := units[used[len(number):]]
		if err != nil || unit == 0 {
			l.Fatalf("docker stats: %q", line)
		}
		sum += n * unit
	}
	l.Logf("memory of the lab: %.0f MB", sum/1e6)
	if sum == 0 || sum > mostMemory {
		l.Errorf("the lab uses %.0f MB, at most %.0f MB:\n%s", sum/1e6, mostMemory/1e6, out)
	}
}

// images checks the size of every image.
func (l *composed) images() {
	l.Helper()
	sizes := map[string]int64{}
	for _, id := range l.containers() {
		size, err := strconv.ParseInt(l.inspect(l.inspect(id, "{{.Image}}"), "{{.Size}}"), 10, 64)
		if err != nil || size == 0 || size > mostImage {
			l.Errorf("image of %s has %d bytes, at most %.0f (%v)", l.inspect(id, "{{.Name}}"), size, mostImage, err)
		}
		sizes[l.inspect(id, `{{index .Config.Entrypoint 0}}`)] = size
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		l.Logf("image of %s: %.1f MB", name, float64(sizes[name])/1e6)
	}
}

// ourRouter and ourMAC are the source of the numbered frames.
const (
	ourRouter = "fe80::7"
	ourMAC    = "02:00:00:00:00:07"
)

// attacker is the Ethernet source of the attacks of the service traffic.
const attacker = "02:00:00:00:0b:ad"

// wire is the engine's end of one of the lab's networks.
type wire struct {
	l *composed
	*lab.Sender
}

// attach opens the bridge of a network, which the engine names by the network's
// id.
func (l *composed) attach(network string) wire {
	l.Helper()
	project := l.inspect(l.container("h1"), `{{index .Config.Labels "com.docker.compose.project"}}`)
	s, err := lab.NewSender("br-" + l.inspect(project+"_"+network, "{{.Id}}")[:12])
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { s.Close() })
	return wire{l, s}
}

// send sends a Router Advertisement whose reachable time is a number to know it
// by.
func (w wire) send(n int) {
	w.l.Helper()
	const reachableTime, lifetime = 4, 1800
	mac, err := net.ParseMAC(ourMAC)
	if err != nil {
		w.l.Fatal(err)
	}
	ra := lab.RouterAdvertisement(mac, netip.MustParseAddr(ourRouter), lifetime)
	binary.BigEndian.PutUint32(ra.Body[reachableTime:], uint32(n))
	if _, err := w.Write(ra.Frame()); err != nil {
		w.l.Fatal(err)
	}
}

// stored are the alerts as the stream has them, read with the rights of a
// viewer.
type stored struct {
	t      *testing.T
	js     jetstream.JetStream
	next   uint64
	alerts []alert
}

type alert struct {
	schemas.Alert
	event schemas.Event
}

func follow(t *testing.T, nc *nats.Conn) *stored {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &stored{t: t, js: js, next: 1}
}

// read reads what has been stored since; less while the server is away.
func (s *stored) read() {
	stream, err := s.js.Stream(s.t.Context(), schemas.StreamAlerts)
	if err != nil {
		return
	}
	for ; s.next <= stream.CachedInfo().State.LastSeq; s.next++ {
		m, err := stream.GetMsg(s.t.Context(), s.next)
		if err != nil {
			return
		}
		var a alert
		if err := json.Unmarshal(m.Data, &a.Alert); err != nil {
			s.t.Fatalf("alert %s: %v", m.Data, err)
		}
		if err := json.Unmarshal(a.Event, &a.event); err != nil {
			s.t.Fatalf("event of alert %s: %v", m.Data, err)
		}
		s.alerts = append(s.alerts, a)
	}
}

// of returns the alerts of a rule but for those that the test provoked itself.
func (s *stored) of(rule string) (list []alert) {
	s.read()
	for _, a := range s.alerts {
		if a.Rule == rule && a.event.Inet6.Source.String() != ourRouter {
			list = append(list, a)
		}
	}
	return list
}

// accusing returns the alerts above info that name a station.
func (s *stored) accusing() (list []alert) {
	s.read()
	for _, a := range s.alerts {
		if a.Severity != schemas.Info && a.event.Ethernet != nil {
			list = append(list, a)
		}
	}
	return list
}

// numbers returns the numbers of the frames that a host alerted.
func (s *stored) numbers(host string) (numbers []int) {
	s.read()
	for _, a := range s.alerts {
		if a.Rule == "rogue-ra" && a.Host == host && a.event.Inet6.Source.String() == ourRouter {
			numbers = append(numbers, int(a.event.ND.RA.ReachableTimer))
		}
	}
	return numbers
}

// freePort returns a port of the loopback that nobody listens on. The engine
// would choose another one with each start.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func read(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
