package ndmon

import (
	"sync"
	"testing"
)

// What is given reaches who listens, and nobody once stop has returned.
func TestDirect(t *testing.T) {
	var d direct[int]
	one := 1
	d.give(&one) // to nobody
	for range 3 {
		got, stopped := 0, false
		stop := d.listen(func(n *int) {
			if stopped {
				t.Error("given after stop")
			}
			got += *n
		})
		d.give(&one)
		if got != 1 {
			t.Errorf("got %d, want 1", got)
		}
		var giving sync.WaitGroup
		giving.Go(func() {
			for range 10_000 {
				d.give(&one)
			}
		})
		stop()
		stopped = true
		giving.Wait()
	}
}
