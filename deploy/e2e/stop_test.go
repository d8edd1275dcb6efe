package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// atOnce is how long ndmon may take to end, on a machine as busy as any.
const atOnce = 10 * time.Second

func interrupt(t *testing.T, p *lab.Process) {
	t.Helper()
	interrupted := time.Now()
	p.Signal(syscall.SIGINT)
	if status := p.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		if rule.OifName != "" {
			t.Errorf("a routing rule is left: %v", rule)
		}
	}
}

// With -d ndmon goes to the background once it works, and goes on there.
func TestDaemon(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	dir := t.TempDir()
	p := r.Start(lab.Command{
		Path: "/bin/sh", Args: []string{"-c", `exec "$0" -d -i ` + lab.Master + ` --data data >alerts 2>log`, program("ndmon").Path}, Dir: dir,
		Env: program("ndmon").Env,
	})
	status := p.Wait()
	log := readFile(t, filepath.Join(dir, "log"))
	m := regexp.MustCompile(`running in the background, process (\d+)`).FindSubmatch(log)
	if status != 0 || m == nil {
		t.Fatalf("exit status %d of ndmon -d: %s", status, log)
	}
	pid, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
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
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	lab.Eventually(t, "the daemon has ended", func() bool { return !runs(pid) })
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
