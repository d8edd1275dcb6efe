package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWritePID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ndmon.pid")
	// A killed process has left it behind.
	if err := os.WriteFile(path, []byte("4194304 and more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	remove, err := WritePID(path)
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintln(os.Getpid())
	if data, err := os.ReadFile(path); err != nil || string(data) != own {
		t.Errorf("the file has %q, %v", data, err)
	}
	if _, err := WritePID(path); err == nil || !strings.Contains(err.Error(), path+" is in use by process "+strings.TrimSpace(own)) {
		t.Errorf("the file of a running process: %v", err)
	}
	remove()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file at the end: %v", err)
	}
	if _, err := WritePID(filepath.Join(path, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file in no directory: %v", err)
	}
}
