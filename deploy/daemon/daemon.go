// Package daemon runs this program again in the background, which is ndmon --daemon.
package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// startedFD is the variable of a process in the background with the number of the file
// descriptor to which it writes once it has started.
const startedFD = "NDMON_STARTED_FD"

// Running reports whether this process is the one in the background.
func Running() bool { return os.Getenv(startedFD) != "" }

// Start runs this program again in the background and returns its process id once it has
// started. If that process exits before, its exit status is in an *exec.ExitError, and it
// has printed its error.
func Start() (pid int, err error) {
	started, report, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	defer started.Close()
	defer report.Close()
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{report}
	cmd.Env = append(os.Environ(), startedFD+"="+strconv.Itoa(3))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	report.Close()
	if _, err := started.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		if err := cmd.Wait(); err != nil {
			return 0, err
		}
		return 0, errors.New("the daemon exited before it had started")
	}
	return cmd.Process.Pid, nil
}

// Started is called by the process in the background once it has started. It leaves the
// terminal: a log that went there goes to the system's log, and alerts that went there go
// to NATS only. Files stay open.
func Started(log, alerts *Writer) error {
	fd, err := strconv.Atoi(os.Getenv(startedFD))
	if err != nil {
		return fmt.Errorf("%s: %w", startedFD, err)
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		log.Switch(systemLog())
	}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		alerts.Switch(io.Discard)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("leave the directory: %w", err)
	}
	report := os.NewFile(uintptr(fd), "started")
	defer report.Close()
	if _, err := report.Write([]byte{1}); err != nil {
		return fmt.Errorf("report that the daemon has started: %w", err)
	}
	return nil
}

// systemLog returns the system's log, or a writer that discards if there is none.
func systemLog() io.Writer {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "ndmon")
	if err != nil {
		return io.Discard
	}
	return w
}

// Writer writes to an io.Writer that can be replaced.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Switch makes later writes go to w.
func (s *Writer) Switch(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
}

// Write implements io.Writer.
func (s *Writer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
