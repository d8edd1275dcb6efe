package link

// recent remembers addresses for a short time: targets that somebody asked for.
// It is bounded for each link, which forgets its own oldest, and in all, as every
// pool is: what a flood asks for on made-up links goes first.
type recent struct {
	*pool[target, asked]
	entries map[target]int32
	// window is how long an entry is worth something.
	window int64
}

// target is an address on a link.
type target struct {
	link int64
	addr [16]byte
}

// asked says when somebody asked for a target the last time, and who.
type asked struct {
	at  int64
	who uint64 // MAC.Uint64
	// nonce is that of duplicate address detection (RFC 7527), as a hash; 0 for none.
	nonce uint32
}

// queue is the targets of one link in the order in which they were asked for.
type queue = shelf[target, asked]

// maxQueue is how many targets of one link are remembered, maxRecent of all.
const (
	maxQueue  = 4096
	maxRecent = 1 << 16
)

func newRecent(window int64) recent {
	r := recent{newPool[target](maxRecent, 1, func(a *asked) int64 { return a.at }), map[target]int32{}, window}
	r.forgotten = func(t target, _ asked) { delete(r.entries, t) }
	return r
}

// put remembers a target.
func (r *recent) put(q *queue, t target, a asked) {
	if i, ok := r.entries[t]; ok {
		n := r.at(i)
		n.value = a
		q.renew(i, n.class)
		return
	}
	class := once
	if q.doubtful {
		class = flooded
	}
	full := q.len() >= maxQueue
	for class := range q.part.Value.lists {
		for l := &q.part.Value.lists[class]; l.len > 0 && (full || !r.fresh(r.at(l.tail).value, a.at)); full = false {
			r.remove(q.part, l.tail)
		}
	}
	i := q.insert(t, class)
	r.entries[t] = i
	*q.at(i) = a
}

// get returns who asked for a target within the window before now.
func (r *recent) get(t target, now int64) (asked, bool) {
	i, ok := r.entries[t]
	if !ok {
		return asked{}, false
	}
	a := r.at(i).value
	return a, r.fresh(a, now)
}

// fresh is true on both sides of now: events come out of order, and a clock may
// be set back.
func (r *recent) fresh(a asked, now int64) bool {
	return now-a.at <= r.window && a.at-now <= r.window
}
