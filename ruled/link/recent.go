package link

// recent remembers addresses for a short time: targets that somebody asked for.
// It is bounded for each link and in all; a link that has no more room forgets
// its own oldest, so that a flood on one does not blind the others.
type recent struct {
	entries map[target]asked
	// window is how long an entry is worth something.
	window int64
	most   int
}

// target is an address on a link.
type target struct {
	link int32
	addr [16]byte
}

// asked says when somebody asked for a target the last time, and who.
type asked struct {
	at  int64
	who uint64 // MAC.Uint64
	// nonce is that of duplicate address detection (RFC 7527), as a hash; 0 for none.
	nonce uint32
}

// queue is the targets of one link in the order in which they came.
type queue []target

// maxQueue is how many targets of one link are remembered, maxRecent of all.
const (
	maxQueue  = 4096
	maxRecent = 1 << 16
)

func newRecent(window int64) recent {
	return recent{entries: map[target]asked{}, window: window, most: maxRecent}
}

// put remembers a target.
func (r *recent) put(q *queue, t target, a asked) {
	if _, ok := r.entries[t]; ok {
		r.entries[t] = a
		return
	}
	list := *q
	for len(list) > 0 {
		full := len(list) >= maxQueue || len(r.entries) >= r.most
		if !full && r.fresh(r.entries[list[0]], a.at) {
			break
		}
		delete(r.entries, list[0])
		list = list[1:]
	}
	if len(r.entries) < r.most {
		r.entries[t] = a
		list = append(list, t)
	}
	*q = list
}

// get returns who asked for a target within the window before now.
func (r *recent) get(t target, now int64) (asked, bool) {
	a, ok := r.entries[t]
	return a, ok && r.fresh(a, now)
}

// fresh is true on both sides of now: events come out of order, and a clock may
// be set back.
func (r *recent) fresh(a asked, now int64) bool {
	return now-a.at <= r.window && a.at-now <= r.window
}

// forget forgets a link's targets.
func (r *recent) forget(q queue) {
	for _, t := range q {
		delete(r.entries, t)
	}
}
