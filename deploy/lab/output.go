package lab

import (
	"strings"
	"sync"
	"time"
)

// Output collects what a process writes to standard output or standard error. It
// may be read while the process writes.
type Output struct {
	t    TB
	name string

	mu     sync.Mutex
	text   strings.Builder
	grown  chan struct{} // closed and made again when there is more
	closed bool
}

func newOutput(t TB, name string) *Output {
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

func (o *Output) close() {
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
