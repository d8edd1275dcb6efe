package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/state"
	"golang.org/x/sync/errgroup"
)

// Neighbour is a binding of an address, as ruled knows it.
type Neighbour = command.Neighbour

// LinkState has ruled's knowledge of a link.
type LinkState struct {
	Link     Link
	LastSeen time.Time
	// Addresses and Stations are how many it has.
	Addresses, Stations int
	Routers             []router.Learned

	state string // the name under which it is stored
}

// stored is a state that was read.
type stored struct {
	revision   uint64
	links      []LinkState
	neighbours []Neighbour
}

const (
	// maxNeighbours bounds the neighbours in memory.
	maxNeighbours = 1 << 19
	// watchedFor is how long ruled is asked to store its state after a user was shown links or neighbours, and storeEach
	// how often. Without that it stores it each minute.
	watchedFor = 30 * time.Second
	storeEach  = 10 * time.Second
)

// readStates reads the states that have changed.
func (m *Model) readStates(ctx context.Context) error {
	list, err := state.List(ctx, m.Conn.JetStream())
	if err != nil {
		return err
	}
	m.mu.RLock()
	before := m.states
	m.mu.RUnlock()
	states, changed, left := map[string]*stored{}, false, maxNeighbours
	var faults []error
	for _, s := range list {
		known := before[s.Name]
		if known == nil || known.revision != s.Revision {
			read, err := m.readState(ctx, s, left)
			if err == nil {
				known, changed = read, true
			} else if !errors.Is(err, state.ErrNone) {
				faults = append(faults, err)
			}
		}
		if known != nil {
			states[s.Name] = known
			left = max(0, left-len(known.neighbours))
		}
	}
	changed = changed || len(states) != len(before)
	if changed {
		m.setStates(states)
	}
	if left == 0 {
		faults = append(faults, fmt.Errorf("there are more than %d: the others are not shown", maxNeighbours))
	}
	return errors.Join(faults...)
}

// storeStates has every ruled that runs store its state now, if a user looks at it.
func (m *Model) storeStates(ctx context.Context) error {
	now := m.Now()
	if !m.Rights().states || now.UnixNano()-m.watched.Load() > int64(watchedFor) || now.Sub(m.asked) < storeEach {
		return nil
	}
	m.asked = now
	list, err := state.List(ctx, m.Conn.JetStream())
	if err != nil {
		return err
	}
	names := append(state.PartitionNames(m.Consumer), "ndmon")
	for _, s := range list {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	var g errgroup.Group
	g.SetLimit(64)
	for _, name := range names {
		g.Go(func() error {
			_, err := state.Request(ctx, m.Conn.NATS(), name)
			return err
		})
	}
	return g.Wait()
}

// readState reads a state, with at most so many neighbours.
func (m *Model) readState(ctx context.Context, s state.Stored, most int) (*stored, error) {
	read := &stored{revision: s.Revision}
	_, err := state.Read(ctx, m.Conn.JetStream(), s.Name, func(l link.State) error {
		read.links = append(read.links, LinkState{
			Link: LinkOf(l.Host, l.Interface, l.VLAN, l.InnerVLAN), LastSeen: l.LastSeen,
			Addresses: len(l.Neighbours), Stations: len(l.Stations), Routers: l.Routers, state: s.Name,
		})
		if len(read.neighbours) < most {
			read.neighbours = command.AppendNeighbours(read.neighbours, l, m.Vendor)
		}
		return nil
	})
	read.neighbours = read.neighbours[:min(len(read.neighbours), most)]
	return read, err
}

func (m *Model) setStates(states map[string]*stored) {
	var links []LinkState
	var neighbours []Neighbour
	for _, s := range states {
		links = append(links, s.links...)
		neighbours = append(neighbours, s.neighbours...)
	}
	slices.SortFunc(links, func(a, b LinkState) int { return compareLinks(a.Link, b.Link) })
	slices.SortFunc(neighbours, func(a, b Neighbour) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), slices.Compare(a.Ethernet[:], b.Ethernet[:]))
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states, m.links, m.neighbours = states, links, neighbours
	m.version.Add(1)
}

func compareLinks(a, b Link) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.VLAN, b.VLAN), cmp.Compare(a.Inner, b.Inner))
}

// Links returns the links, by their names. They must not be changed.
func (m *Model) Links() []LinkState {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.links
}

// Neighbours returns the neighbours of all links, by address. They must not be changed.
func (m *Model) Neighbours() []Neighbour {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.neighbours
}

// Table returns what ruled knows of a link, as it was stored last. The table is empty for a link that it does not know.
func (m *Model) Table(ctx context.Context, of Link) (*link.Table, error) {
	table := link.New(link.Config{Vendor: m.Vendor})
	rules, _ := m.Rules()
	table.Configure(rules.Set.Links)
	for _, l := range m.Links() {
		if l.Link != of {
			continue
		}
		_, err := state.Read(ctx, m.Conn.JetStream(), l.state, func(s link.State) error {
			if LinkOf(s.Host, s.Interface, s.VLAN, s.InnerVLAN) != of {
				return nil
			}
			return table.Restore(s)
		})
		if err != nil && !errors.Is(err, state.ErrNone) {
			return nil, err
		}
		break
	}
	return table, nil
}
