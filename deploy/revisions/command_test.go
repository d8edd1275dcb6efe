package revisions

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/central"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// run runs a command line of ndmon rules.
func run(args ...string) (status int, out, errs string) {
	root := &cobra.Command{Use: "rules"}
	root.AddCommand(Commands()...)
	var stdout, stderr bytes.Buffer
	status = process.Execute(root, args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// noDaemon is printed after a push without a daemon.
const noDaemon = "no nd-ruled or edge answers: the rules are in force when one is there\n"

// expect runs a command line, and checks its exit status and what it prints.
func expect(t *testing.T, status int, want string, args ...string) {
	t.Helper()
	got, out, errs := run(args...)
	if diff := cmp.Diff(want, out+errs); got != status || diff != "" {
		t.Errorf("rules %s: exit status %d, want %d; printed (-want +got):\n%s", strings.Join(args, " "), got, status, diff)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	first  = "<rules>\n  <rule id=\"a\"><match field=\"nd.ra\"/></rule>\n</rules>\n"
	second = "<rules>\n  <rule id=\"a\"><match field=\"nd.ra\"/></rule>\n  <rule id=\"b\"><match field=\"nd.rd\"/></rule>\n</rules>\n"

	added = "@@ -1,3 +1,4 @@\n <rules>\n   <rule id=\"a\"><match field=\"nd.ra\"/></rule>\n+  <rule id=\"b\"><match field=\"nd.rd\"/></rule>\n </rules>\n"
	none  = ": there are no central rules: ndmon rules push stores some\n"
)

func header(a, b string) string { return "diff " + a + " " + b + "\n--- " + a + "\n+++ " + b + "\n" }

func TestCommands(t *testing.T) {
	t.Setenv("NATS_URL", bustest.Start(t, t.TempDir(), -1).ClientURL())
	one, two := write(t, first), write(t, second)
	for _, command := range []string{"show", "log", "diff"} {
		expect(t, process.ExitFailure, "rules "+command+none, command)
	}
	expect(t, process.ExitFailure, "rules rollback"+none, "rollback", "1")
	expect(t, process.ExitOK, "revision 1: 1 rules\n"+noDaemon, "push", one, "-m", "the \x1bfirst\none")
	expect(t, process.ExitFailure, "rules diff: there is no revision 0: see ndmon rules log\n", "diff")
	expect(t, process.ExitOK, "revision 2: 2 rules\n"+noDaemon, "push", "--after", "1", two)
	expect(t, process.ExitFailure, "rules push: another revision than 1 is the newest now: nothing is pushed\n", "push", "--after", "1", one)

	faulty := write(t, "<rules>\n<rule><match field='no.such'/></rule>\n<rule/></rules>")
	status, out, errs := run("push", faulty)
	if status != process.ExitUsage || out != "" || !strings.HasPrefix(errs, faulty+":2: ") || !strings.Contains(errs, "\n"+faulty+":3: ") {
		t.Errorf("push of faulty rules: exit status %d\n%s%s", status, out, errs)
	}
	if status, _, errs := run("push", "/no/such"); status != process.ExitUsage || errs != "rules push: read rules: open /no/such: no such file or directory\n" {
		t.Errorf("push of no file: exit status %d\n%s", status, errs)
	}

	expect(t, process.ExitOK, second, "show")
	expect(t, process.ExitOK, first, "show", "1")
	expect(t, process.ExitFailure, "rules show: there is no revision 3: see ndmon rules log\n", "show", "3")
	expect(t, process.ExitUsage, "rules show: \"x\" is not the number of a revision: see ndmon rules log\n", "show", "x")

	expect(t, process.ExitOK, header("revision 1", "revision 2")+added, "diff")
	expect(t, process.ExitOK, header("revision 1", "revision 2")+added, "diff", "1")
	expect(t, process.ExitOK, "", "diff", "2")
	expect(t, process.ExitOK, "", "diff", two)
	expect(t, process.ExitOK, header("revision 1", two)+added, "diff", "1", two)
	expect(t, process.ExitFailure, "rules diff: open /no/such: no such file or directory\n", "diff", "/no/such")

	expect(t, process.ExitOK, "revision 3: 1 rules\n"+noDaemon, "rollback", "1")
	expect(t, process.ExitOK, first, "show")
	expect(t, process.ExitFailure, "rules rollback: there is no revision 9: see ndmon rules log\n", "rollback", "9")
	status, out, errs = run("push", "builtin")
	if status != process.ExitOK || !strings.HasPrefix(out, "revision 4: ") || errs != "" {
		t.Errorf("push builtin: exit status %d\n%s%s", status, out, errs)
	}
	expect(t, process.ExitOK, central.Builtin, "show")
	testLog(t)
}

func testLog(t *testing.T) {
	status, out, _ := run("log", "-o", "json")
	var messages []string
	for line := range strings.Lines(out) {
		var r central.Revision
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if time.Since(r.Time).Abs() > time.Hour || r.Rules == "" || !strings.Contains(r.Author, "@") {
			t.Errorf("log: %s", line)
		}
		messages = append(messages, r.Message)
	}
	if diff := cmp.Diff([]string{"", "rollback to revision 1", "", "the \x1bfirst one"}, messages); status != process.ExitOK || diff != "" {
		t.Errorf("log: exit status %d, messages (-want +got):\n%s", status, diff)
	}
	status, out, _ = run("log")
	lines := strings.Split(out, "\n")
	if status != process.ExitOK || len(lines) != 6 || !strings.HasPrefix(lines[0], "REVISION  TIME ") || !strings.HasPrefix(lines[1], "4  ") || !strings.HasSuffix(lines[4], "1      the ?first one") {
		t.Errorf("log: exit status %d\n%s", status, out)
	}
	expect(t, process.ExitUsage, "rules log: --output: \"xml\" is not a format: use table or json\n", "log", "-o", "xml")
}

func TestNoServer(t *testing.T) {
	t.Setenv("NATS_URL", "nats://127.0.0.1:1")
	expect(t, process.ExitFailure, "rules show: connect to NATS at nats://127.0.0.1:1: nats: no servers available for connection\n", "show")
}
