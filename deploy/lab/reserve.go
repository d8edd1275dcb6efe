package lab

import (
	"fmt"
	"net"
	"time"
)

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
// Namespace. No more than half the table can be reserved: a larger number reserves
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
