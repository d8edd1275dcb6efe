package link

import (
	"maps"

	"github.com/ndmon/ndmon/ruled/internal/share"
)

// pool is room for a bounded number of entries, of all links together. It
// forgets what matters least: what was first seen in a flood before what was seen
// once, and only then what was seen again; of each the longest silent, of the
// host that has the most such entries, there of the interface that has the most,
// and there of the link. So a flood pushes out its own, on however many made-up
// VLANs, interfaces or hosts it comes.
type pool[K comparable, V any] struct {
	max    int
	used   int
	chunks [][]node[K, V]
	free   int32
	// all has the hosts, these their interfaces, and these their links.
	all *share.Node[part[K]]
	// last returns when an entry was seen last.
	last func(*V) int64
	// wider is how many times as many new entries are a storm on an interface as
	// on a link, and so on.
	wider int
	// forgotten, if it is not nil, is called with what is forgotten. Who sets it
	// finds the entries without the shelves.
	forgotten func(K, V)
	// evictions counts what was forgotten for want of room.
	evictions uint64
}

// part is what a pool keeps of a host, an interface or a link.
type part[K comparable] struct {
	storm storm
	// The rest is that of a link: how many shelves have it, its entries by class,
	// and where to find them. Most is how many there have been: a map does not
	// shrink by itself.
	users int
	lists [share.Classes]list
	index map[K]int32
	most  int
}

// Classes of entries, the first to be forgotten first.
const (
	// flooded entries were first seen in a storm, and not long after it again.
	flooded = iota
	// once is what was seen once, or for what there is no room among the next.
	once
	// lasting entries were seen again. They take at most four fifths of the pool.
	lasting
)

// node is an entry. It holds no pointer, so that the garbage collector passes
// over a hundred thousand of them at once.
type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
	class      uint8
}

// shelf is the part of a pool that is one link's.
type shelf[K comparable, V any] struct {
	pool *pool[K, V]
	part *share.Node[part[K]]
	// doubtful is true while the link itself may be made up: then all that is new
	// on it is a flood's.
	doubtful bool
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

const (
	// doubtTime is how long a flood's entry is doubted, if the flood goes on.
	doubtTime = 600 * second
	// silentTime is how long a lasting entry must have been silent to make room
	// for another among them. Hosts that are there are heard more often than that.
	silentTime = 3600 * second
)

func newPool[K comparable, V any](most, wider int, last func(*V) int64) *pool[K, V] {
	return &pool[K, V]{max: max(most, 1), wider: wider, free: none, all: &share.Node[part[K]]{}, last: last}
}

func (p *pool[K, V]) at(i int32) *node[K, V] { return &p.chunks[i>>chunkBits][i&(chunkSize-1)] }

// shelf returns the shelf of a link: its host, interface and what else tells it
// from others.
func (p *pool[K, V]) shelf(names ...string) *shelf[K, V] {
	n := p.all
	for _, name := range names {
		n = n.Child(name)
	}
	if n.Value.users == 0 {
		n.Value = part[K]{lists: [share.Classes]list{{none, none, 0}, {none, none, 0}, {none, none, 0}}}
		if p.forgotten == nil {
			n.Value.index = map[K]int32{}
		}
	}
	n.Value.users++
	return &shelf[K, V]{pool: p, part: n}
}

// drop forgets all that is on the shelf, and the shelf.
func (s *shelf[K, V]) drop() {
	for class := range s.part.Value.lists {
		for l := &s.part.Value.lists[class]; l.len > 0; {
			s.pool.remove(s.part, l.tail)
		}
	}
	s.close()
}

// close gives up a shelf that has nothing any more, or that others have too.
func (s *shelf[K, V]) close() {
	if s.part.Value.users--; s.part.Value.users == 0 {
		s.part.Drop()
	}
}

func (s *shelf[K, V]) len() int {
	return s.part.Count(flooded) + s.part.Count(once) + s.part.Count(lasting)
}

// find returns the place of a key's entry, or none.
func (s *shelf[K, V]) find(key K) int32 {
	if i, ok := s.part.Value.index[key]; ok {
		return i
	}
	return none
}

// at returns an entry. It stays where it is until it is forgotten.
func (s *shelf[K, V]) at(i int32) *V { return &s.pool.at(i).value }

// get returns the entry of a key, or nil.
func (s *shelf[K, V]) get(key K) *V {
	if i := s.find(key); i != none {
		return s.at(i)
	}
	return nil
}

// add makes an entry for a key that has none, its value zero.
func (s *shelf[K, V]) add(key K, now int64) *V { return s.at(s.insert(key, s.classify(now))) }

// insert makes an entry of a class.
func (s *shelf[K, V]) insert(key K, class int) int32 {
	p, own := s.pool, &s.part.Value
	i, counted := p.free, false
	switch {
	case p.used >= p.max:
		i, counted = s.evict(class)
	case i == none:
		i = p.grow()
		fallthrough
	default:
		p.free = p.at(i).next
		p.used++
	}
	n := p.at(i)
	*n = node[K, V]{key: key, class: uint8(class)}
	if own.index != nil {
		own.index[key] = i
		own.most = max(own.most, len(own.index))
	}
	p.push(&own.lists[class], i, n)
	if !counted {
		s.part.Add(class)
	}
	return i
}

// evict forgets an entry for a new one of a class, and returns its place. Where a
// flood pushes out its own, the counts stay as they are: it is counted already.
func (s *shelf[K, V]) evict(class int) (i int32, counted bool) {
	p := s.pool
	from := p.victims(class)
	of := s.part.Most(from)
	i = of.Value.lists[from].tail
	n := p.at(i)
	p.unlink(&of.Value.lists[from], i, n)
	counted = of == s.part && from == class
	if !counted {
		of.Remove(from)
	}
	p.evictions++
	p.lose(of, n)
	return i, counted
}

// classify counts a new entry and returns its class.
func (s *shelf[K, V]) classify(now int64) int {
	if s.storms(now) {
		return flooded
	}
	return once
}

// storms counts a new entry and reports whether it is one of a storm. It is
// counted for the whole interface only where the link has no storm of its own,
// and so on: the entries of other links are not to be doubted with it.
func (s *shelf[K, V]) storms(now int64) bool {
	if s.doubtful {
		return true
	}
	most := stormCount
	for n := s.part; n != nil; n = n.Parent() {
		storm := &n.Value.storm
		before := storm.on(now)
		if storm.add(now, most) {
			if !before {
				s.pool.keepAll(n)
			}
			return true
		}
		most *= s.pool.wider
	}
	return false
}

// keepAll makes all lasting that was there before a storm, as far as there is
// room.
func (p *pool[K, V]) keepAll(in *share.Node[part[K]]) {
	for in.Count(once) > 0 && !p.fullOfLasting() {
		of := in.Largest(once)
		p.move(of, of.Value.lists[once].tail, lasting)
	}
}

// fullOfLasting reports whether no further entry can be lasting: a fifth of the
// room is for newcomers.
func (p *pool[K, V]) fullOfLasting() bool { return p.all.Count(lasting) >= p.max-p.max/5 }

// stormy reports whether there is a storm, on the link or around it.
func (s *shelf[K, V]) stormy(now int64) bool {
	if s.doubtful {
		return true
	}
	for n := s.part; n != nil; n = n.Parent() {
		if n.Value.storm.on(now) {
			return true
		}
	}
	return false
}

// settled reports whether an entry was seen more than once, and not in a flood.
func (s *shelf[K, V]) settled(i int32) bool { return s.pool.at(i).class == lasting }

// seenAt notes that the entry at a place, which began at first, was seen again at
// now. It reports whether it is still one of a flood that goes on. Such an entry is
// doubted: who floods sends everything twice.
func (s *shelf[K, V]) seenAt(i int32, first, now int64) (flood bool) {
	switch n := s.pool.at(i); {
	case n.class == lasting:
		s.renew(i, lasting)
	case n.class == flooded && now-first < doubtTime && s.stormy(now):
		s.renew(i, flooded)
		return true
	default:
		s.keep(i, now)
	}
	return false
}

// renew makes an entry the most recently seen of its class.
func (s *shelf[K, V]) renew(i int32, class uint8) {
	if l := &s.part.Value.lists[class]; l.head != i {
		n := s.pool.at(i)
		s.pool.unlink(l, i, n)
		s.pool.push(l, i, n)
	}
}

// keep makes an entry lasting. Where there is no room for that, it is seen once.
func (s *shelf[K, V]) keep(i int32, now int64) {
	p := s.pool
	if p.fullOfLasting() {
		from := s.part.Most(lasting)
		silent := from.Value.lists[lasting].tail
		if now-p.last(&p.at(silent).value) < silentTime {
			p.move(s.part, i, once)
			return
		}
		p.move(from, silent, once)
	}
	p.move(s.part, i, lasting)
}

// move gives an entry of a link another class.
func (p *pool[K, V]) move(of *share.Node[part[K]], i int32, class uint8) {
	n := p.at(i)
	p.unlink(&of.Value.lists[n.class], i, n)
	if n.class != class {
		of.Remove(int(n.class))
		of.Add(int(class))
		n.class = class
	}
	p.push(&of.Value.lists[class], i, n)
}

// victims returns the class that an entry has to be forgotten of for a new one of
// a class. Those of a flood have a tenth of the room, so that they can at least be
// told from each other.
func (p *pool[K, V]) victims(class int) int {
	floods := p.all.Count(flooded)
	switch {
	case p.all.Count(once) == 0 && floods == 0:
		return lasting
	case p.all.Count(once) == 0 || floods > p.max/10 || floods > 0 && class != flooded:
		return flooded
	}
	return once
}

// remove forgets an entry of a link.
func (p *pool[K, V]) remove(of *share.Node[part[K]], i int32) {
	n := p.at(i)
	p.unlink(&of.Value.lists[n.class], i, n)
	of.Remove(int(n.class))
	p.used--
	p.lose(of, n)
	n.next, p.free = p.free, i
}

// lose has an entry found no more.
func (p *pool[K, V]) lose(of *share.Node[part[K]], n *node[K, V]) {
	if own := &of.Value; own.index != nil {
		delete(own.index, n.key)
		if own.most >= 2*chunkSize && len(own.index) < own.most/4 {
			own.shrink()
		}
	}
	if p.forgotten != nil {
		p.forgotten(n.key, n.value)
	}
}

// shrink gives back the memory of an index that has lost most of its entries.
func (p *part[K]) shrink() {
	index := make(map[K]int32, len(p.index))
	maps.Copy(index, p.index)
	p.index, p.most = index, len(index)
}

// grow makes nodes and returns the first of them, which lists the others.
func (p *pool[K, V]) grow() int32 {
	base := int32(len(p.chunks)) << chunkBits
	size := int32(min(chunkSize, p.max-int(base)))
	chunk := make([]node[K, V], size)
	for i := range chunk {
		chunk[i].next = base + int32(i) + 1
	}
	chunk[size-1].next = none
	p.chunks = append(p.chunks, chunk)
	return base
}

// push puts an entry, the i-th node, at the head of a list.
func (p *pool[K, V]) push(l *list, i int32, n *node[K, V]) {
	n.prev, n.next = none, l.head
	if l.head == none {
		l.tail = i
	} else {
		p.at(l.head).prev = i
	}
	l.head = i
	l.len++
}

// unlink takes an entry, the i-th node, out of a list.
func (p *pool[K, V]) unlink(l *list, i int32, n *node[K, V]) {
	if n.prev == none {
		l.head = n.next
	} else {
		p.at(n.prev).next = n.next
	}
	if n.next == none {
		l.tail = n.prev
	} else {
		p.at(n.next).prev = n.prev
	}
	l.len--
}

// each calls visit with all entries of the shelf by class, the longest silent
// first.
func (s *shelf[K, V]) each(visit func(key K, value *V, class uint8)) {
	for class := range s.part.Value.lists {
		for i := s.part.Value.lists[class].tail; i != none; i = s.pool.at(i).prev {
			n := s.pool.at(i)
			visit(n.key, &n.value, n.class)
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
	// stormCount is how many new entries of a link within the window are a storm
	// (see pool.wider).
	stormCount = 100
)

// add counts an entry and reports whether it is one of a storm, which takes so
// many of them.
func (s *storm) add(now int64, most int) bool {
	if s.since-now > stormWindow || now-s.since > stormWindow {
		s.since, s.count = now, 0
	}
	s.count++
	if s.count >= most {
		s.until = now + stormWindow
	}
	return s.on(now)
}

// on is true at most for two windows before the end: events come out of order, but
// a clock may be set back.
func (s *storm) on(now int64) bool { return now < s.until && s.until-now <= 2*stormWindow }
