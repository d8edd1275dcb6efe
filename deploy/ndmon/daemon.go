package ndmon

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

// startedFD is, in the environment of a daemon, the number of the file
// descriptor on which it says that it has started.
const startedFD = "NDMON_STARTED_FD"

// IsDaemon reports whether this process is the one in the background.
func IsDaemon() bool { return os.Getenv(startedFD) != "" }

// Daemonize runs this program again in the background and returns its process
// id once it has started. If it fails before, its exit status is in an
// *exec.ExitError and what it had to say is on standard error.
func Daemonize() (pid int, err error) {
	started, tell, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	defer started.Close()
	defer tell.Close()
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{tell}
	cmd.Env = append(os.Environ(), startedFD+"="+strconv.Itoa(3))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	tell.Close()
	if _, err := started.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		if err := cmd.Wait(); err != nil {
			return 0, err
		}
		return 0, errors.New("the daemon ended before it had started")
	}
	return cmd.Process.Pid, nil
}

// Background is called by the daemon once it has started: it lets the terminal
// go. What it writes to files goes on; instead of to a terminal, its log goes to
// the system's log and its alerts to NATS alone.
func Background(log, alerts *Writer) error {
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
		return fmt.Errorf("leave the folder: %w", err)
	}
	tell := os.NewFile(uintptr(fd), "started")
	defer tell.Close()
	if _, err := tell.Write([]byte{1}); err != nil {
		return fmt.Errorf("tell that the daemon has started: %w", err)
	}
	return nil
}

// systemLog is the system's log, or nothing where there is none.
func systemLog() io.Writer {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "ndmon")
	if err != nil {
		return io.Discard
	}
	return w
}

// Writer writes to another one that can be exchanged.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Switch has all that follows written to w.
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
