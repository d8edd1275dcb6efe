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
	// open is true for a target that was not known when it was asked for first, and
	// has not answered.
	open bool
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
	entry, _ := r.enter(q, t, a.at)
	*entry = a
}

// enter returns the entry of a target that is asked for now, for the caller to fill
// in. It is fresh if it says when and by whom the target was asked for before,
// within the window.
func (r *recent) enter(q *queue, t target, now int64) (entry *asked, fresh bool) {
	if i, ok := r.entries[t]; ok {
		n := r.at(i)
		q.renew(i, n.class)
		return &n.value, r.fresh(n.value, now)
	}
	class := once
	if q.doubtful {
		class = flooded
	}
	full := q.len() >= maxQueue
	for class := range q.part.Value.lists {
		for l := &q.part.Value.lists[class]; l.len > 0 && (full || !r.fresh(r.at(l.tail).value, now)); full = false {
			r.remove(q.part, l.tail)
		}
	}
	i := q.insert(t, class)
	r.entries[t] = i
	return q.at(i), false
}

// get returns the entry of a target that was asked for within the window before
// now, or nil.
func (r *recent) get(t target, now int64) *asked {
	if i, ok := r.entries[t]; ok {
		if a := &r.at(i).value; r.fresh(*a, now) {
			return a
		}
	}
	return nil
}

// fresh is true on both sides of now: events come out of order, and a clock may
// be set back.
func (r *recent) fresh(a asked, now int64) bool {
	return now-a.at <= r.window && a.at-now <= r.window
}
