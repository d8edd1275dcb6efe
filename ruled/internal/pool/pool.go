// Package pool is the bounded memory that all links share. It knows nothing of what the entries are about.
//
// A full pool forgets what matters least: what was first seen in a flood before what was seen once, and only then what
// was seen again. Within such a class it forgets the entry that has been silent for longest: of the host that has the
// most entries of the class, there of the interface that has the most, and there of the link. So a flood only pushes
// out its own entries, on however many made-up VLANs, interfaces or hosts it arrives.
package pool

import (
	"maps"
	"time"
)

// Pool holds a bounded number of entries of all links.
type Pool[K comparable, V any] struct {
	// Forgotten, if set, is called with each entry that is forgotten. Its setter finds the
	// entries without the index of the partitions.
	Forgotten func(K, V)
	// Used is the number of entries, Evictions counts those that were forgotten to make room for others.
	Used      int
	Evictions uint64

	max int
	nodes[K, V]
	// all has the hosts, these their interfaces, and these their links.
	all *tree[branch[K]]
	// last returns when an entry was seen last, in Unix nanoseconds.
	last func(*V) int64
	// wider is how many times as many new entries make a storm on an interface as on a
	// link, on a host as on an interface, and on all hosts as on one.
	wider int
}

// branch is a pool's record of a host, an interface or a link.
type branch[K comparable] struct {
	storm storm
	// The rest is that of a link: how many partitions use it, its entries by class, and where to find them.
	// most is the largest number of entries that the index had: a map does not shrink by itself.
	users int
	lists [classes]list
	index map[K]int32
	most  int
}

// Partition is the part of a pool that belongs to one link.
type Partition[K comparable, V any] struct {
	// Doubtful is true while the link itself may be made up: then all new entries on it count as a flood's.
	Doubtful bool

	pool *Pool[K, V]
	of   *tree[branch[K]]
}

// New returns a pool with room for so many entries, at least one. See Pool for wider and last.
func New[K comparable, V any](most, wider int, last func(*V) int64) *Pool[K, V] {
	return &Pool[K, V]{max: max(most, 1), wider: wider, nodes: nodes[K, V]{free: None}, all: &tree[branch[K]]{}, last: last}
}

// Partition returns the partition of a link, which has the names of its host, its interface
// and what else distinguishes it. Close or Drop ends its use.
func (p *Pool[K, V]) Partition(names ...string) *Partition[K, V] {
	n := p.all
	for _, name := range names {
		n = n.child(name)
	}
	if n.value.users == 0 {
		n.value = branch[K]{lists: [classes]list{{None, None, 0}, {None, None, 0}, {None, None, 0}}}
		if p.Forgotten == nil {
			n.value.index = map[K]int32{}
		}
	}
	n.value.users++
	return &Partition[K, V]{pool: p, of: n}
}

// At returns the value at an index of any partition.
func (p *Pool[K, V]) At(i int32) *V { return &p.at(i).value }

// Drop forgets all entries of the partition, and closes it.
func (s *Partition[K, V]) Drop() {
	for class := range s.of.value.lists {
		for l := &s.of.value.lists[class]; l.len > 0; {
			s.remove(l.tail)
		}
	}
	s.Close()
}

// Close ends the use of a partition that has no entries or has other users.
func (s *Partition[K, V]) Close() {
	if s.of.value.users--; s.of.value.users == 0 {
		s.of.drop()
	}
}

// Len returns the number of entries.
func (s *Partition[K, V]) Len() int {
	return s.of.count(Flooded) + s.of.count(Once) + s.of.count(Lasting)
}

// Find returns the index of a key's entry, or None.
func (s *Partition[K, V]) Find(key K) int32 {
	if i, ok := s.of.value.index[key]; ok {
		return i
	}
	return None
}

// At returns the value at an index. It stays there until the entry is forgotten.
func (s *Partition[K, V]) At(i int32) *V { return &s.pool.at(i).value }

// Key returns the key of the entry at an index.
func (s *Partition[K, V]) Key(i int32) K { return s.pool.at(i).key }

// Class returns the class of the entry at an index.
func (s *Partition[K, V]) Class(i int32) int { return int(s.pool.at(i).class) }

// Get returns the value of a key, or nil.
func (s *Partition[K, V]) Get(key K) *V {
	if i := s.Find(key); i != None {
		return s.At(i)
	}
	return nil
}

// Insert makes an entry of a class, with a zero value, for a key that has none, and returns its index.
func (s *Partition[K, V]) Insert(key K, class int) int32 {
	p, own := s.pool, &s.of.value
	var i int32
	counted := false
	if p.Used >= p.max {
		i, counted = s.evict(class)
	} else {
		if p.free == None {
			p.grow(p.max)
		}
		i = p.free
		p.free = p.at(i).next
		p.Used++
	}
	n := p.at(i)
	*n = node[K, V]{key: key, class: uint8(class)}
	if own.index != nil {
		own.index[key] = i
		own.most = max(own.most, len(own.index))
	}
	p.push(&own.lists[class], i, n)
	if !counted {
		s.of.add(class)
	}
	return i
}

// evict forgets an entry to make room for a new one of a class, and returns its index. Where a flood pushes
// out its own entry, the counts stay as they are: then the new one is counted already.
func (s *Partition[K, V]) evict(class int) (i int32, counted bool) {
	p := s.pool
	from := p.victims(class)
	of := s.of.most(from)
	i = of.value.lists[from].tail
	n := p.at(i)
	p.unlink(&of.value.lists[from], i, n)
	counted = of == s.of && from == class
	if !counted {
		of.remove(from)
	}
	p.Evictions++
	p.lose(of, n)
	return i, counted
}

// victims returns the class of which an entry is forgotten for a new one of a class. Those
// of a flood have a tenth of the pool, so that they can at least be distinguished.
func (p *Pool[K, V]) victims(class int) int {
	floods := p.all.count(Flooded)
	switch {
	case p.all.count(Once) == 0 && floods == 0:
		return Lasting
	case p.all.count(Once) == 0 || floods > p.max/10 || floods > 0 && class != Flooded:
		return Flooded
	}
	return Once
}

// Prune forgets the entries at the end of each list that are not fresh, and one more, the
// one longest silent of the first class that has any, if the partition has most entries.
func (s *Partition[K, V]) Prune(most int, fresh func(*V) bool) {
	full := s.Len() >= most
	for class := range s.of.value.lists {
		for l := &s.of.value.lists[class]; l.len > 0 && (full || !fresh(s.At(l.tail))); full = false {
			s.remove(l.tail)
		}
	}
}

func (s *Partition[K, V]) remove(i int32) {
	p := s.pool
	n := p.at(i)
	p.unlink(&s.of.value.lists[n.class], i, n)
	s.of.remove(int(n.class))
	p.Used--
	p.lose(s.of, n)
	n.next, p.free = p.free, i
}

func (p *Pool[K, V]) lose(of *tree[branch[K]], n *node[K, V]) {
	if own := &of.value; own.index != nil {
		delete(own.index, n.key)
		if own.most >= 2*chunkSize && len(own.index) < own.most/4 {
			// Free the memory of an index that has lost most of its entries.
			index := make(map[K]int32, len(own.index))
			maps.Copy(index, own.index)
			own.index, own.most = index, len(index)
		}
	}
	if p.Forgotten != nil {
		p.Forgotten(n.key, n.value)
	}
}

// Each calls visit with all entries and their indexes by class, the one silent for longest first.
func (s *Partition[K, V]) Each(visit func(key K, value *V, i int32)) {
	for class := range s.of.value.lists {
		for i := s.of.value.lists[class].tail; i != None; i = s.pool.at(i).prev {
			n := s.pool.at(i)
			visit(n.key, &n.value, i)
		}
	}
}

const (
	// doubtTime is how long a flood's entry is doubted while the flood goes on.
	doubtTime = int64(600 * time.Second)
	// silentTime is how long a lasting entry must have been silent to make room for
	// another lasting one. Hosts that are present are heard more often than that.
	silentTime = int64(3600 * time.Second)
)

// Add makes an entry, with a zero value, for a key that has none.
func (s *Partition[K, V]) Add(key K, now int64) *V { return s.At(s.Insert(key, s.Classify(now))) }

// Classify counts a new entry and returns its class: Flooded or Once.
func (s *Partition[K, V]) Classify(now int64) int {
	if s.storms(now) {
		return Flooded
	}
	return Once
}

// storms counts a new entry and reports whether it is part of a storm. It counts for the whole interface only where the
// link has no storm of its own, and so on: the entries of other links are not to be doubted with it.
func (s *Partition[K, V]) storms(now int64) bool {
	if s.Doubtful {
		return true
	}
	least := stormCount
	for n := s.of; n != nil; n = n.parent {
		storm := &n.value.storm
		before := storm.on(now)
		if storm.add(now, least) {
			if !before {
				s.pool.keepAll(n)
			}
			return true
		}
		least *= s.pool.wider
	}
	return false
}

func (s *Partition[K, V]) stormy(now int64) bool {
	if s.Doubtful {
		return true
	}
	for n := s.of; n != nil; n = n.parent {
		if n.value.storm.on(now) {
			return true
		}
	}
	return false
}

// Settled reports whether an entry was seen more than once, and not in a flood.
func (s *Partition[K, V]) Settled(i int32) bool { return s.pool.at(i).class == Lasting }

// SeenAt notes that the entry at index i, which was first seen at first, was seen again at now. It reports whether the
// entry is still one of a flood that goes on. Such an entry is doubted: a flooder may send everything twice.
func (s *Partition[K, V]) SeenAt(i int32, first, now int64) (flood bool) {
	switch n := s.pool.at(i); {
	case n.class == Lasting:
		s.Renew(i)
	case n.class == Flooded && now-first < doubtTime && s.stormy(now):
		s.Renew(i)
		return true
	default:
		s.Keep(i, now)
	}
	return false
}

// Renew makes an entry the most recently seen of its class.
func (s *Partition[K, V]) Renew(i int32) {
	n := s.pool.at(i)
	if l := &s.of.value.lists[n.class]; l.head != i {
		s.pool.unlink(l, i, n)
		s.pool.push(l, i, n)
	}
}

// Keep makes an entry lasting or, where there is no room for that, one that was seen once.
func (s *Partition[K, V]) Keep(i int32, now int64) {
	p := s.pool
	if p.fullOfLasting() {
		from := s.of.most(Lasting)
		silent := from.value.lists[Lasting].tail
		if now-p.last(&p.at(silent).value) < silentTime {
			p.move(s.of, i, Once)
			return
		}
		p.move(from, silent, Once)
	}
	p.move(s.of, i, Lasting)
}

// keepAll makes all entries that were there before a storm lasting, as far as there is room.
func (p *Pool[K, V]) keepAll(in *tree[branch[K]]) {
	for in.count(Once) > 0 && !p.fullOfLasting() {
		of := in.largest(Once)
		p.move(of, of.value.lists[Once].tail, Lasting)
	}
}

// fullOfLasting reports whether no further entry can be lasting: a fifth of the pool is for new entries.
func (p *Pool[K, V]) fullOfLasting() bool { return p.all.count(Lasting) >= p.max-p.max/5 }

func (p *Pool[K, V]) move(of *tree[branch[K]], i int32, class uint8) {
	n := p.at(i)
	p.unlink(&of.value.lists[n.class], i, n)
	if n.class != class {
		of.remove(int(n.class))
		of.add(int(class))
		n.class = class
	}
	p.push(&of.value.lists[class], i, n)
}
