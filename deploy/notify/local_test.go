package notify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/lab"
)

// script writes a program.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
	return path
}

// A program gets an alert on its standard input, and nothing of it is read by a shell.
func TestExec(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f := newFixture(t, 1<<30)
	f.start("exec:" + script(t, `test "$2" = '$(id);x' && test "$(env | grep -vc -e PWD -e PATH -e SHLVL -e _=)" = 0 && cat >>"$1"`) + " " + out + " $(id);x")
	f.store(3)
	f.complete(func() []string { return found(t, out, `"id":"`) })
}

func TestExecFails(t *testing.T) {
	for text, want := range map[string]string{
		"exit 0":                               "",
		"echo 'the pager \033 is off'; exit 1": "exit status 1: the pager ? is off",
		"kill -9 $$":                           "signal: killed: ",
		"exit 65":                              "exit status 65: ",
	} {
		list, err := Parse("--to", []string{"exec:" + script(t, text)})
		must(t, err)
		n, err := list[0].send(t.Context(), []*alert{{data: []byte("{}")}})
		if want == "" && (n != 1 || err != nil) || want != "" && (n != 0 || err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %d, %v", text, n, err)
		}
		if refused := errors.As(err, new(refusedError)); refused != (text == "exit 65") {
			t.Errorf("%s: refused %v", text, refused)
		}
	}
}

// A file has each alert once, also when the process was killed before it noted its position, or in the middle of a line.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts")
	f := newFixture(t, 1<<30)
	stop := f.start("file:" + path)
	f.store(10)
	ids := func() []string { return found(t, path, `"id":"`) }
	f.complete(ids)
	stop()

	position, err := filepath.Glob(filepath.Join(f.state, "*.position"))
	must(t, err)
	text, err := os.ReadFile(position[0])
	must(t, err)
	older := strings.Replace(string(text), "0000000010 ", "0000000004 ", 1)
	must(t, os.WriteFile(position[0], []byte(older), 0o600))
	written, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, written[:len(written)-20], 0o600))
	stop = f.start("file:" + path)
	f.store(5)
	f.complete(ids)

	must(t, os.Rename(path, path+".1")) // as logrotate does
	f.store(1)
	lab.Eventually(t, "the new file has the next alert", func() bool { return cmp.Equal([]string{id(15)}, ids()) })
	stop()
}

// A full disk leaves no part of a line.
func TestFileIsFull(t *testing.T) {
	send, err := newFile("/dev/full")
	if err == nil || send != nil {
		t.Errorf("a device is taken for a file: %v", err)
	}
}
