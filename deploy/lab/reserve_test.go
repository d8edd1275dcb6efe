package lab_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
)

// Half of the neighbour table can be reserved, by one or more tests.
func TestReserveNeighbours(t *testing.T) {
	t.Parallel()
	lab.NeedRoot(t)
	var wait sync.WaitGroup
	var reserved atomic.Int32
	for _, entries := range []int32{512, 256, 256, 2000, 1, 64, 200} {
		wait.Go(func() {
			err := lab.Run(t.Name(), t.Output(), func(tb lab.TB) {
				lab.ReserveNeighbours(tb, int(entries))
				some := min(entries, 512)
				defer reserved.Add(-some)
				if all := reserved.Add(some); all > 512 {
					t.Errorf("%d entries are reserved", all)
				}
				runtime.Gosched()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}
