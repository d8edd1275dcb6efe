// Package model has what the page shows: alerts and silences, links and neighbours, the fleet, the rules in force. It reads
// NATS and is read by the page. It makes no consumer: it asks the streams for what is new, so that it needs few rights, misses
// nothing while NATS is away, and costs the same for one watcher and for many.
package model

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"golang.org/x/sync/errgroup"
)

// Deps are the dependencies of a Model.
type Deps struct {
	Log  *slog.Logger
	Conn *bus.Conn
	// Now returns the time, and its location is that of the times on the page.
	Now func() time.Time
	// Vendor returns the maker of a station.
	Vendor func(schemas.MAC) string
	// Rules is the rule file of this process, empty for the central or the built-in rules.
	Rules string
	// Central is the subject of requests for the central rules.
	Central string
	// Consumer is the name of the nd-ruled whose states are asked for before any is stored.
	Consumer string
	// Health receives why alerts cannot be read, or nil.
	Health func(error)
}

// Model has what the page shows.
type Model struct {
	Deps
	version atomic.Uint64
	// watched is when a user was shown the neighbours, in Unix nanoseconds.
	watched atomic.Int64

	// asked is when ruled was asked to store its state; only storeStates uses it.
	asked time.Time

	mu         sync.RWMutex
	rights     Rights
	faults     map[string]string
	alerts     []*Alert // immutable elements, oldest first
	dropped    uint64   // alerts that are not shown because they are not in order
	silences   map[string]schemas.Silence
	states     map[string]*stored
	links      []LinkState
	neighbours []Neighbour
	fleet      Fleet
	rates      map[Link]*Rate
	rules      Rules
}

// New returns a Model that is empty until Run fills it.
func New(d Deps) *Model {
	return &Model{
		Deps: d, faults: map[string]string{}, silences: map[string]schemas.Silence{}, states: map[string]*stored{},
		rates: map[Link]*Rate{}, rules: Rules{Source: "built-in", Set: rulefile.Builtin()},
	}
}

// Times between two looks at a source.
const (
	alertsEach = 500 * time.Millisecond
	statesEach = 2 * time.Second
	lookEach   = time.Second
	fleetEach  = 10 * time.Second
	rulesEach  = 10 * time.Second
	rightsEach = time.Minute
	// askWait is the time for an answer of NATS.
	askWait = 10 * time.Second
)

// Run reads NATS until the context ends.
func (m *Model) Run(ctx context.Context) error {
	alerts, silences := newAlertTail(), newSilenceTail()
	var g errgroup.Group
	for _, source := range []struct {
		name string
		each time.Duration
		read func(context.Context) error
	}{
		{"rights", rightsEach, m.readRights},
		{"alerts", alertsEach, func(ctx context.Context) error { return m.readAlerts(ctx, alerts) }},
		{"silences", alertsEach, func(ctx context.Context) error { return m.readSilences(ctx, silences) }},
		{"neighbours", statesEach, m.readStates},
		{"newest neighbours", lookEach, m.storeStates},
		{"fleet", fleetEach, m.readFleet},
		{"rules", rulesEach, m.readRules},
	} {
		g.Go(func() error {
			ticker := time.NewTicker(source.each)
			defer ticker.Stop()
			for {
				if !m.Conn.Connected() {
					m.note("NATS", m.Conn.Health())
				} else {
					m.note("NATS", nil)
					bounded, cancel := context.WithTimeout(ctx, askWait)
					err := source.read(bounded)
					cancel()
					if ctx.Err() == nil {
						m.note(source.name, err)
					}
				}
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				}
			}
		})
	}
	return g.Wait()
}

// note remembers the fault of a source for the page, and logs when it begins and ends.
func (m *Model) note(source string, err error) {
	if source == "alerts" {
		m.Health(err)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	before := m.faults[source]
	if text == "" {
		delete(m.faults, source)
	} else {
		m.faults[source] = text
	}
	m.mu.Unlock()
	if before == text {
		return
	}
	m.version.Add(1)
	switch {
	case text == "":
		m.Log.Info("the page has these again", "what", source)
	case before == "":
		m.Log.Warn("the page lacks these", "what", source, "error", err)
	}
}

// Version differs after each change.
func (m *Model) Version() uint64 { return m.version.Load() }

// Changed makes the version differ, after a change of what the page shows besides the model.
func (m *Model) Changed() { m.version.Add(1) }

// Faults returns what cannot be read, and why.
func (m *Model) Faults() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []string
	for _, source := range slices.Sorted(maps.Keys(m.faults)) {
		list = append(list, source+": "+m.faults[source])
	}
	return list
}

// Watch says that a user is shown links or neighbours: for some time they are kept up to date.
func (m *Model) Watch() { m.watched.Store(m.Now().UnixNano()) }

// Link is where something was captured. VLAN and Inner are -1 without the tag.
type Link struct {
	Host, Interface string
	VLAN, Inner     int
}

// LinkOf returns a Link.
func LinkOf(host, iface string, vlan, inner *uint16) Link {
	l := Link{host, iface, -1, -1}
	if vlan != nil {
		l.VLAN = int(*vlan)
	}
	if inner != nil {
		l.Inner = int(*inner)
	}
	return l
}

// Tags returns the VLANs as in messages.
func (l Link) Tags() (vlan, inner *uint16) {
	if l.VLAN >= 0 {
		vlan = new(uint16(l.VLAN))
	}
	if l.Inner >= 0 {
		inner = new(uint16(l.Inner))
	}
	return vlan, inner
}

// String returns HOST/INTERFACE with the VLANs behind it.
func (l Link) String() string {
	s := l.Host + "/" + l.Interface
	for _, tag := range []int{l.VLAN, l.Inner} {
		if tag >= 0 {
			s += fmt.Sprintf(".%d", tag)
		}
	}
	return s
}
