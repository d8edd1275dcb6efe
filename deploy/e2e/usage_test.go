package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/lab"
	"golang.org/x/sys/unix"
)

var programs = []string{"ndmon", "nd-sensor", "nd-ruled", "nd-pinger"}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`^\S+ \S+, commit .+, go1\.\S+ linux/\w+\n$`)
	mentions := map[string][]string{
		"ndmon": {"--master", "--slaves", "--interfaces", "--read", "--rules", "--output", "--log-level", "--daemon", "--listen", "--nats",
			"--data", "--route", "--proxy", "ndmon find", "--help", "--version", "127.0.0.1:4222"},
		"nd-sensor": {"SENSOR_INTERFACES", "SENSOR_MASTERS", "SENSOR_PROXIES", "NATS_URL", "nats://127.0.0.1:4222"},
		"nd-ruled":  {"RULED_RULES", "check ", "fields ", "--learn", "NATS_URL"},
		"nd-pinger": {"PINGER_SLAVES", "PINGER_RATE", "NATS_URL"},
	}
	for _, name := range programs {
		for _, option := range []string{"--version", "-V"} {
			p := lab.Start(t, program(name, option))
			status := p.Wait()
			if out := p.Stdout.String(); status != 0 || !version.MatchString(out) || !strings.HasPrefix(out, name+" ") || p.Stderr.String() != "" {
				t.Errorf("%s %s: exit status %d, standard output %q, standard error %q", name, option, status, out, p.Stderr)
			}
		}
		for _, option := range []string{"--help", "-h"} {
			p := lab.Start(t, program(name, option))
			if status := p.Wait(); status != 0 || p.Stderr.String() != "" {
				t.Errorf("%s %s: exit status %d, standard error %q", name, option, status, p.Stderr)
			}
			for _, word := range mentions[name] {
				if !strings.Contains(p.Stdout.String(), word) {
					t.Errorf("%s %s does not mention %s", name, option, word)
				}
			}
		}
	}
}

// badRules has a fault in each of the lines 2 to 6.
const badRules = `<rules>
  <rule><match field="nd.ra.lifetyme" value="0"/></rule>
  <rule><match field="inet6.hoplimit" value="511"/></rule>
  <rule><match field="nd.ra" value="1"/></rule>
  <rule colour="red"><match field="nd.ra"/></rule>
  <rule id="empty"/>
</rules>
`

// Each bad command line ends with an exit status and one line with the reason.
func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	capture := corpus(t, "radvd-minimal")
	bad := write(t, "bad.xml", []byte(badRules))
	for _, tc := range []struct {
		name    string
		command lab.Command
		status  int
		says    []string
	}{
		{"ndmon option", program("ndmon", "--colour"), 2, []string{"ndmon: ", "--colour", "--help"}},
		{"ndmon short option", program("ndmon", "-z"), 2, []string{"ndmon: ", "-z"}},
		{"ndmon argument", program("ndmon", "eth0"), 2, []string{`"eth0"`, "--help"}},
		{"option without its value", program("ndmon", "-m"), 2, []string{"-m"}},
		{"ndmon level", program("ndmon", "-l", "loud"), 2, []string{"--log-level", "loud", "off, error, warn, info, debug or trace"}},
		{"ndmon format", program("ndmon", "-o", "xml"), 2, []string{"--output", "xml", "json or text"}},
		{"master without slaves", program("ndmon", "-m", "lo"), 2, []string{"--master", "--slaves"}},
		{"slaves without master", program("ndmon", "-s", "lo"), 2, []string{"--slaves", "--master"}},
		{"route without slaves", program("ndmon", "-i", "lo", "--route"), 2, []string{"--route", "--master", "--slaves"}},
		{"proxy without slaves", program("ndmon", "--proxy"), 2, []string{"--proxy", "--master", "--slaves"}},
		{"find nothing", program("ndmon", "find"), 2, []string{"ndmon find: ", "ndmon find ADDRESS", "ndmon find --help"}},
		{"find a link-local address", program("ndmon", "find", "fe80::1"), 2, []string{"ndmon find: ", "fe80::1", "link-local"}},
		{"find a group", program("ndmon", "find", "ff02::1"), 2, []string{"ff02::1", "multicast"}},
		{"find a name", program("ndmon", "find", "host"), 2, []string{`"host"`, "2001:db8::42"}},
		{"find without a server", program("ndmon", "find", "2001:db8::1", "--nats", "nats://127.0.0.1:1"), 2, []string{"nats://127.0.0.1:1", "no servers"}},
		{"file and interfaces", program("ndmon", "-r", capture, "-i", "lo"), 2, []string{"--read", "--interfaces"}},
		{"ndmon listens nowhere", program("ndmon", "--listen", "nowhere"), 2, []string{"--listen", "nowhere", "127.0.0.1:4222"}},
		{"no rule file", program("ndmon", "-r", capture, "-R", "/nonexistent/rules.xml"), 2, []string{"/nonexistent/rules.xml", "no such file"}},
		{"ndmon bad rules", program("ndmon", "-r", capture, "-R", bad), 2, []string{bad + ":2: ", bad + ":3: ", bad + ":4: ", bad + ":5: ", bad + ":6: "}},
		{"nd-ruled bad rules", with(program("nd-ruled"), "RULED_RULES="+bad), 2, []string{bad + ":2: ", bad + ":3: ", bad + ":4: ", bad + ":5: ", bad + ":6: "}},
		{"nd-ruled argument", program("nd-ruled", "run"), 2, []string{`"run"`, "--help"}},
		{"nd-ruled check without a file", program("nd-ruled", "check"), 2, []string{"nd-ruled check FILE"}},
		{"nd-sensor argument", program("nd-sensor", "-i", "eth0"), 2, []string{`"-i"`, "--help"}},
		{"nd-sensor number", with(program("nd-sensor"), "SENSOR_BUFFER=much"), 2, []string{"SENSOR_BUFFER", "much", "number"}},
		{"nd-sensor range", with(program("nd-sensor"), "SENSOR_BUFFER=1"), 2, []string{"SENSOR_BUFFER", "1048576"}},
		{"nd-sensor truth", with(program("nd-sensor"), "SENSOR_PROMISCUOUS=maybe"), 2, []string{"SENSOR_PROMISCUOUS", "maybe", "true or false"}},
		{"nd-sensor level", with(program("nd-sensor"), "SENSOR_LOG_LEVEL=loud"), 2, []string{"SENSOR_LOG_LEVEL", "loud"}},
		{"nd-pinger without slaves", program("nd-pinger"), 2, []string{"PINGER_SLAVES"}},
		{"nd-pinger rate", with(program("nd-pinger"), "PINGER_SLAVES=lo", "PINGER_RATE=0"), 2, []string{"PINGER_RATE"}},
		{"nd-pinger duration", with(program("nd-pinger"), "PINGER_SLAVES=lo", "PINGER_TIMEOUT=3"), 2, []string{"PINGER_TIMEOUT", "duration"}},
		{"credentials twice", with(program("nd-ruled"), "NATS_TOKEN=x", "NATS_USER=y"), 2, []string{"NATS_TOKEN", "NATS_USER"}},
		{"no nkey", with(program("nd-ruled"), "NATS_NKEY=/nonexistent/seed"), 2, []string{"NATS_NKEY", "/nonexistent/seed"}},
		{"metrics nowhere", with(program("nd-ruled"), "RULED_METRICS=nowhere"), 2, []string{"RULED_METRICS", "127.0.0.1:9100"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := lab.Start(t, tc.command)
			exits(t, p, tc.status)
			says(t, p, tc.says...)
			if out := p.Stdout.String(); out != "" {
				t.Errorf("standard output %q", out)
			}
			if strings.Contains(p.Stderr.String(), "goroutine ") {
				t.Errorf("a panic: %s", p.Stderr)
			}
		})
	}
}

func TestCheckRules(t *testing.T) {
	t.Parallel()
	good := write(t, "good.xml", []byte(`<config_ndpmon><rule><match field="nd.ra"/></rule><rule><match field="nd.ns"/><relay/></rule></config_ndpmon>`))
	p := lab.Start(t, program("nd-ruled", "check", good))
	if status := p.Wait(); status != 0 || !strings.Contains(p.Stdout.String(), "2 rules") {
		t.Errorf("good rules: exit status %d, %s", status, p.Stdout)
	}

	bad := write(t, "bad.xml", []byte(badRules))
	p = lab.Start(t, program("nd-ruled", "check", bad))
	if status := p.Wait(); status != 1 {
		t.Errorf("bad rules: exit status %d, want 1", status)
	}
	fault := regexp.MustCompile(`^` + regexp.QuoteMeta(bad) + `:(\d+): \S`)
	var lines []string
	for _, line := range p.Stdout.Lines() {
		m := fault.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("line %q is no fault", line)
			continue
		}
		lines = append(lines, m[1])
	}
	equal(t, "lines with faults", []string{"2", "3", "4", "5", "6"}, lines)

	p = lab.Start(t, program("nd-ruled", "check", "/nonexistent.xml"))
	if status := p.Wait(); status != 1 || !strings.Contains(p.Stderr.String(), "/nonexistent.xml") {
		t.Errorf("no rules: exit status %d, %s", status, p.Stderr)
	}

	p = lab.Start(t, program("nd-ruled", "fields"))
	if status := p.Wait(); status != 0 {
		t.Errorf("fields: exit status %d", status)
	}
	for _, field := range ndpmonFields {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(field.name) + `\s`).MatchString(p.Stdout.String()) {
			t.Errorf("the table of fields does not have %s", field.name)
		}
	}
}

// An interface that does not exist is waited for, with one warning that lists those that do.
func TestInterfaceThatDoesNotExist(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-i", "later0"}, {"-m", "later0", "-s", lab.Slave1}, {"-m", lab.Master, "-s", lab.Slave1 + ",later0", "--proxy"}, {"-i", "later*"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			r := lab.NewRouter(t)
			p := r.Start(program("ndmon", append(args, "--data", t.TempDir())...))
			p.Stderr.WaitFor("waiting for interfaces", "wanted=later", "existing=lo,"+lab.Master+","+lab.Slave1+","+lab.Slave2)
			r.Bridge("later0")
			r.Up("later0")
			at := p.Stderr.WaitForAfter(0, "msg=capturing", "interface=later0")
			r.Delete("later0")
			p.Stderr.WaitForAfter(at, "waiting for interfaces", "wanted=later")
			stop(t, p)
			if n := strings.Count(p.Stderr.String(), "level=WARN"); n != 2 && !slices.Contains(args, "-s") || strings.Count(p.Stderr.String(), "waiting for interfaces") != 2 {
				t.Errorf("%d warnings: %s", n, p.Stderr)
			}
		})
	}
}

func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	r.Listen("tcp", "127.0.0.1:4222")
	p := r.Start(program("ndmon", "-i", lab.Master, "--data", t.TempDir()))
	exits(t, p, 2)
	says(t, p, "127.0.0.1:4222", "--listen", "--nats")
	p = r.Start(program("ndmon", "-i", lab.Master, "--data", t.TempDir(), "--listen", "127.0.0.1:4223"))
	p.Stderr.WaitFor("msg=capturing")
	connect(t, r.Namespace, "nats://127.0.0.1:4223")
	stop(t, p)
}

// The folder of the embedded server is for one ndmon at a time.
func TestDataIsTaken(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := t.TempDir()
	first := r.Start(program("ndmon", "-i", lab.Master, "--data", data))
	first.Stderr.WaitFor("msg=capturing")
	second := r.Start(program("ndmon", "-i", lab.Master, "--data", data, "--listen", "127.0.0.1:4223"))
	if status := second.Wait(); status != 2 || !strings.Contains(second.Stderr.String(), "--data") || !strings.Contains(second.Stderr.String(), data) {
		t.Errorf("exit status %d, standard error %s", status, second.Stderr)
	}
}

func TestNoRightToCapture(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	data := public(t)
	monitor := program("ndmon", "-i", lab.Master, "--data", data+"/ndmon")
	sensor := with(program("nd-sensor"), "SENSOR_INTERFACES="+lab.Master)
	for _, c := range []lab.Command{monitor, sensor} {
		c.UID = nobody
		p := r.Start(c)
		exits(t, p, 2)
		says(t, p, "CAP_NET_RAW", "setcap", "root")
	}
}

// What a restart does not cure ends with exit status 2, so that systemd does not try for ever.
func TestNotCuredByARestart(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	ports := []string{"-m", lab.Master, "-s", lab.Slave1}
	first := r.Start(program("ndmon", append(ports, "--route", "--data", t.TempDir())...))
	first.Stderr.WaitFor("pinger ready")
	pinger := with(program("nd-pinger"), "PINGER_SLAVES="+lab.Slave1, "PINGER_MASTERS="+lab.Master)
	unprivileged := func(c lab.Command, capabilities ...uintptr) lab.Command {
		c.UID, c.Capabilities = nobody, capabilities
		return c
	}
	for name, tc := range map[string]struct {
		command lab.Command
		says    []string
	}{
		"no right to ping":                 {unprivileged(pinger), []string{"CAP_NET_RAW"}},
		"no right to make routes":          {unprivileged(with(pinger, "PINGER_ROUTE=true"), unix.CAP_NET_RAW), []string{"PINGER_ROUTE", "CAP_NET_ADMIN"}},
		"no right to make routes, ndmon":   {unprivileged(program("ndmon", append(ports, "--route", "--listen", "127.0.0.1:0", "--data", public(t)+"/ndmon")...), unix.CAP_NET_RAW), []string{"--route", "CAP_NET_ADMIN"}},
		"routing tables of another":        {pinger, []string{"PINGER_TABLE", "another pinger"}},
		"routing tables of another, ndmon": {program("ndmon", append(ports, "--listen", "127.0.0.1:0", "--data", t.TempDir())...), []string{"PINGER_TABLE", "another pinger"}},
		"host routes of another":           {with(pinger, "PINGER_PROXY=true", "PINGER_TABLE=5000000"), []string{"PINGER_PROXY", "another pinger"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.Start(tc.command)
			exits(t, p, 2)
			says(t, p, tc.says...)
		})
	}
	stop(t, first)

	// An address may come later.
	p := r.Start(program("ndmon", "-i", lab.Master, "--data", t.TempDir(), "--listen", "192.0.2.77:4222", "--insecure"))
	exits(t, p, 1)
	says(t, p, "192.0.2.77")
}

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
