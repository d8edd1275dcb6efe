package link

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// State is a Table's record of one link: enough to go on from after a restart, and to list
// the neighbours. Its JSON members do not change: a stored state outlives an upgrade.
type State struct {
	Host      string  `json:"host"`
	Interface string  `json:"interface"`
	VLAN      *uint16 `json:"vlan,omitempty"`
	InnerVLAN *uint16 `json:"innervlan,omitempty"`
	// Lasting is true for a link that was seen more than once, Flood for one that was
	// first seen in a flood of new ones, and FirstSeen is when.
	Lasting   bool      `json:"lasting,omitempty"`
	Flood     bool      `json:"flood,omitempty"`
	FirstSeen time.Time `json:"firstseen,omitzero"`
	LastSeen  time.Time `json:"lastseen,omitzero"`

	// Neighbours and Stations list first those of a flood, then those seen once, then the
	// lasting ones, each beginning with the one silent for longest.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	Stations   []Station   `json:"stations,omitempty"`
	// Routers were learned.
	Routers []router.Learned `json:"routers,omitempty"`
	// Asked and Probed are targets of the last seconds.
	Asked  []Target `json:"asked,omitempty"`
	Probed []Target `json:"probed,omitempty"`
}

// Neighbour is an address and the stations that use it.
type Neighbour struct {
	Address netip.Addr `json:"address"`
	// Bindings has at least one element, the first of which is believed.
	Bindings []Binding `json:"claims"`
	// Speaker is the index in Bindings of the one that was heard last, Before of the one heard before it, or -1.
	Speaker int `json:"speaker,omitempty"`
	Before  int `json:"before"`
	// The rest is that of the type neighbour, and Lasting and Flood as in State.
	Disputed  bool `json:"disputed,omitempty"`
	Anycast   bool `json:"anycast,omitempty"`
	Tentative bool `json:"tentative,omitempty"`
	Own       bool `json:"own,omitempty"`
	Lasting   bool `json:"lasting,omitempty"`
	Flood     bool `json:"flood,omitempty"`
}

// Binding records which station uses an address, and since when.
type Binding struct {
	Ethernet  schemas.MAC `json:"ethernet"`
	FirstSeen time.Time   `json:"firstseen"`
	LastSeen  time.Time   `json:"lastseen"`
	// The rest is that of the type spell.
	Since time.Time `json:"since,omitzero"`
	Told  time.Time `json:"told,omitzero"`
	Heard uint8     `json:"heard,omitempty"`
}

// Station is an Ethernet address that frames came from.
type Station struct {
	Ethernet  schemas.MAC `json:"ethernet"`
	FirstSeen time.Time   `json:"firstseen"`
	LastSeen  time.Time   `json:"lastseen"`
	Lasting   bool        `json:"lasting,omitempty"`
	Flood     bool        `json:"flood,omitempty"`
	// The rest records its latest frames; see the type station.
	Own      uint32    `json:"own,omitempty"`
	Taken    [2]uint32 `json:"taken,omitzero"`
	TakenAt  time.Time `json:"takenat,omitzero"`
	Denied   uint32    `json:"denied,omitempty"`
	DeniedAt time.Time `json:"deniedat,omitzero"`
	Denies   uint32    `json:"denies,omitempty"`
	DeniesAt time.Time `json:"deniesat,omitzero"`
}

// Target is an address that was solicited.
type Target struct {
	Address  netip.Addr  `json:"address"`
	Ethernet schemas.MAC `json:"ethernet"`
	Time     time.Time   `json:"time"`
	// Open is true for a target that was unknown, and has not answered.
	Open bool `json:"open,omitempty"`
	// Nonce is a hash of the nonce of duplicate address detection, 0 for none.
	Nonce uint32 `json:"nonce,omitempty"`
}

// timeOf returns the time of Unix nanoseconds, nanoseconds the reverse. 0 is the zero time.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func vlanOf(tag int32) *uint16 {
	if tag < 0 {
		return nil
	}
	return new(uint16(tag))
}

func vlanNumber(vlan *uint16) int {
	if vlan == nil {
		return -1
	}
	return int(*vlan)
}

// State returns a copy of what the table has, by host and interface.
func (t *Table) State() []State {
	states := make([]State, 0, len(t.links))
	for _, l := range t.links {
		states = append(states, l.state())
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), cmp.Compare(vlanNumber(a.VLAN), vlanNumber(b.VLAN)), cmp.Compare(vlanNumber(a.InnerVLAN), vlanNumber(b.InnerVLAN)))
	})
	return states
}

func (l *link) state() State {
	s := State{
		Host: l.host, Interface: l.iface, VLAN: vlanOf(l.vlan), InnerVLAN: vlanOf(l.inner),
		FirstSeen: timeOf(l.first), LastSeen: timeOf(l.last),
		Neighbours: make([]Neighbour, 0, l.neighbours.Len()),
		Stations:   make([]Station, 0, l.stations.Len()),
		Routers:    l.routers.State(),
		Asked:      targets(&l.asked),
		Probed:     targets(&l.probed),
	}
	class := l.others.Class(l.entry)
	s.Lasting, s.Flood = class == pool.Lasting, class == pool.Flooded
	bindings := make([]Binding, 0, l.neighbours.Len()) // one allocation for most
	l.neighbours.Each(func(addr [16]byte, n *neighbour, i int32) {
		class := l.neighbours.Class(i)
		from := len(bindings)
		ordered := [maxBindings]Binding{}
		for i := range n.count {
			b := n.bindings[i]
			ordered[n.rank(i)] = Binding{schemas.MACOf(b.mac), timeOf(b.first), timeOf(b.last), timeOf(b.since), timeOf(b.told), uint8(b.heard)}
		}
		bindings = append(bindings, ordered[:n.count]...)
		s.Neighbours = append(s.Neighbours, Neighbour{
			Address: netip.AddrFrom16(addr), Bindings: bindings[from:len(bindings):len(bindings)],
			Speaker: n.rank(n.speaker), Before: n.rank(n.before), Disputed: n.disputed, Anycast: n.anycast,
			Tentative: n.tentative, Own: n.own, Lasting: class == pool.Lasting, Flood: class == pool.Flooded,
		})
	})
	l.stations.Each(func(mac uint64, st *station, i int32) {
		class := l.stations.Class(i)
		s.Stations = append(s.Stations, Station{
			Ethernet: schemas.MACOf(mac), FirstSeen: timeOf(st.first), LastSeen: timeOf(st.last), Lasting: class == pool.Lasting, Flood: class == pool.Flooded,
			Own: st.own, Taken: st.taken, TakenAt: timeOf(st.takenAt), Denied: st.denied.addr, DeniedAt: timeOf(st.denied.at), Denies: st.denies.addr, DeniesAt: timeOf(st.denies.at),
		})
	})
	return s
}

// rank returns the index that a binding has when the owner is first; -1 for noBinding.
func (n *neighbour) rank(of uint8) int {
	switch {
	case of == noBinding:
		return -1
	case of == n.owner:
		return 0
	case of < n.owner:
		return int(of) + 1
	}
	return int(of)
}

// Restore adds the state of a link to the table, which must not have that link yet. An error
// means that the state is not one that State returns; then the link is not added.
func (t *Table) Restore(s State) error {
	if err := s.valid(); err != nil {
		return fmt.Errorf("state of %s/%s: %w", s.Host, s.Interface, err)
	}
	key := linkKey{s.Host, s.Interface, int32(vlanNumber(s.VLAN)), int32(vlanNumber(s.InnerVLAN))}
	if _, ok := t.links[key]; ok {
		return fmt.Errorf("state of %s/%s: the link has a state already", s.Host, s.Interface)
	}
	// A state of an older version lacks some members.
	l := t.addLink(t.known.Partition(key.host, key.iface), key, classOf(s.Flood), nanoseconds(s.FirstSeen))
	l.last = nanoseconds(s.LastSeen)
	if s.Lasting {
		l.others.Keep(l.entry, math.MaxInt64)
	}
	l.restoreNeighbours(s.Neighbours, nanoseconds(s.LastSeen))
	l.restoreStations(s.Stations)
	l.routers.Restore(s.Routers)
	t.asked.restore(&l.asked, l.number, s.Asked)
	t.probed.restore(&l.probed, l.number, s.Probed)
	return nil
}

func (l *link) restoreNeighbours(all []Neighbour, last int64) {
	for _, s := range all {
		addr := s.Address.As16()
		if l.neighbours.Get(addr) != nil {
			continue
		}
		i := l.neighbours.Insert(addr, classOf(s.Flood))
		n := l.neighbours.At(i)
		*n = neighbour{count: uint8(len(s.Bindings)), speaker: uint8(s.Speaker), before: noBinding, disputed: s.Disputed, anycast: s.Anycast, tentative: s.Tentative, own: s.Own}
		if s.Before >= 0 {
			n.before = uint8(s.Before)
		}
		for at, b := range s.Bindings {
			told := nanoseconds(b.Told)
			if last-told < quiet {
				told = 0 // the history may not have stored it
			}
			n.bindings[at] = binding{b.Ethernet.Uint64(), nanoseconds(b.FirstSeen), nanoseconds(b.LastSeen), spell{nanoseconds(b.Since), told, heard(b.Heard)}}
		}
		if s.Lasting {
			l.neighbours.Keep(i, math.MaxInt64)
		}
	}
}

func (l *link) restoreStations(all []Station) {
	for _, s := range all {
		mac := s.Ethernet.Uint64()
		if l.stations.Get(mac) != nil {
			continue
		}
		i := l.stations.Insert(mac, classOf(s.Flood))
		*l.stations.At(i) = station{
			first: nanoseconds(s.FirstSeen), last: nanoseconds(s.LastSeen), own: s.Own,
			taken: s.Taken, takenAt: nanoseconds(s.TakenAt), denied: denial{s.Denied, nanoseconds(s.DeniedAt)}, denies: denial{s.Denies, nanoseconds(s.DeniesAt)},
		}
		if s.Lasting {
			l.stations.Keep(i, math.MaxInt64)
		}
	}
}

func classOf(flood bool) int {
	if flood {
		return pool.Flooded
	}
	return pool.Once
}

func (s *State) valid() error {
	for i := range s.Neighbours {
		n := &s.Neighbours[i]
		in := func(i int) bool { return i >= 0 && i < len(n.Bindings) }
		switch {
		case !n.Address.Is6() || n.Address.Zone() != "":
			return fmt.Errorf("%v is no IPv6 address", n.Address)
		case len(n.Bindings) == 0 || len(n.Bindings) > maxBindings || !in(n.Speaker) || n.Before != -1 && !in(n.Before):
			return fmt.Errorf("the bindings of %v do not fit together", n.Address)
		}
	}
	if len(s.Routers) > router.MaxLearned {
		return fmt.Errorf("%d routers, at most %d are learned", len(s.Routers), router.MaxLearned)
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
	list := make([]Target, 0, q.Len())
	q.Each(func(t target, a *asked, _ int32) {
		list = append(list, Target{netip.AddrFrom16(t.addr), schemas.MACOf(a.who), timeOf(a.at), a.open, a.nonce})
	})
	return list
}

func (r *recent) restore(q *queue, link int64, list []Target) {
	for _, t := range list {
		r.put(q, target{link, t.Address.As16()}, asked{nanoseconds(t.Time), t.Ethernet.Uint64(), t.Open, t.Nonce})
	}
}

// Learned returns the routers that were learned, for a configuration.
func (t *Table) Learned() []router.Link {
	var all []router.Link
	for _, s := range t.State() {
		if len(s.Routers) == 0 {
			continue
		}
		l := router.Link{Host: s.Host, Interface: s.Interface, VLAN: s.VLAN}
		for _, learned := range s.Routers {
			l.Routers = append(l.Routers, learned.Router)
		}
		all = append(all, l)
	}
	return all
}
