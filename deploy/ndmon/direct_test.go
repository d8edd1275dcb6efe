package ndmon

import (
	"sync"
	"testing"
)

// A message reaches the subscriber, and none after stop has returned.
func TestDirect(t *testing.T) {
	var d direct[int]
	one := 1
	d.send(&one) // without a subscriber
	for range 3 {
		got, stopped := 0, false
		stop := d.subscribe(func(n *int) {
			if stopped {
				t.Error("received after stop")
			}
			got += *n
		})
		d.send(&one)
		if got != 1 {
			t.Errorf("got %d, want 1", got)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 10_000 {
				d.send(&one)
			}
		})
		stop()
		stopped = true
		sending.Wait()
	}
}
