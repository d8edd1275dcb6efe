package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

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
