package daemon

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// WritePID writes the id of this process to a file, and locks the file until remove is called,
// which the caller does at the end. A file that a killed process has left behind is overwritten;
// that of a running one is an error.
func WritePID(path string) (remove func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		pid, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%s is in use by process %s", path, strings.TrimSpace(string(pid)))
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return nil, err
	}
	return func() {
		os.Remove(path) // before another process can lock it
		f.Close()
	}, nil
}
