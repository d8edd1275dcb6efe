package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// TestMain lets the test binary run as ndmon, for the completion in a shell.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "ndmon" {
		os.Exit(process.Execute(New(false), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tree returns a command and all its commands that are not hidden.
func tree(c *cobra.Command) (list []*cobra.Command) {
	if c.Hidden {
		return nil
	}
	list = append(list, c)
	for _, sub := range c.Commands() {
		list = append(list, tree(sub)...)
	}
	return list
}

// Every command has a man page that describes it and its options.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	root := New(false)
	var stderr bytes.Buffer
	if status := process.Execute(root, []string{"man", dir}, os.Stdout, &stderr); status != process.ExitOK {
		t.Fatal(&stderr)
	}
	for _, c := range tree(root) {
		if c.Name() == "help" {
			continue // cobra leaves it out
		}
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".8"))
		if err != nil {
			t.Error(err)
			continue
		}
		if text := string(page); !strings.HasPrefix(text, ".nh\n.TH") || !strings.Contains(text, c.Short) {
			t.Errorf("the page of %s:\n%s", c.CommandPath(), text)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "ndmon.8")); err != nil || !bytes.Contains(page, []byte(`\fB--slaves\fP=`)) {
		t.Errorf("the options of ndmon: %v\n%s", err, page)
	}
}

// Every command has a help, which is the same by the command help.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range tree(New(false)) {
		path := strings.Fields(c.CommandPath())[1:]
		var helps [2]bytes.Buffer
		for i, args := range [][]string{append(slices.Clone(path), "--help"), append([]string{"help"}, path...)} {
			var stderr bytes.Buffer
			if status := process.Execute(New(false), args, &helps[i], &stderr); status != process.ExitOK || stderr.Len() > 0 {
				t.Errorf("ndmon %s: exit status %d, %s", strings.Join(args, " "), status, &stderr)
			}
		}
		if c.Short == "" || !strings.Contains(helps[0].String(), "Usage:\n  "+c.CommandPath()) || helps[0].String() != helps[1].String() {
			t.Errorf("the help of %s:\n%s\n%s", c.CommandPath(), &helps[0], &helps[1])
		}
	}
}

// The shell completes commands and the values of options.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		unable := t.Skip
		if os.Getenv("CI") == "true" {
			unable = t.Fatal
		}
		unable(err)
	}
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(test, filepath.Join(dir, "ndmon")); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"ndmon ru":            "rules",
		"ndmon rules ch":      "check",
		"ndmon keys ":         "add init remove",
		"ndmon --log-level d": "debug",
		"ndmon --mas":         "--master",
		"ndmon completion z":  "zsh",
	} {
		script := `set -e
source <(ndmon completion bash)
_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
COMP_WORDS=($1); [[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); COMP_LINE=$1; COMP_POINT=${#1}; COMP_TYPE=9
compopt() { :; }
__start_ndmon || true
printf '%s\n' "${COMPREPLY[@]}"`
		cmd := exec.Command(bash, "-c", script, "bash", line)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		var words []string
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 0 {
				words = append(words, fields[0]) // without the description
			}
		}
		slices.Sort(words)
		if got := strings.Join(words, " "); err != nil || got != want {
			t.Errorf("%q completes to %q, want %q: %v\n%s", line, got, want, err, out)
		}
	}
}
