package pool

import (
	"fmt"
	"testing"
	"time"
)

// The memory of an index that was large goes with what was in it: a flood on one
// made-up VLAN after the other does not add up.
func TestIndexShrinks(t *testing.T) {
	const bound = 10_000
	p := New[uint64](bound, 2, func(*int) int64 { return 0 })
	var partitions []*Partition[uint64, int]
	for i := range uint64(5) {
		s := p.Partition("r1", "eth0", fmt.Sprint(i))
		partitions = append(partitions, s)
		for n := range uint64(2 * bound) {
			s.Add(n, int64(i)*60*int64(time.Second))
		}
	}
	room := 0
	for _, s := range partitions {
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		room += s.of.Value.most
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	if room > 2*bound {
		t.Errorf("the indexes have had %d entries since they were made, at most %d are used", room, bound)
	}
}
