package link

import (
	"time"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/schemas"
)

const second = int64(time.Second)

const (
	// solicitedWindow is how long an NA counts as the answer to an NS.
	solicitedWindow = 10 * second
	// dadWindow is how long a tested address is remembered.
	dadWindow = 60 * second
	// recently is how long a station takes to start, at most.
	recently = 60 * second
	// repeatWindow is the time within which the same act again is no accident.
	repeatWindow = 600 * second
)

// neighbour records an address on a link, and the stations that use it.
type neighbour struct {
	bindings [maxBindings]binding
	count    uint8
	// owner is the index of the binding that is believed, speaker of the one that was heard
	// last, before of the one that was heard before it.
	owner, speaker, before uint8
	// disputed is true once frames have claimed different bindings in turn.
	disputed bool
	// anycast is true while all frames about the address were such as several stations may send for an anycast address.
	anycast bool
	// tentative is true while a station has only tested whether the address is free.
	tentative bool
	// own is true for an address of the host that captures.
	own bool
}

// binding records which station uses an address, and since when.
type binding struct {
	mac         uint64
	first, last int64
	spell
}

// maxBindings is how many bindings of one address are kept. Beyond that, the one heard least
// recently is forgotten, never the owner.
const maxBindings = 4

// noBinding is the index of no binding.
const noBinding = maxBindings

func (n *neighbour) first() int64 {
	first := n.bindings[0].first
	for _, c := range n.bindings[1:n.count] {
		first = min(first, c.first)
	}
	return first
}

// find returns the index of the binding to a station, or noBinding.
func (n *neighbour) find(mac uint64) uint8 {
	for i := range n.count {
		if n.bindings[i].mac == mac {
			return i
		}
	}
	return noBinding
}

// forget forgets the bindings that were last heard before a time, except for the owner and the binding to one station.
func (n *neighbour) forget(before int64, but uint64) {
	for i := n.count; i > 0; i-- {
		if at := i - 1; at != n.owner && n.bindings[at].mac != but && n.bindings[at].last < before {
			n.remove(at)
		}
	}
	if n.count == 1 {
		n.disputed = false
	}
}

func (n *neighbour) remove(at uint8) {
	copy(n.bindings[at:], n.bindings[at+1:n.count])
	n.count--
	shift := func(i *uint8, gone uint8) {
		switch {
		case *i == at:
			*i = gone
		case *i > at && *i != noBinding:
			*i--
		}
	}
	shift(&n.owner, 0)
	shift(&n.before, noBinding)
	shift(&n.speaker, n.owner)
}

// believe makes a binding the owner, and the first: so the order is the same after a restart,
// because the stored state has the owner first.
func (n *neighbour) believe(at uint8) {
	c := n.bindings[at]
	copy(n.bindings[1:], n.bindings[:at])
	n.bindings[0] = c
	n.owner = 0
	for _, i := range []*uint8{&n.speaker, &n.before} {
		switch {
		case *i == at:
			*i = 0
		case *i < at:
			*i++
		}
	}
}

func (n *neighbour) quietest() uint8 {
	quietest := uint8(noBinding)
	for i := range n.count {
		if i != n.owner && (quietest == noBinding || n.bindings[i].last < n.bindings[quietest].last) {
			quietest = i
		}
	}
	return quietest
}

// hear notes that a frame claims the address for a station, and reports whether that contradicts another
// binding. Bindings that were not heard since the time lapsed are forgotten.
func (n *neighbour) hear(out *schemas.LinkClaim, mac uint64, weak bool, now, lapsed int64) (contested bool) {
	n.forget(lapsed, mac)
	at := n.find(mac)
	anycast := n.anycast && weak
	n.anycast = anycast
	if at == noBinding {
		if n.count == maxBindings {
			n.remove(n.quietest())
		}
		at = n.count
		n.count++
		n.bindings[at] = binding{mac: mac, first: now}
		out.Changed = !anycast
	} else if at != n.speaker && !anycast {
		out.FlipFlop = at == n.before
		out.Reused = at != n.before
		n.disputed = true
	}
	n.bindings[at].last = now
	if at != n.speaker {
		n.before, n.speaker = n.speaker, at
	}
	// The owner is believed until it has been silent for the timeout.
	if at != n.owner && n.bindings[n.owner].last < lapsed {
		former := n.bindings[n.owner].mac
		n.believe(at)
		n.remove(n.find(former))
		out.Adopted = true
		n.disputed = n.disputed && n.count > 1
	}
	out.Disputed = n.disputed
	return out.Changed || out.FlipFlop || out.Reused
}

func (n *neighbour) last() int64 {
	last := n.bindings[0].last
	for _, c := range n.bindings[1:n.count] {
		last = max(last, c.last)
	}
	return last
}

// station records an Ethernet address on a link.
type station struct {
	first, last int64
	// own is an address that the station had before any other station, as a hash.
	own uint32
	// taken are the last two stations whose addresses it claimed within repeatWindow, as
	// hashes, and takenAt is when it did so last.
	taken   [2]uint32
	takenAt int64
	// told is how many of its bindings Config.History was told of at once since toldSince.
	told      int
	toldSince int64
	// denied is the last tested address that a stranger denied to the station, denies the
	// last that the station, a stranger to the address, denied to another.
	denied, denies denial
}

// denial records which address was denied, as a hash, and when.
type denial struct {
	addr uint32
	at   int64
}

// another notes a denial and reports whether another address was denied within repeatWindow before.
func (d *denial) another(addr uint32, now int64) bool {
	again := d.addr != 0 && d.addr != addr && now-d.at <= repeatWindow && now >= d.at
	*d = denial{addr, now}
	return again
}

// search counts the targets of a link that were unknown when they were solicited, and have
// not answered, since it began.
type search struct {
	since int64
	open  int
}

// maxOpen is how many targets may be without an answer within solicitedWindow. More are a scan.
const maxOpen = 100

func (s *search) ask(open bool, now int64) {
	if now < s.since || now-s.since > solicitedWindow {
		*s = search{since: now}
	}
	if open {
		s.open++
	}
}

// hash shortens what is compared with few others only, so that a collision is unlikely.
func hash(high, low uint64) uint32 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := (high ^ low*odd) * odd
	return uint32(h>>32) | 1 // 0 stands for none
}

func hashAddr(a [16]byte) uint32 {
	var high, low uint64
	for i := range 8 {
		high = high<<8 | uint64(a[i])
		low = low<<8 | uint64(a[8+i])
	}
	return hash(high, low)
}

// recent remembers for a short time which addresses were solicited. It is bounded for each link, which forgets its own
// oldest targets, and in all, as every pool is: what a flood solicits on made-up links goes first.
type recent struct {
	*pool.Pool[target, asked]
	entries map[target]int32
	window  int64 // how long an entry is of use, in nanoseconds
}

type target struct {
	on   int64 // number of the link
	addr [16]byte
}

// asked records when a target was solicited last, and by which station.
type asked struct {
	at  int64
	who uint64 // MAC.Uint64
	// open is true for a target that was unknown when it was solicited first, and has not answered.
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

// fresh is true on both sides of now: events arrive out of order, and a clock may be set back.
func (r *recent) fresh(a *asked, now int64) bool {
	return now-a.at <= r.window && a.at-now <= r.window
}
