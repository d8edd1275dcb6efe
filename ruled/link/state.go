package link

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// State is what a Table knows of one link: enough to go on from after a restart,
// and what is shown to who asks for the neighbours.
type State struct {
	Host      string  `json:"host"`
	Interface string  `json:"interface"`
	VLAN      *uint16 `json:"vlan,omitempty"`
	InnerVLAN *uint16 `json:"innervlan,omitempty"`
	// Lasting is true for a link that was seen more than once, Flood for one that
	// was first seen in a flood of new ones, and FirstSeen is when.
	Lasting   bool      `json:"lasting,omitempty"`
	Flood     bool      `json:"flood,omitempty"`
	FirstSeen time.Time `json:"firstseen,omitzero"`
	LastSeen  time.Time `json:"lastseen,omitzero"`

	// Neighbours and Stations begin with the one longest silent, of those that are
	// flood's, of the others and of those that are lasting.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	Stations   []Station   `json:"stations,omitempty"`
	// Routers were learned.
	Routers []LearnedRouter `json:"routers,omitempty"`
	// Asked and Probed are targets of the last seconds.
	Asked  []Target `json:"asked,omitempty"`
	Probed []Target `json:"probed,omitempty"`
}

// Neighbour is an address and the stations that claim it.
type Neighbour struct {
	Address netip.Addr `json:"address"`
	// Claims has at least one element, the first of which is believed.
	Claims []Claim `json:"claims"`
	// Speaker is the place in Claims of the one that was heard last, Before of
	// the one heard before it, or -1.
	Speaker  int  `json:"speaker,omitempty"`
	Before   int  `json:"before"`
	Disputed bool `json:"disputed,omitempty"`
	Anycast  bool `json:"anycast,omitempty"`
	// Tentative is true while a station has only tested the address.
	Tentative bool `json:"tentative,omitempty"`
	// Own is true for an address of the host itself.
	Own bool `json:"own,omitempty"`
	// Lasting is true for one that was seen more than once, Flood for one that was
	// first seen in a flood of new ones.
	Lasting bool `json:"lasting,omitempty"`
	Flood   bool `json:"flood,omitempty"`
}

// Claim is a station's claim of an address.
type Claim struct {
	Ethernet  schemas.MAC `json:"ethernet"`
	FirstSeen time.Time   `json:"firstseen"`
	LastSeen  time.Time   `json:"lastseen"`
}

// Station is an Ethernet address that frames came from.
type Station struct {
	Ethernet  schemas.MAC `json:"ethernet"`
	FirstSeen time.Time   `json:"firstseen"`
	LastSeen  time.Time   `json:"lastseen"`
	Lasting   bool        `json:"lasting,omitempty"`
	Flood     bool        `json:"flood,omitempty"`
	// The rest tells what it did lately; see the type station.
	Own      uint32     `json:"own,omitempty"`
	Taken    [2]uint32  `json:"taken,omitzero"`
	TakenAt  *time.Time `json:"takenat,omitempty"`
	Denied   uint32     `json:"denied,omitempty"`
	DeniedAt *time.Time `json:"deniedat,omitempty"`
	Denies   uint32     `json:"denies,omitempty"`
	DeniesAt *time.Time `json:"deniesat,omitempty"`
}

// LearnedRouter is a router that was learned.
type LearnedRouter struct {
	Router
	// Since is when it was learned, Heard when it was heard last, Until when hosts
	// stop using it, LastSeen when it last said what is known of it.
	Since    time.Time `json:"since"`
	Heard    time.Time `json:"heard"`
	Until    time.Time `json:"until"`
	LastSeen time.Time `json:"lastseen"`
	// Stopped is true after an RA with lifetime 0 of a router that had another.
	Stopped bool `json:"stopped,omitempty"`
	// Stub is true for a stub router.
	Stub bool `json:"stub,omitempty"`
}

// Target is an address that somebody asked for.
type Target struct {
	Address  netip.Addr  `json:"address"`
	Ethernet schemas.MAC `json:"ethernet"`
	Time     time.Time   `json:"time"`
	// Open is true for one that was not known, and has not answered.
	Open bool `json:"open,omitempty"`
	// Nonce is a hash of that of a test for uniqueness, 0 for none.
	Nonce uint32 `json:"nonce,omitempty"`
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func timePtr(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	return new(timeOf(ns))
}

func nanoseconds(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixNano()
}

// State returns a copy of what the table knows, by host and interface.
func (t *Table) State() []State {
	states := make([]State, 0, len(t.links))
	for _, l := range t.links {
		states = append(states, t.state(l))
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), cmp.Compare(number(a.VLAN), number(b.VLAN)), cmp.Compare(number(a.InnerVLAN), number(b.InnerVLAN)))
	})
	return states
}

func number(vlan *uint16) int {
	if vlan == nil {
		return -1
	}
	return int(*vlan)
}

func (t *Table) state(l *link) State {
	s := State{
		Host: l.host, Interface: l.iface,
		FirstSeen: timeOf(l.first), LastSeen: timeOf(l.last),
		Neighbours: make([]Neighbour, 0, l.bindings.len()),
		Stations:   make([]Station, 0, l.stations.len()),
		Asked:      targets(&l.asked),
		Probed:     targets(&l.probed),
	}
	class := t.known.at(l.entry).class
	s.Lasting, s.Flood = class == lasting, class == flooded
	if l.vlan >= 0 {
		s.VLAN = new(uint16(l.vlan))
	}
	if l.inner >= 0 {
		s.InnerVLAN = new(uint16(l.inner))
	}
	claims := make([]Claim, 0, l.bindings.len()) // one piece of memory for most
	l.bindings.each(func(addr [16]byte, b *binding, class uint8) {
		from := len(claims)
		place := func(of uint8) int { // the owner comes first
			switch {
			case of == noClaim:
				return -1
			case of == b.owner:
				return 0
			case of < b.owner:
				return int(of) + 1
			}
			return int(of)
		}
		ordered := [maxClaims]Claim{}
		for i := range b.count {
			c := b.claims[i]
			ordered[place(i)] = Claim{schemas.MACOf(c.mac), timeOf(c.first), timeOf(c.last)}
		}
		claims = append(claims, ordered[:b.count]...)
		s.Neighbours = append(s.Neighbours, Neighbour{
			Address: netip.AddrFrom16(addr), Claims: claims[from:len(claims):len(claims)],
			Speaker: place(b.speaker), Before: place(b.before), Disputed: b.disputed, Anycast: b.anycast, Tentative: b.tentative, Own: b.own, Lasting: class == lasting, Flood: class == flooded,
		})
	})
	l.stations.each(func(mac uint64, st *station, class uint8) {
		s.Stations = append(s.Stations, Station{
			Ethernet: schemas.MACOf(mac), FirstSeen: timeOf(st.first), LastSeen: timeOf(st.last), Lasting: class == lasting, Flood: class == flooded,
			Own: st.own, Taken: st.taken, TakenAt: timePtr(st.takenAt), Denied: st.denied.addr, DeniedAt: timePtr(st.denied.at), Denies: st.denies.addr, DeniesAt: timePtr(st.denies.at),
		})
	})
	for _, r := range l.routers.learned {
		s.Routers = append(s.Routers, LearnedRouter{r.Router.clone(), timeOf(r.since), timeOf(r.heard), timeOf(r.until), timeOf(r.last), r.stopped, r.stub})
	}
	return s
}

// Restore adds what is known of a link to the table, which must know nothing of
// it yet. An error means that the state is not one that State returns; then the
// link is not added.
func (t *Table) Restore(s State) error {
	if err := s.valid(); err != nil {
		return fmt.Errorf("state of %s/%s: %w", s.Host, s.Interface, err)
	}
	key := linkKey{s.Host, s.Interface, int32(number(s.VLAN)), int32(number(s.InnerVLAN))}
	if _, ok := t.links[key]; ok {
		return fmt.Errorf("state of %s/%s: it is known already", s.Host, s.Interface)
	}
	// A state of an older version does not have all of it.
	l := t.addLink(t.known.shelf(key.host, key.iface), key, classOf(s.Flood), unixNano(s.FirstSeen))
	l.last = unixNano(s.LastSeen)
	if s.Lasting {
		l.known.keep(l.entry, math.MaxInt64)
	}
	for _, n := range s.Neighbours {
		addr := n.Address.As16()
		if l.bindings.get(addr) != nil {
			continue
		}
		at := l.bindings.insert(addr, classOf(n.Flood))
		b := l.bindings.at(at)
		*b = binding{count: uint8(len(n.Claims)), speaker: uint8(n.Speaker), before: noClaim, disputed: n.Disputed, anycast: n.Anycast, tentative: n.Tentative, own: n.Own}
		if n.Before >= 0 {
			b.before = uint8(n.Before)
		}
		for i, c := range n.Claims {
			b.claims[i] = claim{c.Ethernet.Uint64(), c.FirstSeen.UnixNano(), c.LastSeen.UnixNano()}
		}
		if n.Lasting {
			l.bindings.keep(at, math.MaxInt64)
		}
	}
	for _, known := range s.Stations {
		mac := known.Ethernet.Uint64()
		if l.stations.get(mac) != nil {
			continue
		}
		at := l.stations.insert(mac, classOf(known.Flood))
		*l.stations.at(at) = station{
			first: known.FirstSeen.UnixNano(), last: known.LastSeen.UnixNano(), own: known.Own,
			taken: known.Taken, takenAt: nanoseconds(known.TakenAt), denied: denial{known.Denied, nanoseconds(known.DeniedAt)}, denies: denial{known.Denies, nanoseconds(known.DeniesAt)},
		}
		if known.Lasting {
			l.stations.keep(at, math.MaxInt64)
		}
	}
	for _, r := range s.Routers {
		l.routers.learned = append(l.routers.learned, learned{
			Router: r.Router, since: r.Since.UnixNano(), heard: r.Heard.UnixNano(),
			until: r.Until.UnixNano(), last: r.LastSeen.UnixNano(), stopped: r.Stopped, stub: r.Stub,
		})
	}
	l.routers.gather()
	t.asked.restore(&l.asked, l.number, s.Asked)
	t.probed.restore(&l.probed, l.number, s.Probed)
	return nil
}

func classOf(flood bool) int {
	if flood {
		return flooded
	}
	return once
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func (s *State) valid() error {
	for i := range s.Neighbours {
		n := &s.Neighbours[i]
		in := func(place int) bool { return place >= 0 && place < len(n.Claims) }
		switch {
		case !n.Address.Is6() || n.Address.Zone() != "":
			return fmt.Errorf("%v is no IPv6 address", n.Address)
		case len(n.Claims) == 0 || len(n.Claims) > maxClaims || !in(n.Speaker) || n.Before != -1 && !in(n.Before):
			return fmt.Errorf("claims of %v do not fit together", n.Address)
		}
	}
	if len(s.Routers) > maxLearned {
		return fmt.Errorf("%d routers, at most %d are learned", len(s.Routers), maxLearned)
	}
	for _, list := range [][]Target{s.Asked, s.Probed} {
		for _, target := range list {
			if !target.Address.Is6() {
				return fmt.Errorf("%v is no IPv6 address", target.Address)
			}
		}
	}
	return nil
}

func targets(q *queue) []Target {
	list := make([]Target, 0, q.len())
	q.each(func(t target, a *asked, _ uint8) {
		list = append(list, Target{netip.AddrFrom16(t.addr), schemas.MACOf(a.who), timeOf(a.at), a.open, a.nonce})
	})
	return list
}

func (r *recent) restore(q *queue, link int64, list []Target) {
	for _, t := range list {
		r.put(q, target{link, t.Address.As16()}, asked{t.Time.UnixNano(), t.Ethernet.Uint64(), t.Open, t.Nonce})
	}
}

// Learned returns the routers that were learned, for a configuration.
func (t *Table) Learned() []Routers {
	var all []Routers
	for _, s := range t.State() {
		if len(s.Routers) == 0 {
			continue
		}
		r := Routers{Host: s.Host, Interface: s.Interface, VLAN: s.VLAN}
		for _, known := range s.Routers {
			r.Routers = append(r.Routers, known.Router)
		}
		all = append(all, r)
	}
	return all
}
