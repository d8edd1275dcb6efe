package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// flow is traffic that goes on while a test does something else: numbered
// frames, some 2,000 a second.
type flow struct {
	t     *testing.T
	sent  atomic.Int64
	stop  chan struct{}
	ended chan error
}

func startFlow(t *testing.T, wire *lab.Wire) *flow {
	t.Helper()
	f := &flow{t: t, stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { f.ended <- f.run(wire) }()
	t.Cleanup(func() { f.end() })
	return f
}

func (f *flow) run(wire *lab.Wire) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%2 == 0 {
			select {
			case <-f.stop:
				return nil
			case <-tick.C:
			}
		}
		if _, err := wire.Write(numbered(n)); err != nil {
			return err
		}
		f.sent.Add(1)
	}
}

// wait waits until n more frames were sent, however slow the machine is: a thousand
// at a time.
func (f *flow) wait(n int) {
	f.t.Helper()
	for ; n > 0; n -= 1000 {
		until := f.sent.Load() + int64(min(n, 1000))
		lab.Eventually(f.t, "more frames are sent", func() bool { return f.sent.Load() >= until })
	}
}

// end ends the traffic and returns how many frames were sent.
func (f *flow) end() int {
	select {
	case <-f.stop:
	default:
		close(f.stop)
		if err := <-f.ended; err != nil {
			f.t.Error(err)
		}
	}
	return int(f.sent.Load())
}
