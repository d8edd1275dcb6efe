package pool

import "time"

// node is an entry. It holds no pointer if the key and value hold none, so that the garbage
// collector does not look at a hundred thousand of them.
type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
	class      uint8
}

// list is a doubly linked list of nodes, the most recently seen first.
type list struct {
	head, tail int32
	len        int
}

const (
	// None stands for no entry.
	None      = -1
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

// nodes is the memory of all entries. It grows by chunks, so that an entry stays where it is.
type nodes[K comparable, V any] struct {
	chunks [][]node[K, V]
	free   int32 // the first free node, which lists the others by next
}

func (m *nodes[K, V]) at(i int32) *node[K, V] { return &m.chunks[i>>chunkBits][i&(chunkSize-1)] }

// grow adds free nodes, at most so many in all.
func (m *nodes[K, V]) grow(most int) {
	base := int32(len(m.chunks)) << chunkBits
	size := int32(min(chunkSize, most-int(base)))
	chunk := make([]node[K, V], size)
	for i := range chunk {
		chunk[i].next = base + int32(i) + 1
	}
	chunk[size-1].next = None
	m.chunks = append(m.chunks, chunk)
	m.free = base
}

func (m *nodes[K, V]) push(l *list, i int32, n *node[K, V]) {
	n.prev, n.next = None, l.head
	if l.head == None {
		l.tail = i
	} else {
		m.at(l.head).prev = i
	}
	l.head = i
	l.len++
}

func (m *nodes[K, V]) unlink(l *list, i int32, n *node[K, V]) {
	if n.prev == None {
		l.head = n.next
	} else {
		m.at(n.prev).next = n.next
	}
	if n.next == None {
		l.tail = n.prev
	} else {
		m.at(n.next).prev = n.prev
	}
	l.len--
}

// Classes of entries, in the order in which they are forgotten.
const (
	// Flooded entries were first seen in a storm, and not again long after it.
	Flooded = iota
	// Once is the class of entries that were seen once, or did not fit among the next.
	Once
	// Lasting entries were seen again. They take at most four fifths of the pool.
	Lasting
)

// storm notices when entries are added faster than a link grows by itself: in a flood, or
// when a building gets its power back.
type storm struct {
	since int64 // start of the window, in Unix nanoseconds
	count int
	until int64
}

const (
	stormWindow = int64(10 * time.Second)
	// stormCount is how many new entries of a link within the window are a storm (see Pool.wider).
	stormCount = 100
)

// add counts an entry and reports whether it is part of a storm, which takes at least so many entries.
func (s *storm) add(now int64, least int) bool {
	if s.since-now > stormWindow || now-s.since > stormWindow {
		s.since, s.count = now, 0
	}
	s.count++
	if s.count >= least {
		s.until = now + stormWindow
	}
	return s.on(now)
}

// on is true at most for two windows before the end: events arrive out of order, but a clock may be set back.
func (s *storm) on(now int64) bool { return now < s.until && s.until-now <= 2*stormWindow }
