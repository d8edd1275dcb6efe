package pool

import (
	"fmt"
	"math/rand/v2"
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
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		room += s.of.value.most
	}
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	if room > 2*bound {
		t.Errorf("the indexes have had %d entries since they were made, at most %d are used", room, bound)
	}
}

// FuzzPool sees that whatever is done to a pool leaves it consistent.
func FuzzPool(f *testing.F) {
	f.Add(uint64(1), true)
	f.Add(uint64(2), false)
	f.Fuzz(func(t *testing.T, seed uint64, indexed bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		type entry struct{ first, last int64 }
		p := New[uint64](1+r.IntN(100), 1+r.IntN(2), func(e *entry) int64 { return e.last })
		places := map[uint64]int32{} // of the entries, where the pool has no index
		if !indexed {
			p.Forgotten = func(key uint64, _ entry) { delete(places, key) }
		}
		partitions := map[uint64]*Partition[uint64, entry]{}
		now := int64(0)
		for range 3000 {
			now += r.Int64N(int64(time.Minute) >> r.IntN(20))
			n := r.Uint64N(6)
			s := partitions[n]
			if s == nil {
				s = p.Partition(fmt.Sprint(n&1), fmt.Sprint(n&2), fmt.Sprint(n))
				partitions[n] = s
			}
			key := n<<32 | r.Uint64N(60)
			i := s.Find(key)
			if at, ok := places[key]; ok {
				i = at
			}
			switch action := r.IntN(200); {
			case action == 0:
				s.Drop()
				delete(partitions, n)
			case action == 1:
				s.Doubtful = !s.Doubtful
			case action < 5:
				s.Prune(20, func(e *entry) bool { return now-e.last < int64(time.Hour) })
			case i == None:
				i = s.Insert(key, s.Classify(now))
				*s.At(i) = entry{now, now}
				if !indexed {
					places[key] = i
				}
			case action < 100:
				s.Renew(i)
			default:
				s.SeenAt(i, s.At(i).first, now)
				s.At(i).last = now
			}
		}
		entries := 0
		for n, s := range partitions {
			if err := s.check(); err != nil {
				t.Fatalf("partition %d: %v", n, err)
			}
			entries += s.Len()
		}
		if err := p.check(); err != nil || entries != p.Used || !indexed && len(places) != entries {
			t.Fatalf("%d entries in the partitions, %d in the pool: %v", entries, p.Used, err)
		}
	})
}

// check returns an error if the counts and the memory of the pool do not fit together.
func (p *Pool[K, V]) check() error {
	if used := p.all.count(Flooded) + p.all.count(Once) + p.all.count(Lasting); used != p.Used || used > p.max {
		return fmt.Errorf("%d entries are counted, %d used, at most %d", used, p.Used, p.max)
	}
	free := 0
	for i := p.free; i != None; i = p.at(i).next {
		free++
	}
	nodes := 0
	for _, chunk := range p.chunks {
		nodes += len(chunk)
	}
	if nodes != free+p.Used || nodes > p.max {
		return fmt.Errorf("%d nodes, %d used, %d free, at most %d", nodes, p.Used, free, p.max)
	}
	return nil
}

// check returns an error if the lists, counts and index of the partition do not fit together.
func (s *Partition[K, V]) check() error {
	entries, branch := 0, &s.of.value
	for class, l := range branch.lists {
		n, before := 0, int32(None)
		for i := l.head; i != None; i = s.pool.at(i).next {
			node := s.pool.at(i)
			if node.prev != before || int(node.class) != class || branch.index != nil && s.Find(node.key) != i {
				return fmt.Errorf("entry %d of class %d: %+v", n, class, node)
			}
			n, before = n+1, i
		}
		if n != l.len || n != s.of.count(class) || l.tail != before {
			return fmt.Errorf("class %d has %d entries, %d in its list, %d counted", class, n, l.len, s.of.count(class))
		}
		entries += n
	}
	if branch.index != nil && len(branch.index) != entries {
		return fmt.Errorf("%d entries, %d in the index", entries, len(branch.index))
	}
	return nil
}
