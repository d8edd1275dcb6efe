package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a program to start.
type Command struct {
	// Path is the binary, Args are its arguments, without its name.
	Path string
	Args []string
	// Env are its environment variables, besides PATH, HOME=/nonexistent and TMPDIR
	// if set. It inherits no other variable.
	Env []string
	// Dir is its working folder; empty for that of the test.
	Dir   string
	Stdin io.Reader
	// Stdout receives the standard output in place of Process.Stdout, if not nil.
	Stdout io.Writer
	// UID is the user and group that it runs as; 0 for those of the test.
	UID uint32
	// Capabilities are the capabilities that it keeps as another user than root,
	// such as unix.CAP_NET_RAW.
	Capabilities []uintptr
}

// Process is a program that was started. It is killed when the test ends, or
// when the test's process does.
type Process struct {
	Stdout, Stderr *Output

	name string
	t    TB
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a program in the namespace.
func (n *Namespace) Start(c Command) *Process {
	n.t.Helper()
	return start(n.t, c, n.Go, n.name+": "+filepath.Base(c.Path))
}

// Start starts a program that needs no network, in that of the test.
func Start(t TB, c Command) *Process {
	t.Helper()
	within := func(f func()) {
		go func() {
			runtime.LockOSThread() // for good, see Pdeathsig
			f()
		}()
	}
	return start(t, c, within, filepath.Base(c.Path))
}

func start(t TB, c Command, within func(func()), name string) *Process {
	t.Helper()
	p := &Process{
		Stdout: NewOutput(t, name+" stdout"), Stderr: NewOutput(t, name+" stderr"),
		name: name, t: t, cmd: exec.Command(c.Path, c.Args...), done: make(chan struct{}),
	}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	if dir := os.Getenv("TMPDIR"); dir != "" {
		p.cmd.Env = append(p.cmd.Env, "TMPDIR="+dir)
	}
	p.cmd.Env = append(p.cmd.Env, c.Env...)
	p.cmd.Dir, p.cmd.Stdin = c.Dir, c.Stdin
	p.cmd.Stdout, p.cmd.Stderr = p.Stdout, p.Stderr
	if c.Stdout != nil {
		p.cmd.Stdout = c.Stdout
	}
	// Wait does not wait for a child that outlives the program, such as a daemon.
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.UID != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.UID}
		p.cmd.SysProcAttr.AmbientCaps = c.Capabilities
	}
	started := make(chan error)
	within(func() {
		// Pdeathsig is sent when this thread ends, so it waits for the program.
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait() // its outcome is in ProcessState
			p.Stdout.end()
			p.Stderr.end()
		}
	})
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s %s\nstandard output:\n%s\nstandard error:\n%s", name, strings.Join(c.Args, " "), tail(p.Stdout), tail(p.Stderr))
		}
		p.Kill()
	})
	return p
}

// tail returns the last lines of an output, each cut to a length.
func tail(o *Output) string {
	const lines, bytes = 15, 300
	list := strings.Split(strings.TrimSuffix(o.String(), "\n"), "\n")
	if n := len(list); n > lines {
		list = append([]string{fmt.Sprintf("… %d lines", n-lines)}, list[n-lines:]...)
	}
	for i, line := range list {
		if len(line) > bytes {
			list[i] = line[:bytes] + "…"
		}
	}
	return strings.Join(list, "\n")
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("%s: send %v: %v", p.name, s, err)
	}
}

// Done is closed after the process has ended and all its output is read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the process to end and returns its exit status, -1 when a
// signal has ended it. It fails the test if that takes longer than Patience.
func (p *Process) Wait() int {
	p.t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-late.C:
		p.Signal(syscall.SIGQUIT) // a program in Go writes what its goroutines do
		select {
		case <-p.done:
		case <-time.After(time.Second):
		}
		p.t.Fatalf("%s still runs after %v:\n%s", p.name, Patience, p.Stderr)
		return -1
	}
}

// Stop asks the process to end (SIGTERM), and returns its exit status.
func (p *Process) Stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Kill ends the process (SIGKILL) and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// ProcessState waits for the process to end and returns its state.
func (p *Process) ProcessState() *os.ProcessState {
	<-p.done
	return p.cmd.ProcessState
}

// Output collects what a process writes to standard output or standard error, or what is logged. It
// may be read while it is written.
type Output struct {
	t    TB
	name string

	mu     sync.Mutex
	text   strings.Builder
	grown  chan struct{} // closed and made again when there is more
	closed bool
}

// NewOutput returns an empty Output. Its name is for messages of the test.
func NewOutput(t TB, name string) *Output {
	return &Output{t: t, name: name, grown: make(chan struct{})}
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

func (o *Output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	o.closed = true
}

// String returns all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Lines returns the lines that were written whole so far, without their ends.
func (o *Output) Lines() []string {
	text := o.String()
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(text[:end], "\n")
}

// WaitFor waits until the output contains each of the texts, in this order, and
// fails the test if that takes longer than Patience or the process ends before.
func (o *Output) WaitFor(texts ...string) {
	o.t.Helper()
	o.WaitForAfter(0, texts...)
}

// WaitForAfter is WaitFor for the output after its first n bytes. It returns the
// position after the last text.
func (o *Output) WaitForAfter(n int, texts ...string) int {
	o.t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		o.mu.Lock()
		text, grown, closed := o.text.String(), o.grown, o.closed
		o.mu.Unlock()
		end, missing := find(text, n, texts)
		if missing == "" {
			return end
		}
		if closed {
			o.t.Fatalf("%s ended without %q", o.name, missing)
		}
		select {
		case <-grown:
		case <-late.C:
			o.t.Fatalf("%s: not within %v: %q", o.name, Patience, missing)
		}
	}
}

// find finds texts in their order, and returns the first that is missing.
func find(text string, from int, texts []string) (end int, missing string) {
	for _, want := range texts {
		at := strings.Index(text[from:], want)
		if at < 0 {
			return 0, want
		}
		from += at + len(want)
	}
	return from, ""
}
