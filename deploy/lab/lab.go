// Package lab makes networks of namespaces on this machine for tests and
// benchmarks: namespaces joined by veth pairs, addresses, processes in a namespace,
// frames sent and received on an interface, and the kernel's neighbour table. It is
// a module of its own, because every module tests with it.
//
// A lab belongs to a test or another TB; Run gives one to a program. An operation
// that fails ends the test with a message, so the methods return no errors, and
// everything is removed when the test ends:
//
//	r := lab.NewRouter(t)                       // master m0, slaves s1 and s2, hosts behind them
//	p := r.Start(lab.Command{Path: "bin/ndmon", Args: []string{"-m", "m0", "-s", "s1,s2"}})
//	p.Stderr.WaitFor("serving NATS")
//	conn, err := nats.Connect("nats://127.0.0.1:4222", nats.SetCustomDialer(r))
//	r.Solicit(lab.Host2Address)                 // the kernel solicits it on m0
//	lab.Eventually(t, "ndmon finds it behind s2", func() bool {
//		return r.NeighbourState("s2", lab.Host2Address) == "REACHABLE"
//	})
//
// Namespaces have no names in the system. They end with the test's process and the
// processes in them, so labs do not share any and leave none behind.
package lab

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// TB is the test that a lab belongs to: a testing.TB, or the TB that Run makes.
type TB interface {
	Helper()
	Name() string
	// Cleanup registers f to be called when the test ends, in reverse order.
	Cleanup(f func())
	Failed() bool
	Logf(format string, args ...any)
	// Fatalf and Skipf end the goroutine that runs the test.
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Patience is how long Eventually and the WaitFor methods wait before the test
// fails: much longer than an operation takes on a busy machine.
const Patience = 30 * time.Second

// Eventually waits until the condition holds, and fails the test after Patience.
func Eventually(t TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Run calls f with a TB for a program that is no test, and cleans up after it. It
// returns the error with which f called Fatalf or Skipf. Log lines go to w.
func Run(name string, w io.Writer, f func(TB)) error {
	p := &program{name: name, w: w}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.clean()
		f(p)
	}()
	<-done
	return p.err
}

type program struct {
	name     string
	w        io.Writer
	err      error
	failed   atomic.Bool
	cleanups []func()
}

func (p *program) clean() {
	for len(p.cleanups) > 0 {
		last := len(p.cleanups) - 1
		f := p.cleanups[last]
		p.cleanups = p.cleanups[:last]
		f()
	}
}

func (p *program) Helper()                         {}
func (p *program) Name() string                    { return p.name }
func (p *program) Cleanup(f func())                { p.cleanups = append(p.cleanups, f) }
func (p *program) Failed() bool                    { return p.failed.Load() }
func (p *program) Logf(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p *program) Fatalf(format string, args ...any) {
	p.failed.Store(true)
	p.err = errors.Join(p.err, fmt.Errorf(format, args...))
	runtime.Goexit()
}

func (p *program) Skipf(format string, args ...any) { p.Fatalf(format, args...) }

// NeedRoot skips a test that needs network namespaces: with -short, and without
// root. In continuous integration (CI=true) a test without root fails instead.
func NeedRoot(t TB) {
	t.Helper()
	// A program that is no test has no such flag.
	if short := flag.Lookup("test.short"); short != nil && short.Value.String() == "true" {
		t.Skipf("needs root to make network namespaces, and -short leaves such tests out")
	}
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs root to make network namespaces, and CI=true forbids to skip")
	}
	t.Skipf("needs root to make network namespaces")
}

// The kernel has one table of IPv6 neighbours for all namespaces. It holds
// gc_thresh3 entries, 1024 by default. Half of them are for tests that need only the
// few entries of their hosts. The other half are divided into slots, which tests
// reserve.
const (
	slotEntries = 64
	slots       = 1024 / 2 / slotEntries
)

// ReserveNeighbours reserves entries of the kernel's neighbour table until the test
// ends. It waits while other tests, of any package, have reserved too many. A test
// that makes more than slotEntries entries calls it once, before it makes a
// Namespace, and so does one that fails while another fills the table. No more than half the table can be reserved: a larger number reserves
// that half.
func ReserveNeighbours(t TB, entries int) {
	t.Helper()
	NeedRoot(t)
	// One test at a time collects slots, so that two never wait for each other.
	turn := lockName(t, "turn")
	defer turn.Close()
	for range min((entries+slotEntries-1)/slotEntries, slots) {
		names := make([]string, slots)
		for i := range names {
			names[i] = fmt.Sprint("slot", i)
		}
		slot := lockName(t, names...)
		t.Cleanup(func() { slot.Close() })
	}
}

// lockName waits until one of the names is free. The name is in use until the
// listener is closed or the process ends. Names are abstract Unix sockets, which all
// programs of a network namespace share and which leave no files.
func lockName(t TB, names ...string) net.Listener {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		for _, name := range names {
			if l, err := net.Listen("unix", "@ndmon-lab-neighbours-"+name); err == nil {
				return l
			}
		}
	}
}
