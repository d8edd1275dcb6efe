// Package link remembers what was observed on the links of the fleet: their stations, which station uses which address,
// and their routers. It adds to each event what is new, what contradicts earlier events, and what differs from the
// routers that are configured or were learned (schemas.Link). It knows neither rules nor where events come from.
//
// It never simply believes a frame. An address that a second station claims keeps the bindings to both until
// one station has been silent for Config.ClaimTimeout. What a learned router said first holds until the
// router has not said it for as long. Memory is bounded whatever is sent (package pool).
package link

import (
	"strconv"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/pool"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// Config has the bounds of a Table. Durations are compared with the times of the events.
type Config struct {
	// Neighbours is how many addresses are remembered, and how many stations: at least 1.
	Neighbours int
	// ClaimTimeout is how long the binding of an address to a station, or what a learned
	// router said, outlives the last time that it was heard.
	ClaimTimeout time.Duration
	// Silence is how long a station must have been silent for its return to be reported.
	Silence time.Duration
	// Learn has every router learned and none judged.
	Learn bool
	// History, if set, is told of a binding: when it is new, contested, or was heard again later. It reports whether
	// it has noted the binding, which is valid until it returns, and is called again otherwise.
	History func(*schemas.Binding) bool
	// Vendor returns the maker of a station, or "".
	Vendor func(schemas.MAC) string
}

// maxLinks bounds the links: a sender of frames can make up VLANs, and a publisher of events can make up
// interfaces and hosts too.
const maxLinks = 4096

// Table has the links. It serves one goroutine.
type Table struct {
	cfg        Config
	configured []router.Link
	links      map[linkKey]*link
	last       *link // of the last event: events come in runs
	settled    bool  // that link is lasting
	numbers    int64 // links made so far
	known      *pool.Pool[linkKey, *link]
	neighbours *pool.Pool[[16]byte, neighbour]
	stations   *pool.Pool[uint64, station]
	asked      recent // targets of NS
	probed     recent // targets of duplicate address detection

	// What Observe returns.
	out    schemas.Link
	claims []schemas.LinkClaim
	// real is true where a claim contradicts a binding that is older than the flood: such a
	// claim is no flood's, whoever makes it.
	real   bool
	prior  [2]schemas.MAC
	sender schemas.LinkStation
	dad    schemas.LinkDAD
	judge  router.Judge
}

type linkKey struct {
	host, iface string
	vlan, inner int32 // -1 for none
}

// link records one link.
type link struct {
	linkKey
	number int64
	// first and last are when an event of it was seen.
	first, last int64
	// others is the partition of links of its interface, entry the index of the link there.
	others     *pool.Partition[linkKey, *link]
	entry      int32
	neighbours *pool.Partition[[16]byte, neighbour]
	stations   *pool.Partition[uint64, station]
	asked      queue
	probed     queue
	routers    router.Routers
	search     search
}

// doubt sets whether new entries of the link count as a flood's.
func (l *link) doubt(doubtful bool) {
	l.neighbours.Doubtful, l.stations.Doubtful, l.asked.Doubtful, l.probed.Doubtful = doubtful, doubtful, doubtful, doubtful
}

// New returns an empty table.
func New(cfg Config) *Table {
	t := &Table{
		cfg:        cfg,
		links:      map[linkKey]*link{},
		known:      pool.New[linkKey](maxLinks, 1, func(l **link) int64 { return (*l).last }),
		neighbours: pool.New[[16]byte](cfg.Neighbours, 2, (*neighbour).last),
		stations:   pool.New[uint64](cfg.Neighbours, 2, func(s *station) int64 { return s.last }),
		asked:      newRecent(solicitedWindow),
		probed:     newRecent(dadWindow),
	}
	t.known.Forgotten = t.dropLink
	t.judge.Learn, t.judge.Timeout = cfg.Learn, cfg.ClaimTimeout
	return t
}

// Configure replaces the configured routers. Learned routers are kept, but count only where none is configured.
func (t *Table) Configure(configured []router.Link) {
	t.configured = configured
	for _, l := range t.links {
		l.routers.Configure(configured, l.host, l.iface, l.vlan)
	}
}

// Stats is how much a Table remembers.
type Stats struct {
	// Links, Stations and Addresses are remembered now.
	Links, Stations, Addresses int
	// Evicted counts the addresses that were forgotten because the table was full, EvictedLinks the links.
	Evicted, EvictedLinks uint64
}

// Stats returns how much the table remembers.
func (t *Table) Stats() Stats {
	return Stats{len(t.links), t.stations.Used, t.neighbours.Used, t.neighbours.Evictions, t.known.Evictions}
}

// Newest calls f with the host of each link and when its last frame was captured, in nanoseconds since 1970.
func (t *Table) Newest(f func(host string, last int64)) {
	for _, l := range t.links {
		f(l.host, l.last)
	}
}

// fromHost reports whether the host that captured the frame sent it itself.
func fromHost(e *schemas.Event) bool { return e.Direction == schemas.Out && !e.Forwarded }

// link returns the link of an event.
func (t *Table) link(e *schemas.Event, now int64) *link {
	vlan, inner := router.Tag(e.Ethernet.VLAN), router.Tag(e.Ethernet.InnerVLAN)
	if vlan < 0 {
		vlan, inner = inner, vlan
	}
	if l := t.last; l != nil && l.vlan == vlan && l.inner == inner && l.iface == e.Interface && l.host == e.Host {
		if t.settled { // and the most recently seen
			l.last = now
		} else {
			t.seen(l, now)
		}
		return l
	}
	key := linkKey{e.Host, e.Interface, vlan, inner}
	l, ok := t.links[key]
	if ok {
		t.seen(l, now)
	} else {
		of := t.known.Partition(key.host, key.iface)
		l = t.addLink(of, key, of.Classify(now), now)
		t.settled = false
	}
	t.last = l
	return l
}

// seen notes a further event of a link.
func (t *Table) seen(l *link, now int64) {
	if flood := l.others.SeenAt(l.entry, l.first, now); flood != l.neighbours.Doubtful {
		l.doubt(flood)
	}
	l.last = now
	t.settled = l.others.Settled(l.entry)
}

// addLink makes a link of a class, first seen now, in the partition of its interface.
func (t *Table) addLink(s *pool.Partition[linkKey, *link], key linkKey, class int, now int64) *link {
	t.numbers++
	vlans := strconv.Itoa(int(key.vlan)) + "." + strconv.Itoa(int(key.inner))
	l := &link{
		linkKey: key, number: t.numbers, first: now, last: now, others: s,
		neighbours: t.neighbours.Partition(key.host, key.iface, vlans),
		stations:   t.stations.Partition(key.host, key.iface, vlans),
		asked:      *t.asked.Partition(key.host, key.iface, vlans),
		probed:     *t.probed.Partition(key.host, key.iface, vlans),
	}
	l.entry = s.Insert(key, class)
	*s.At(l.entry) = l
	l.doubt(class == pool.Flooded)
	l.routers.Configure(t.configured, key.host, key.iface, key.vlan)
	t.links[key] = l
	return l
}

// dropLink drops all entries of a link.
func (t *Table) dropLink(_ linkKey, l *link) {
	l.neighbours.Drop()
	l.stations.Drop()
	l.asked.Drop()
	l.probed.Drop()
	l.others.Close()
	delete(t.links, l.linkKey)
	if t.last == l {
		t.last = nil
	}
}
