package lab

import (
	"fmt"
	"net"
	"time"
)

// The kernel has one table of IPv6 neighbours for all namespaces, with room for
// gc_thresh3 entries, 1024 by default. Half of it is for the tests that need only
// the few entries of their hosts. The other half is divided into slots for tests
// that reserve them.
const (
	slotEntries = 64
	slots       = 1024 / 2 / slotEntries
)

// ReserveNeighbours waits until no other test, of any package, needs the part of
// the kernel's neighbour table that this test is going to fill, and keeps that
// part until the test ends. A test that makes more than slotEntries entries calls
// it once, before it makes a Namespace. A test that reserves half the table or
// more has all that can be reserved.
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

// lockName waits until one of the names is free, and holds it until it is closed
// or the process ends. Names are abstract Unix sockets: programs of one network
// namespace share them, and nothing is left of them.
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
