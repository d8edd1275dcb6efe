package pool

import "fmt"

// check returns an error if the counts and the memory of the pool do not fit together.
func (p *Pool[K, V]) check() error {
	if used := p.all.Count(Flooded) + p.all.Count(Once) + p.all.Count(Lasting); used != p.Used || used > p.max {
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
	entries, branch := 0, &s.of.Value
	for class, l := range branch.lists {
		n, before := 0, int32(None)
		for i := l.head; i != None; i = s.pool.at(i).next {
			node := s.pool.at(i)
			if node.prev != before || int(node.class) != class || branch.index != nil && s.Find(node.key) != i {
				return fmt.Errorf("entry %d of class %d: %+v", n, class, node)
			}
			n, before = n+1, i
		}
		if n != l.len || n != s.of.Count(class) || l.tail != before {
			return fmt.Errorf("class %d has %d entries, %d in its list, %d counted", class, n, l.len, s.of.Count(class))
		}
		entries += n
	}
	if branch.index != nil && len(branch.index) != entries {
		return fmt.Errorf("%d entries, %d in the index", entries, len(branch.index))
	}
	return nil
}
