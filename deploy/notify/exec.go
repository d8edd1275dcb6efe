package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
)

const (
	// programTimeout is the time for a program to handle an alert.
	programTimeout = 30 * time.Second
	// refusedStatus is the exit status of a program that will never take the alert: EX_DATAERR of sysexits.h.
	refusedStatus = 65
)

// newExec returns how to run a program for each alert, with the alert on its standard input. There is no shell.
func newExec(argv []string) (send, error) {
	if len(argv) == 0 {
		return nil, errors.New("needs the path of a program")
	}
	if err := absolute(argv[0]); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return nil, err
	}
	return func(ctx context.Context, list []*alert) (taken int, err error) {
		for i, a := range list {
			if err := runProgram(ctx, argv, append(a.data, '\n')); err != nil {
				return i, err
			}
		}
		return len(list), nil
	}, nil
}

func runProgram(ctx context.Context, argv []string, input []byte) error {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	var output head
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &output, &output
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // with what it has started
	c.WaitDelay = time.Second
	err := c.Run()
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("no end within %v", programTimeout)
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // what it has started may go on
		return nil
	}
	err = fmt.Errorf("%s: %w: %s", argv[0], err, alerts.Printable(strings.TrimSpace(string(output))))
	if c.ProcessState != nil && c.ProcessState.ExitCode() == refusedStatus {
		return refusedError{err}
	}
	return err
}

// head keeps the first bytes that are written to it.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), maxAnswer-len(*h))]...)
	return len(p), nil
}
