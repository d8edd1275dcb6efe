package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
)

// reloader sends a frame and looks which rule it raises an alert of.
type reloader struct {
	t      *testing.T
	wire   *lab.Wire
	alerts <-chan *nats.Msg
	sent   int
}

// inForce fails the test unless the rules in force are those of rule file.
func (r *reloader) inForce(want string) {
	r.t.Helper()
	r.sent++
	r.wire.Send(numbered(r.sent))
	if a := parseAlert(r.t, next(r.t, r.alerts, "an alert").Data); a.Rule != want {
		r.t.Errorf("the rule in force is %s, want %s", a.Rule, want)
	}
}

// ruleNamed is a rule file that alerts on every Router Advertisement.
func ruleNamed(id string) []byte {
	return fmt.Appendf(nil, "<rules>\n  <rule id=%q><match field=\"nd.ra\"/></rule>\n</rules>\n", id)
}

// A changed rule file is in force at once; a bad one is refused with its faults,
// and the rules that were in force stay.
func TestRulesAreReadAgain(t *testing.T) {
	t.Parallel()
	network := lab.NewRouter(t)
	path := write(t, "rules.xml", ruleNamed("first"))
	p := monitor(t, network, "-R", path)
	r := &reloader{t: t, wire: network.Upstream.Wire("eth0"), alerts: collect(t, connect(t, network.Namespace, localNATS), "nd.alerts")}
	r.inForce("first")
	log := len(p.Stderr.String())

	// As configuration management does it: a new file in its place.
	replace(t, path, ruleNamed("second"))
	log = p.Stderr.WaitForAfter(log, "using rules", path)
	r.inForce("second")

	// As editors do it: the same file, written again.
	overwrite(t, path, ruleNamed("third"))
	log = p.Stderr.WaitForAfter(log, "using rules", path)
	r.inForce("third")

	replace(t, path, []byte(badRules))
	for line := 2; line <= 6; line++ {
		log = p.Stderr.WaitForAfter(log, fmt.Sprintf("%s:%d: ", path, line))
	}
	log = p.Stderr.WaitForAfter(log, "refused")
	r.inForce("third")

	must(t, os.Remove(path))
	log = p.Stderr.WaitForAfter(log, "no such file", "refused")
	r.inForce("third")

	overwrite(t, path, ruleNamed("fourth"))
	log = p.Stderr.WaitForAfter(log, "using rules", path)
	r.inForce("fourth")

	// A pipe without a writer stops neither the evaluation nor the end.
	replacement := path + ".new"
	must(t, syscall.Mkfifo(replacement, 0o644))
	must(t, os.Rename(replacement, path))
	p.Stderr.WaitForAfter(log, path+" is not a regular file", "refused")
	r.inForce("fourth")
	stop(t, p)
}

// SIGHUP has the file read again, also if it has not changed.
func TestHangupReadsRulesAgain(t *testing.T) {
	t.Parallel()
	network := lab.NewRouter(t)
	startBroker(t, network.Namespace)
	target := write(t, "target.xml", ruleNamed("first"))
	path := filepath.Join(t.TempDir(), "rules.xml")
	must(t, os.Symlink(target, path))
	ruled := startRuled(network.Namespace, "RULED_RULES="+path)
	startSensor(network)
	r := &reloader{t: t, wire: network.Upstream.Wire("eth0"), alerts: collect(t, connect(t, network.Namespace, localNATS), "nd.alerts")}
	r.inForce("first")
	log := len(ruled.Stderr.String())

	replace(t, target, ruleNamed("second"))
	ruled.Signal(syscall.SIGHUP)
	log = ruled.Stderr.WaitForAfter(log, "SIGHUP", "using rules", path)
	r.inForce("second")

	replace(t, target, []byte(badRules))
	ruled.Signal(syscall.SIGHUP)
	log = ruled.Stderr.WaitForAfter(log, "SIGHUP", path+":2: ", path+":6: ", "refused")
	r.inForce("second")

	// The faults are logged each time.
	ruled.Signal(syscall.SIGHUP)
	ruled.Stderr.WaitForAfter(log, "SIGHUP", path+":2: ", path+":6: ", "refused")
	stop(t, ruled)
}

// replace puts a new file in the place of another.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	replacement := path + ".new"
	overwrite(t, replacement, content)
	must(t, os.Rename(replacement, path))
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o644))
}
