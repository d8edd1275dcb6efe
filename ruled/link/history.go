package link

import (
	"net/netip"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// refresh is how much later a station was heard when its binding is told again, quiet how long it is silent
	// when the binding is told at once.
	refresh = 600 * second
	quiet   = 60 * second
	// trusted is how many bindings of a station are told at once within refresh. All others, and those of a
	// station that is not known or came in a flood, are told once the station was heard with the address
	// for proven: what is made up costs the sender more than one frame.
	trusted = 32
	proven  = 60 * second
)

// spell is the time for which a station uses an address without a pause of Config.ClaimTimeout.
type spell struct {
	since int64
	// told is the time of the last frame that Config.History was told of, 0 if it was not told of the spell.
	told  int64
	heard heard
}

// heard says how a station was heard with an address, as a set.
type heard uint8

const (
	contested heard = 1 << iota
	due             // Config.History has to be told
	heardNS
	heardNA
	heardDAD
	heardRS
	heardRA
	heardRedirect
)

var heardNames = [...]struct {
	how  heard
	name string
}{{heardNS, schemas.HeardNS}, {heardNA, schemas.HeardNA}, {heardDAD, schemas.HeardDAD}, {heardRS, schemas.HeardRS}, {heardRA, schemas.HeardRA}, {heardRedirect, schemas.HeardRedirect}}

// howHeard returns how the event's message claims a binding.
func howHeard(nd *schemas.ND) heard {
	switch {
	case nd.NS != nil:
		return heardNS
	case nd.NA != nil:
		return heardNA
	case nd.RS != nil:
		return heardRS
	case nd.RA != nil:
		return heardRA
	}
	return heardRedirect
}

// record notes that the binding that was heard now is one of a spell, which begins if begins is true.
func (t *Table) record(l *link, i int32, begins, disputed bool, how heard) {
	if t.cfg.History == nil {
		return
	}
	n := l.neighbours.At(i)
	b := &n.bindings[n.speaker]
	if begins || b.since == 0 { // a state of an earlier version has no spells
		b.spell = spell{since: b.last}
	}
	b.heard |= how
	if disputed {
		for at := range n.bindings[:n.count] {
			if c := &n.bindings[at]; c.heard&contested == 0 {
				c.heard |= contested
				t.due(l, i, c, c.told != 0)
			}
		}
	}
	t.due(l, i, b, b.told == 0 && t.trust(l, i, b))
}

// due tells Config.History of a binding if it is due now, or was before.
func (t *Table) due(l *link, i int32, b *binding, now bool) {
	if now {
		b.heard |= due
	}
	if b.heard&due == 0 {
		return
	}
	told := schemas.Binding{
		Type: schemas.TypeBinding, Address: netip.AddrFrom16(l.neighbours.Key(i)), Ethernet: schemas.MACOf(b.mac),
		Host: l.host, Interface: l.iface, VLAN: vlanOf(l.vlan), InnerVLAN: vlanOf(l.inner),
		First: timeOf(b.since), Last: timeOf(b.last), Contested: b.heard&contested != 0,
	}
	if t.cfg.Vendor != nil {
		told.Vendor = t.cfg.Vendor(told.Ethernet)
	}
	for _, h := range heardNames {
		if b.heard&h.how != 0 {
			told.Heard = append(told.Heard, h.name)
		}
	}
	if t.cfg.History(&told) {
		b.told, b.heard = b.last, b.heard&^due
	}
}

// trust reports whether Config.History is told of a new binding: unless it may be made up.
func (t *Table) trust(l *link, i int32, b *binding) bool {
	if l.neighbours.Class(i) == pool.Flooded {
		return false
	}
	if b.last-b.since >= proven {
		return true
	}
	at := l.stations.Find(b.mac)
	if at == pool.None || l.stations.Class(at) == pool.Flooded {
		return false
	}
	s := l.stations.At(at)
	if b.last-s.toldSince > refresh || b.last < s.toldSince {
		s.toldSince, s.told = b.last, 0
	}
	if s.told >= trusted {
		return false
	}
	s.told++
	return true
}

// conclude tells Config.History of the spells of an address that have ended before a time. Remember has done so, unless events
// of a long time came in a short one.
func (t *Table) conclude(l *link, i int32, before int64) {
	if t.cfg.History == nil {
		return
	}
	n := l.neighbours.At(i)
	for at := range n.bindings[:n.count] {
		if b := &n.bindings[at]; b.last < before {
			t.due(l, i, b, b.told != 0 && b.last > b.told)
		}
	}
}

// Remember tells Config.History of the bindings that were heard since it was told of them.
func (t *Table) Remember(now int64) {
	if t.cfg.History == nil {
		return
	}
	for _, l := range t.links {
		l.neighbours.Each(func(_ [16]byte, n *neighbour, i int32) {
			for at := range n.bindings[:n.count] {
				b := &n.bindings[at]
				late := b.last - b.told
				t.due(l, i, b, b.told != 0 && late > 0 && (late >= refresh || now-b.last >= quiet))
			}
		})
	}
}
