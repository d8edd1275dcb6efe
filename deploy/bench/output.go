package bench

import (
	"bytes"
	"fmt"
	"sync"
)

// output reads the lines that a process writes to its standard output.
type output struct {
	mu     sync.Mutex
	rest   []byte // of the line that is not whole
	last   []byte
	count  int
	handle func(line []byte)
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := len(p)
	for {
		line, after, whole := bytes.Cut(p, []byte{'\n'})
		o.rest = append(o.rest, line...)
		if !whole {
			return size, nil
		}
		o.count++
		if o.handle != nil {
			o.handle(o.rest)
		}
		o.last, o.rest, p = o.rest, o.last[:0], after
	}
}

// lines returns the number of lines.
func (o *output) lines() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

// follow calls handle for each line from now on.
func (o *output) follow(handle func(line []byte)) (end func()) {
	set := func(handle func([]byte)) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.handle = handle
	}
	set(handle)
	return func() { set(nil) }
}

// counters reads the last line of the bare loop.
func (o *output) counters() (c counts) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Sscan(string(o.last), &c.evaluated, &c.inKernel)
	return c
}
