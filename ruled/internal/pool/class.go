package pool

import (
	"time"

	"github.com/ndmon/ndmon/ruled/internal/share"
)

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

// storms counts a new entry and reports whether it is part of a storm. It counts for the
// whole interface only where the link has no storm of its own, and so on: the entries of
// other links are not to be doubted with it.
func (s *Partition[K, V]) storms(now int64) bool {
	if s.Doubtful {
		return true
	}
	least := stormCount
	for n := s.of; n != nil; n = n.Parent() {
		storm := &n.Value.storm
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

// stormy reports whether there is a storm on the link, its interface, its host or anywhere.
func (s *Partition[K, V]) stormy(now int64) bool {
	if s.Doubtful {
		return true
	}
	for n := s.of; n != nil; n = n.Parent() {
		if n.Value.storm.on(now) {
			return true
		}
	}
	return false
}

// Settled reports whether an entry was seen more than once, and not in a flood.
func (s *Partition[K, V]) Settled(i int32) bool { return s.pool.at(i).class == Lasting }

// SeenAt notes that the entry at index i, which was first seen at first, was seen again at
// now. It reports whether the entry is still one of a flood that goes on. Such an entry is
// doubted: a flooder may send everything twice.
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
	if l := &s.of.Value.lists[n.class]; l.head != i {
		s.pool.unlink(l, i, n)
		s.pool.push(l, i, n)
	}
}

// Keep makes an entry lasting or, where there is no room for that, one that was seen once.
func (s *Partition[K, V]) Keep(i int32, now int64) {
	p := s.pool
	if p.fullOfLasting() {
		from := s.of.Most(Lasting)
		silent := from.Value.lists[Lasting].tail
		if now-p.last(&p.at(silent).value) < silentTime {
			p.move(s.of, i, Once)
			return
		}
		p.move(from, silent, Once)
	}
	p.move(s.of, i, Lasting)
}

// keepAll makes all entries that were there before a storm lasting, as far as there is room.
func (p *Pool[K, V]) keepAll(in *share.Node[branch[K]]) {
	for in.Count(Once) > 0 && !p.fullOfLasting() {
		of := in.Largest(Once)
		p.move(of, of.Value.lists[Once].tail, Lasting)
	}
}

// fullOfLasting reports whether no further entry can be lasting: a fifth of the pool is for
// new entries.
func (p *Pool[K, V]) fullOfLasting() bool { return p.all.Count(Lasting) >= p.max-p.max/5 }

// move gives an entry of a link another class.
func (p *Pool[K, V]) move(of *share.Node[branch[K]], i int32, class uint8) {
	n := p.at(i)
	p.unlink(&of.Value.lists[n.class], i, n)
	if n.class != class {
		of.Remove(int(n.class))
		of.Add(int(class))
		n.class = class
	}
	p.push(&of.Value.lists[class], i, n)
}
