package link

import "github.com/ndmon/ndmon/ruled/internal/pool"

// recent remembers for a short time which addresses were solicited. It is bounded for each
// link, which forgets its own oldest targets, and in all, as every pool is: what a flood
// solicits on made-up links goes first.
type recent struct {
	*pool.Pool[target, asked]
	entries map[target]int32
	window  int64 // how long an entry is of use, in nanoseconds
}

// target is an address on a link.
type target struct {
	on   int64 // number of the link
	addr [16]byte
}

// asked records when a target was solicited last, and by which station.
type asked struct {
	at  int64
	who uint64 // MAC.Uint64
	// open is true for a target that was unknown when it was solicited first, and has not
	// answered.
	open bool
	// nonce is that of duplicate address detection (RFC 7527), as a hash; 0 for none.
	nonce uint32
}

// queue is the targets of one link in the order in which they were solicited.
type queue = pool.Partition[target, asked]

// maxQueue is how many targets of one link are remembered, maxRecent of all.
const (
	maxQueue  = 4096
	maxRecent = 1 << 16
)

func newRecent(window int64) recent {
	r := recent{pool.New[target](maxRecent, 1, func(a *asked) int64 { return a.at }), map[target]int32{}, window}
	r.Forgotten = func(t target, _ asked) { delete(r.entries, t) }
	return r
}

// put remembers a target.
func (r *recent) put(q *queue, t target, a asked) {
	entry, _ := r.enter(q, t, a.at)
	*entry = a
}

// enter returns the entry of a target that is solicited now, for the caller to fill in. A
// fresh entry records a solicitation within the window.
func (r *recent) enter(q *queue, t target, now int64) (entry *asked, fresh bool) {
	if i, ok := r.entries[t]; ok {
		q.Renew(i)
		return q.At(i), r.fresh(q.At(i), now)
	}
	class := pool.Once
	if q.Doubtful {
		class = pool.Flooded
	}
	q.Prune(maxQueue, func(a *asked) bool { return r.fresh(a, now) })
	i := q.Insert(t, class)
	r.entries[t] = i
	return q.At(i), false
}

// get returns the entry of a target that was solicited within the window, or nil.
func (r *recent) get(q *queue, t target, now int64) *asked {
	if i, ok := r.entries[t]; ok {
		if a := q.At(i); r.fresh(a, now) {
			return a
		}
	}
	return nil
}

// fresh is true on both sides of now: events arrive out of order, and a clock may be set
// back.
func (r *recent) fresh(a *asked, now int64) bool {
	return now-a.at <= r.window && a.at-now <= r.window
}
