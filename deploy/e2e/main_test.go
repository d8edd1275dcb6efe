// Package e2e tests ndmon's programs as their users see them: the binaries are
// built and run, in networks made of namespaces where they need one, and looked
// at from outside, through what they print, their subjects on NATS and the
// kernel's tables.
//
// The go command does not see that the programs are part of the tests: after a
// change of theirs run go test -count=1, or it may answer from its cache.
package e2e

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// binaries is the folder with the programs, set once by TestMain.
var binaries string

// plainRules are the rules of tests that bring none: a line for each of their
// frames, where the built-in rules would hold some back, and no other.
const plainRules = `<rules>
  <rule id="relay-ns">
    <match field="nd.ns"/>
    <match field="direction" value="out"/>
    <match field="master"/>
    <match field="inet6.hoplimit" value="255"/>
    <no-match field="fault.discarded"/>
    <no-match field="inet6.source" value="::/128"/>
    <no-match field="nd.ns.targetaddress" value="fe80::/10,ff00::/8,::/128,::1/128"/>
    <relay/>
  </rule>
  <rule id="hop-limit">
    <match field="icmp6.code" value="0"/>
    <no-match field="inet6.hoplimit" value="255"/>
  </rule>
  <rule id="ra-lifetime-zero" description="Router Advertisement with router lifetime 0">
    <match field="nd.ra.lifetime" value="0"/>
    <alert severity="info"/>
  </rule>
</rules>
`

func TestMain(m *testing.M) {
	if os.Getenv(brokerEnv) != "" {
		os.Exit(runBroker(os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("deploy/e2e builds the programs and runs them: left out by -short")
		return 0
	}
	dir, err := os.MkdirTemp("", "ndmon-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Tests run them as other users too.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.WriteFile(filepath.Join(dir, plainName), []byte(plainRules), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	const module = "github.com/ndmon/ndmon/"
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator),
		module+"deploy/cmd/ndmon", module+"sensor/cmd/nd-sensor", module+"ruled/cmd/nd-ruled", module+"pinger/cmd/nd-pinger")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	binaries = dir
	// Most of a test's time is waiting. (The flag's default is GOMAXPROCS.)
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// nobody is the user and group of programs without any rights.
const nobody = 65534

// plainName is the file of plainRules in the folder with the programs.
const plainName = "plain.xml"

// program is a command line of one of the binaries. Where rules are evaluated,
// they are plainRules by default.
func program(name string, args ...string) lab.Command {
	return with(builtin(name, args...), "RULED_RULES="+filepath.Join(binaries, plainName))
}

// builtin is a command line of one of the binaries with the built-in rules.
func builtin(name string, args ...string) lab.Command {
	return lab.Command{Path: filepath.Join(binaries, name), Args: args}
}

// stop ends programs in order (SIGTERM) and checks that they report success.
func stop(t *testing.T, programs ...*lab.Process) {
	t.Helper()
	for _, p := range programs {
		if status := p.Stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	}
}

// exits waits for the end of a program and checks its exit status.
func exits(t *testing.T, p *lab.Process, want int) {
	t.Helper()
	if status := p.Wait(); status != want {
		t.Errorf("exit status %d, want %d", status, want)
	}
}

// says checks that standard error has all the words.
func says(t *testing.T, p *lab.Process, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(p.Stderr.String(), word) {
			t.Errorf("standard error does not say %q: %s", word, p.Stderr)
		}
	}
}

// succeed runs a program that needs no network of its own and reports success.
func succeed(t *testing.T, c lab.Command) *lab.Process {
	t.Helper()
	p := lab.Start(t, c)
	if status := p.Wait(); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	return p
}

// monitor starts ndmon on the master of a router, with more arguments, and waits
// until it captures.
func monitor(t *testing.T, r *lab.Router, args ...string) *lab.Process {
	t.Helper()
	p := r.Start(program("ndmon", append([]string{"-i", lab.Master, "--data", t.TempDir()}, args...)...))
	p.Stderr.WaitFor("msg=capturing")
	return p
}

// startRuled starts nd-ruled and waits until it reads events.
func startRuled(n *lab.Namespace, env ...string) *lab.Process {
	p := n.Start(with(program("nd-ruled"), env...))
	p.Stderr.WaitFor("reading events")
	return p
}

// startSensor starts nd-sensor on the master of a router, called r1, and waits
// until it captures.
func startSensor(r *lab.Router, env ...string) *lab.Process {
	p := r.Start(with(program("nd-sensor"), append([]string{"SENSOR_HOST=r1", "SENSOR_INTERFACES=" + lab.Master}, env...)...))
	p.Stderr.WaitFor("msg=capturing")
	return p
}

// with returns the command with variables added to its environment.
func with(c lab.Command, env ...string) lab.Command {
	c.Env = append(c.Env[:len(c.Env):len(c.Env)], env...)
	return c
}

// public returns a folder of the test that every user may write to.
func public(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// The folder and its parent are private to the test's user.
	for _, d := range []string{dir, filepath.Dir(dir)} {
		must(t, os.Chmod(d, 0o777))
	}
	return dir
}

// write writes a file into a folder of the test and returns its path. Every user
// may read it.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(public(t), name)
	must(t, os.WriteFile(path, content, 0o644))
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// metric reads one figure of those that a process serves, such as
// nd_ruled_rules, with its labels if it has some.
func metric(t *testing.T, from *lab.Namespace, address, name string) float64 {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}, Timeout: lab.Patience}
	answer, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatalf("read metrics: %v", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("read metrics: %v", err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	must(t, err)
	return value
}

// equal reports what differs between two values.
func equal(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
