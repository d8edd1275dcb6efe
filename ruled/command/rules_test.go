package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas/process"
	"golang.org/x/sys/unix"
)

const oneRule = "<rules><rule><match field='nd.ra'/></rule></rules>"

// runCommand runs a command line and returns its exit status and what it has printed.
func runCommand(args ...string) (status int, printed string) {
	var out bytes.Buffer
	status = process.Execute(Daemon(), args, &out, &out)
	return status, out.String()
}

// pipe returns the reading end of a pipe into which the text is written.
func pipe(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() {
		defer w.Close()
		w.WriteString(text)
	}()
	return r
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	large := write(t, oneRule)
	if err := os.Truncate(large, rulefile.MaxSize+1); err != nil {
		t.Fatal(err)
	}
	named := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(named, []byte(oneRule), 0) // its error is that of the check
	stdin := os.Stdin
	os.Stdin = pipe(t, oneRule)
	defer func() { os.Stdin = stdin }()
	for _, tt := range []struct {
		file   string
		status int
		want   string
	}{
		{"/dev/zero", process.ExitFailure, "/dev/zero:1: larger than 67108864 bytes\n"},
		{large, process.ExitFailure, large + ":1: larger than 67108864 bytes\n"},
		{named, process.ExitOK, named + ": 1 rules are good\n"},
		{"-", process.ExitOK, "-: 1 rules are good\n"},
		{t.TempDir(), process.ExitFailure, "is a directory"},
		{"/dev/null", process.ExitFailure, "/dev/null:1: the file is empty\n"},
		{write(t, ""), process.ExitFailure, ":1: the file is empty\n"},
		{write(t, `<rules><rule id="a"><match field="nd.ns"/><threshold type="limit" track="inet6.source" count="1" seconds="60"/></rule></rules>`), process.ExitOK,
			": rule a tracks no host: in a fleet, its threshold counts the hosts of each of the 16 partitions of the events separately (notice)\n"},
		{write(t, "<rules/>"), process.ExitOK, ":1: no rules: nothing raises an alert (notice)\n"},
		{write(t, "<config_ndpmon/>"), process.ExitOK, ":1: no rules: nothing raises an alert (notice)\n"},
		{write(t, "<config_ndpmon><rules/></config_ndpmon>"), process.ExitOK, ":1: no rules: nothing raises an alert (notice)\n"},
	} {
		if status, printed := runCommand("check", tt.file); status != tt.status || !strings.Contains(printed, tt.want) {
			t.Errorf("check %s: exit status %d, %q, want %d, %q", tt.file, status, printed, tt.status, tt.want)
		}
	}
	// With settings only, the built-in rules are in force.
	_, printed := runCommand("check", write(t, "<config_ndpmon><settings/></config_ndpmon>"))
	if strings.Contains(printed, "no rules") {
		t.Errorf("check of settings: %q", printed)
	}
}
