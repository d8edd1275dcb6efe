package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// small makes a disk of so many MiB, and returns its folder and what gives it another
// size.
func small(t *testing.T, mib int) (dir string, resize func(mib int)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(mib int) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dm", mib)); err != nil {
			t.Fatalf("resize a small disk: %v", err)
		}
	}
}

// file returns a file for the standard output of several runs.
func file(t *testing.T) string { return filepath.Join(t.TempDir(), "alerts") }

// into returns a command whose standard output is appended to a file.
func into(path string, c lab.Command) lab.Command {
	c.Args = append([]string{"-c", `out=$1; shift; exec "$@" >>"$out"`, "sh", path, c.Path}, c.Args...)
	c.Path = "/bin/sh"
	return c
}

// written returns the alerts in a file of such runs.
func written(t *testing.T, path string) (list []alert) {
	t.Helper()
	data := readFile(t, path)
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue // it is being written
		}
		list = append(list, parseAlert(t, line))
	}
	return list
}

// numbers returns the numbers of the frames of alerts, each once.
func numbers(t *testing.T, alerts []alert) []int {
	t.Helper()
	var list []int
	for _, a := range alerts {
		if a.Rule == "ra-lifetime-zero" {
			list = append(list, numberOf(t, a))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// With a full disk every alert still goes to standard output and health reports the
// disk. Once the disk has free space, ndmon stores the missing alerts by itself.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data, resize := small(t, 12)
	out := file(t)
	p := r.Start(into(out, program("ndmon", "-i", lab.Master, "--data", filepath.Join(data, "ndmon"), "--metrics", "127.0.0.1:9104")))
	p.Stderr.WaitFor("msg=capturing")
	nc := connect(t, r.Namespace, localNATS)
	const frames = 12_000
	wire := r.Upstream.Wire("eth0")
	sent := 0
	for ; sent < frames; sent++ {
		wire.Send(numbered(sent))
		if sent%1000 == 999 { // as fast as it goes, without a loss
			lab.Eventually(t, "the alerts are written", func() bool { return len(written(t, out)) > sent-500 })
		}
	}
	lab.Eventually(t, "every alert is on standard output", func() bool { return len(written(t, out)) >= frames })
	exactlyOnce(t, "standard output", frames, written(t, out))
	health := program("ndmon", "health", "--metrics", "127.0.0.1:9104")
	lab.Eventually(t, "health tells of the full disk", func() bool {
		ask := r.Start(health)
		return ask.Wait() == 1 && strings.Contains(ask.Stdout.String(), "alerts: ") && strings.Contains(ask.Stdout.String(), "is full")
	})
	if log := p.Stderr.String(); !strings.Contains(log, "is full") {
		t.Errorf("the log does not tell of the full disk:\n%s", log)
	}
	if n := stream(t, nc, schemas.StreamAlerts).CachedInfo().State.Msgs; n >= frames {
		t.Fatalf("the disk took all %d alerts: it was not full", n)
	}
	resize(100)
	lab.Eventually(t, "all alerts are stored", func() bool {
		return stream(t, nc, schemas.StreamAlerts).CachedInfo().State.Msgs >= frames
	})
	exactlyOnce(t, "stream", frames, storedAlerts(t, nc))
	lab.Eventually(t, "health is good again", func() bool { return r.Start(health).Wait() == 0 })
	stop(t, p)
}

// When memory is full too, alerts still go to standard output. Once the disk has free
// space, an alert reports how many were not stored.
func TestDiskStaysFull(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data, resize := small(t, 12)
	out := file(t)
	p := r.Start(into(out, with(program("ndmon", "-i", lab.Master, "--data", filepath.Join(data, "ndmon")), "RULED_BUFFER=65536")))
	p.Stderr.WaitFor("msg=capturing")
	const frames = 10_000
	wire := r.Upstream.Wire("eth0")
	for n := range frames {
		wire.Send(numbered(n))
		if n%1000 == 999 {
			lab.Eventually(t, "the alerts are written", func() bool { return len(written(t, out)) > n-500 })
		}
	}
	lab.Eventually(t, "every alert is on standard output", func() bool { return len(written(t, out)) >= frames })
	p.Stderr.WaitFor("alerts are written and not stored")
	resize(100)
	nc := connect(t, r.Namespace, localNATS)
	var unstored int
	sent := frames
	lab.Eventually(t, "it is told how many were not stored", func() bool {
		wire.Send(numbered(sent))
		sent++
		for _, a := range storedAlerts(t, nc) {
			if a.Rule == "alerts-unstored" {
				if _, err := fmt.Sscanf(a.Description, "%d alerts", &unstored); err != nil {
					t.Fatal(err)
				}
			}
		}
		return unstored > 0
	})
	lab.Eventually(t, "all others are stored", func() bool {
		stored := numbers(t, storedAlerts(t, nc))
		return len(stored) == sent-unstored && stored[len(stored)-1] == sent-1
	})
	if on := numbers(t, written(t, out)); len(on) != sent {
		t.Errorf("%d of %d alerts are on standard output", len(on), sent)
	}
}

// The sensors of a fleet report that the disk of its nats-server is full, and nothing is
// lost: all is stored once the disk has free space and the server is restarted. ruled has
// nothing to store, and so nothing to report, while no event comes.
func TestDiskOfTheServerIsFull(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	dir, resize := small(t, 200)
	b := &broker{t: t, at: r.Namespace, dir: dir}
	b.start()
	const metrics = "127.0.0.1:9102"
	startRuled(r.Namespace, "RULED_METRICS="+metrics, "RULED_EVENTS_BYTES=41943040", "RULED_ALERTS_BYTES=83886080")
	must(t, os.WriteFile(filepath.Join(dir, "of another"), make([]byte, 193<<20), 0o600))
	startSensor(r, "SENSOR_METRICS=127.0.0.1:9101").Stderr.WaitFor("connected to NATS")
	f := startFlow(t, r.Upstream.Wire("eth0"))
	lab.Eventually(t, "the sensor says that nothing is stored", func() bool {
		p := r.Start(with(program("nd-sensor", "health"), "SENSOR_METRICS=127.0.0.1:9101"))
		return p.Wait() != 0 && strings.Contains(p.Stdout.String(), "publishing: ")
	})
	frames := f.end()
	b.Kill()
	resize(400)
	b.start()
	nc := connect(t, r.Namespace, localNATS)
	lab.Eventually(t, "every alert is stored", func() bool {
		return stream(t, nc, schemas.StreamAlerts).CachedInfo().State.Msgs >= uint64(frames)
	})
	exactlyOnce(t, "stream", frames, storedAlerts(t, nc))
	for name, address := range map[string]string{"nd-sensor": "SENSOR_METRICS=127.0.0.1:9101", "nd-ruled": "RULED_METRICS=" + metrics} {
		lab.Eventually(t, name+" is well", func() bool { return r.Start(with(program(name, "health"), address)).Wait() == 0 })
	}
}

// cgroup makes a cgroup that limits the memory of its processes, of version 1 or 2, and
// returns the file that takes them.
func cgroup(t *testing.T, bytes int) (procs string) {
	t.Helper()
	unable := t.Skipf
	if os.Getenv("CI") == "true" {
		unable = t.Fatalf
	}
	name := fmt.Sprintf("ndmon-e2e-%d-%d", os.Getpid(), bytes)
	for _, version := range []struct{ root, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(version.root, name)
		limit := filepath.Join(dir, version.limit)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			lab.Eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
		})
		if _, err := os.Stat(limit); err != nil {
			continue // no cgroup of memory
		}
		if err := os.WriteFile(limit, []byte(strconv.Itoa(bytes)), 0o644); err != nil {
			continue
		}
		return filepath.Join(dir, "cgroup.procs")
	}
	unable("this needs a cgroup of its own, with a limit of memory")
	return ""
}

// in returns a command that runs in a cgroup.
func in(procs string, c lab.Command) lab.Command {
	c.Args = append([]string{"-c", `echo $$ >"$1" && shift && exec "$@"`, "sh", procs, c.Path}, c.Args...)
	c.Path = "/bin/sh"
	return c
}

// No process with little memory ends in a flood of alerts, and no alert is lost.
func TestLittleMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	const frames = 40_000 // of some 2,000 a second, each an alert
	t.Run("ndmon", func(t *testing.T) {
		t.Parallel()
		r := lab.NewRouter(t)
		out := file(t)
		p := r.Start(in(cgroup(t, 64*mib), into(out, program("ndmon", "-i", lab.Master, "--data", t.TempDir()))))
		p.Stderr.WaitFor("msg=capturing")
		f := startFlow(t, r.Upstream.Wire("eth0"))
		f.wait(frames)
		sent := f.end()
		lab.Eventually(t, "every alert is written", func() bool { return len(written(t, out)) >= sent })
		exactlyOnce(t, "standard output", sent, written(t, out))
		stop(t, p)
	})
	t.Run("fleet", func(t *testing.T) {
		t.Parallel()
		r := lab.NewRouter(t)
		b := startBroker(t, r.Namespace)
		nc := connect(t, r.Namespace, localNATS)
		ruled := r.Start(in(cgroup(t, 128*mib), program("nd-ruled")))
		ruled.Stderr.WaitFor("reading events")
		little := cgroup(t, 32*mib)
		sensor := r.Start(in(little, with(program("nd-sensor"), "SENSOR_HOST=r1", "SENSOR_INTERFACES="+lab.Master)))
		sensor.Stderr.WaitFor("msg=capturing")
		pinger := r.Start(in(cgroup(t, 32*mib+4096), with(program("nd-pinger"), "PINGER_HOST=r1", "PINGER_SLAVES="+lab.Slave1)))
		pinger.Stderr.WaitFor("pinger ready")
		f := startFlow(t, r.Upstream.Wire("eth0"))
		f.wait(frames / 3)
		// Without NATS, the sensor keeps what fits into its buffer, and reports the rest.
		b.Stop()
		f.wait(frames)
		b.start()
		f.wait(frames / 3)
		f.end()
		lab.Eventually(t, "the loss is told", func() bool {
			for _, a := range storedAlerts(t, nc) {
				if a.Rule == "events-lost" && a.Event.Lost.Buffer > 0 {
					return true
				}
			}
			return false
		})
		for name, p := range map[string]*lab.Process{"nd-ruled": ruled, "nd-sensor": sensor, "nd-pinger": pinger} {
			if status := p.Stop(); status != 0 {
				t.Errorf("%s: exit status %d", name, status)
			}
		}
		if n := stream(t, nc, schemas.StreamAlerts).CachedInfo().State.Msgs; n < frames/2 {
			t.Errorf("%d alerts are stored", n)
		}
	})
}
