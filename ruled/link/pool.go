package link

import "slices"

// pool is room for a bounded number of entries, shared by the shelves of all
// links. It forgets what matters least, in this order: of the link that takes
// more than its share, what was seen once, and only then what was seen again;
// the longest silent first. So a flood of made-up addresses, each seen once,
// pushes out the flood's own, and a flood on one link not those of another.
type pool[K comparable, V any] struct {
	max     int
	used    int
	lasting int // entries on the lists of those seen again
	chunks  [][]node[K, V]
	free    int32
	shelves []*shelf[K, V]
	largest *shelf[K, V] // of late; see victim
	// evictions counts what was forgotten for want of room.
	evictions uint64
}

// node is an entry. It holds no pointer, so that the garbage collector passes
// over a hundred thousand of them at once.
type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
	lasting    bool
}

// shelf is the part of a pool that is one link's.
type shelf[K comparable, V any] struct {
	pool  *pool[K, V]
	index map[K]int32
	// once lists the entries seen once, again those seen again.
	once, again list
	storm       storm
}

// list is a doubly linked list of nodes, the most recently seen first.
type list struct {
	head, tail int32
	len        int
}

const (
	none      = -1
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

func newPool[K comparable, V any](most int) *pool[K, V] {
	return &pool[K, V]{max: max(most, 1), free: none}
}

func (p *pool[K, V]) at(i int32) *node[K, V] { return &p.chunks[i>>chunkBits][i&(chunkSize-1)] }

func (p *pool[K, V]) newShelf() *shelf[K, V] {
	s := &shelf[K, V]{pool: p, index: map[K]int32{}, once: list{none, none, 0}, again: list{none, none, 0}}
	p.shelves = append(p.shelves, s)
	return s
}

// drop forgets a shelf and all on it.
func (p *pool[K, V]) drop(s *shelf[K, V]) {
	for len(s.index) > 0 {
		s.remove(s.oldest())
	}
	if p.largest == s {
		p.largest = nil
	}
	at := slices.Index(p.shelves, s)
	p.shelves = slices.Delete(p.shelves, at, at+1)
}

// get returns the entry of a key, or nil. It stays where it is until it is
// forgotten.
func (s *shelf[K, V]) get(key K) *V {
	if i, ok := s.index[key]; ok {
		return &s.pool.at(i).value
	}
	return nil
}

// add makes an entry for a key that has none, its value zero.
func (s *shelf[K, V]) add(key K, now int64) *V {
	if s.storm.added(now) {
		s.keepAll()
	}
	return s.insert(key)
}

// insert is add for what is no news.
func (s *shelf[K, V]) insert(key K) *V {
	p := s.pool
	if p.used >= p.max {
		victim := s.victim()
		p.evictions++
		victim.remove(victim.oldest())
	}
	i := p.take()
	n := p.at(i)
	*n = node[K, V]{key: key}
	s.index[key] = i
	s.push(&s.once, i)
	p.used++
	return &n.value
}

// seen notes that an entry that began at first was seen again at now. During a
// storm it takes some seconds to count: who floods sends everything twice.
func (s *shelf[K, V]) seen(key K, first, now int64) {
	i := s.index[key]
	n := s.pool.at(i)
	switch {
	case n.lasting:
		if s.again.head == i {
			return
		}
		s.unlink(&s.again, i)
		s.push(&s.again, i)
	case s.storm.on(now) && now-first < stormWindow:
		s.unlink(&s.once, i)
		s.push(&s.once, i)
	default:
		s.keep(i)
	}
}

// keep moves an entry to those seen again. A fifth of the pool stays free of
// them, for newcomers.
func (s *shelf[K, V]) keep(i int32) {
	p := s.pool
	if p.lasting >= p.max-p.max/5 && s.again.len > 0 {
		oldest := s.again.tail
		s.unlink(&s.again, oldest)
		s.push(&s.once, oldest)
		p.at(oldest).lasting = false
		p.lasting--
	}
	s.unlink(&s.once, i)
	s.push(&s.again, i)
	p.at(i).lasting = true
	p.lasting++
}

// keepAll moves all that was there before a storm to those seen again, the
// oldest first, as far as there is room.
func (s *shelf[K, V]) keepAll() {
	for s.once.len > 0 && s.pool.lasting < s.pool.max-s.pool.max/5 {
		s.keep(s.once.tail)
	}
}

// victim returns the shelf that has to give an entry for a new one of s.
func (s *shelf[K, V]) victim() *shelf[K, V] {
	p := s.pool
	if s.hasShare() {
		return s
	}
	// The one that was largest gives until it has no more than its share: to look
	// at thousands of shelves each time would cost more than all else.
	if p.largest == nil || !p.largest.hasShare() {
		p.largest = s
		for _, other := range p.shelves {
			if len(other.index) > len(p.largest.index) {
				p.largest = other
			}
		}
	}
	return p.largest
}

// hasShare reports whether the shelf has its share of the pool, or more.
func (s *shelf[K, V]) hasShare() bool { return len(s.index)*len(s.pool.shelves) >= s.pool.used }

func (s *shelf[K, V]) oldest() int32 {
	if s.once.len > 0 {
		return s.once.tail
	}
	return s.again.tail
}

func (s *shelf[K, V]) remove(i int32) {
	p := s.pool
	n := p.at(i)
	if n.lasting {
		s.unlink(&s.again, i)
		p.lasting--
	} else {
		s.unlink(&s.once, i)
	}
	delete(s.index, n.key)
	n.next, p.free = p.free, i
	p.used--
}

// take returns a node that is not in use.
func (p *pool[K, V]) take() int32 {
	if p.free == none {
		base := int32(len(p.chunks)) << chunkBits
		p.chunks = append(p.chunks, make([]node[K, V], chunkSize))
		for i := int32(chunkSize) - 1; i >= 0; i-- {
			p.at(base+i).next, p.free = p.free, base+i
		}
	}
	i := p.free
	p.free = p.at(i).next
	return i
}

func (s *shelf[K, V]) push(l *list, i int32) {
	n := s.pool.at(i)
	n.prev, n.next = none, l.head
	if l.head == none {
		l.tail = i
	} else {
		s.pool.at(l.head).prev = i
	}
	l.head = i
	l.len++
}

func (s *shelf[K, V]) unlink(l *list, i int32) {
	n := s.pool.at(i)
	if n.prev == none {
		l.head = n.next
	} else {
		s.pool.at(n.prev).next = n.next
	}
	if n.next == none {
		l.tail = n.prev
	} else {
		s.pool.at(n.next).prev = n.prev
	}
	l.len--
}

// each calls visit with all entries, the longest silent first.
func (s *shelf[K, V]) each(visit func(key K, value *V, lasting bool)) {
	for _, l := range []list{s.once, s.again} {
		for i := l.tail; i != none; i = s.pool.at(i).prev {
			n := s.pool.at(i)
			visit(n.key, &n.value, n.lasting)
		}
	}
}

// storm notices when entries are added faster than a link grows by itself: a
// flood, or a building that gets its power back.
type storm struct {
	since int64 // begin of the window, in Unix nanoseconds
	count int
	until int64
}

const (
	stormWindow = 10 * second
	stormCount  = 100
)

// added counts an entry and reports whether a storm begins with it.
func (s *storm) added(now int64) (begins bool) {
	if now < s.since || now-s.since > stormWindow {
		s.since, s.count = now, 0
	}
	s.count++
	if s.count < stormCount {
		return false
	}
	begins = !s.on(now)
	s.until = now + stormWindow
	return begins
}

func (s *storm) on(now int64) bool { return now < s.until && s.until-now <= stormWindow }
