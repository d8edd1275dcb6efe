package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// ruleFile writes a file of n rules.
func ruleFile(t *testing.T, n int) string {
	return write(t, "rules.xml", []byte("<rules>\n"+strings.Repeat("  <rule><match field=\"nd.ra\"/></rule>\n", n)+"</rules>\n"))
}

// An operator gives rules to a fleet with keys: those that run take them, one that was away reads them before
// the first event, and one that starts without NATS has the last ones.
func TestCentralRules(t *testing.T) {
	t.Parallel()
	k := &keyed{t: t, dir: filepath.Join(t.TempDir(), "keys")}
	k.ca, k.cert, k.key = certificates(t)
	k.keys("init", "--hosts", "r1", "--data", t.TempDir(), "--tls-cert", k.cert, "--tls-key", k.key)
	n := lab.New(t, "central")
	k.broker = &broker{t: t, at: n, conf: filepath.Join(k.dir, "nats-server.conf")}
	k.broker.start()
	dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
	ruled := func(name string, env ...string) *lab.Process {
		return n.Start(k.as("ruled", builtin("nd-ruled"), append(env, "RULED_CONSUMER="+name, "RULED_STATE_DIRECTORY="+dirs[name])...))
	}
	rules := func(user string, status int, want string, args ...string) {
		t.Helper()
		p := n.Start(k.as(user, builtin("ndmon", append([]string{"rules"}, args...)...)))
		if got := p.Wait(); got != status || !strings.Contains(p.Stdout.String()+p.Stderr.String(), want) {
			t.Errorf("rules %s: exit status %d, want %d and %q:\n%s%s", args, got, status, want, p.Stdout, p.Stderr)
		}
	}
	a, b := ruled("a", "RULED_METRICS=127.0.0.1:9101"), ruled("b")
	for _, p := range []*lab.Process{a, b} {
		p.Stderr.WaitFor("reading events")
	}
	rules("operator", 0, "revision 1: 1 rules\nin force at nd-ruled of ", "push", ruleFile(t, 1), "-m", "the first")
	for _, p := range []*lab.Process{a, b} {
		p.Stderr.WaitFor("using rules", "revision=1", "rules=1")
	}
	rules("operator", 2, ":1: the file is empty", "push", write(t, "empty.xml", nil))
	rules("viewer", 1, "ermissions Violation", "push", ruleFile(t, 5))

	// A set that is refused.
	admin := as(t, n, k.seed("admin"), k.ca)
	publish(t, admin, "$KV.ND_RULES.rules", []byte("<rules><rule><match field='nd.later'/></rule></rules>"))
	a.Stderr.WaitFor("the new rules are refused, the old ones stay in force", "revision=2")
	if got := metric(t, n, "127.0.0.1:9101", "nd_ruled_rules"); got != 1 {
		t.Errorf("%v rules are in force", got)
	}

	// One is away.
	stop(t, b)
	rules("operator", 0, "revision 3: 3 rules\nin force at nd-ruled of ", "push", ruleFile(t, 3))
	b = ruled("b")
	b.Stderr.WaitFor("reading events")
	if log := b.Stderr.String(); !strings.Contains(log[:strings.Index(log, "reading events")], "revision=3") {
		t.Errorf("it begins without the newest rules:\n%s", log)
	}
	rules("operator", 0, "revision 4: 1 rules\n", "rollback", "1")
	for _, p := range []*lab.Process{a, b} {
		p.Stderr.WaitFor("using rules", "revision=4", "rules=1")
	}
	rules("viewer", 0, "rollback to revision 1", "log")
	rules("viewer", 0, "-  <rule>", "diff")
	rules("viewer", 0, "<rules>", "show", "3")

	// The fleet starts without NATS.
	for _, p := range []*lab.Process{a, b} {
		if log := p.Stderr.String(); strings.Contains(log, "ermission") {
			t.Errorf("log:\n%s", log)
		}
	}
	stop(t, a)
	k.broker.Kill()
	a = ruled("a")
	a.Stderr.WaitFor("using rules", "revision=4", "rules=1")
	a.Stderr.WaitFor("cannot reach NATS")
	k.broker.start()
	a.Stderr.WaitFor("reading events")
	if log := a.Stderr.String(); strings.Contains(log, "built-in") {
		t.Errorf("log:\n%s", log)
	}
}

// ndmon alone has a store of its own.
func TestCentralRulesOfNdmon(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := t.TempDir()
	run := func(args ...string) *lab.Process {
		p := r.Start(builtin("ndmon", append([]string{"-i", lab.Master, "--data", data, "--host", "r1"}, args...)...))
		p.Stderr.WaitFor("msg=capturing")
		return p
	}
	p := run()
	push := func(n int) string {
		c := r.Start(builtin("ndmon", "rules", "push", ruleFile(t, n)))
		exits(t, c, 0)
		return c.Stdout.String()
	}
	equal(t, "the output", "revision 1: 2 rules\nin force at ndmon of r1\n", push(2))
	stop(t, p)
	p = run()
	p.Stderr.WaitFor("using rules", "revision=1", "rules=2")
	stop(t, p)

	p = run("-R", ruleFile(t, 3))
	equal(t, "the output", "revision 2: 4 rules\nnot used, because of a rule file, at ndmon of r1\n", push(4))
	stop(t, p)
}
