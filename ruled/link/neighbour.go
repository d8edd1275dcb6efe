package link

import (
	"github.com/ndmon/ndmon/schemas"
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
	// anycast is true while all frames about the address were such as several stations may
	// send for an anycast address.
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
}

// maxBindings is how many bindings of one address are kept. Beyond that, the one heard least
// recently is forgotten, never the owner.
const maxBindings = 4

// noBinding is the index of no binding.
const noBinding = maxBindings

// first returns when the address was first seen.
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

// forget forgets the bindings that were last heard before a time, except for the owner and
// the binding to one station.
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

// quietest returns the index of the binding heard least recently, without the owner.
func (n *neighbour) quietest() uint8 {
	quietest := uint8(noBinding)
	for i := range n.count {
		if i != n.owner && (quietest == noBinding || n.bindings[i].last < n.bindings[quietest].last) {
			quietest = i
		}
	}
	return quietest
}

// hear notes that a frame claims the address for a station, and reports whether that
// contradicts another binding. Bindings that were not heard since the time lapsed are
// forgotten.
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

// last returns when the address was claimed last.
func (n *neighbour) last() int64 {
	last := n.bindings[0].last
	for _, c := range n.bindings[1:n.count] {
		last = max(last, c.last)
	}
	return last
}
