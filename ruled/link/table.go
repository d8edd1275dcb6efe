// Package link knows the links of the fleet: their stations, which station
// claims which address, and their routers. It says of each event what is new,
// what contradicts what was seen before, and what differs from the routers that
// are configured or were learned (schemas.Link).
//
// What a frame says is never simply believed. An address that a second station
// claims keeps both claims until one of them has been silent for long; of a
// router that was learned, what it said first stands until it has not said it
// for long. Memory is bounded, whatever is sent (see pool).
package link

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// Config says how a Table works. The durations are compared with the events'
// own times.
type Config struct {
	// Neighbours is how many addresses are remembered, and how many stations: at
	// least 1.
	Neighbours int
	// ClaimTimeout is how long a claim, or what a learned router said, outlives
	// the last time that it was heard.
	ClaimTimeout time.Duration
	// Silence is how long a station must have been silent to be reported when it
	// is back.
	Silence time.Duration
	// Learn has every router learned and nothing said of any.
	Learn bool
	// Vendor returns the maker of a station, or "".
	Vendor func(schemas.MAC) string
}

// Defaults of Config.
const (
	DefaultNeighbours   = 100_000
	DefaultClaimTimeout = time.Hour
	DefaultSilence      = 30 * 24 * time.Hour
)

const second = int64(time.Second)

const (
	// maxLinks bounds the links: who sends frames can make up VLANs, and who
	// may publish events interfaces and hosts too. They are kept as all else is
	// (see pool).
	maxLinks = 4096
	// solicitedWindow is how long an NA counts as the answer to an NS.
	solicitedWindow = 10 * second
	// dadWindow is how long a tested address is remembered.
	dadWindow = 60 * second
	// recently is how long the start of a station takes at most.
	recently = 60 * second
	// repeatWindow is the time in which doing the same again is no accident.
	repeatWindow = 600 * second
)

// Table knows the links. It serves one goroutine.
type Table struct {
	cfg        Config
	configured []Routers
	links      map[linkKey]*link
	last       *link // of the last event: events come in runs
	settled    bool  // it is lasting
	numbers    int64 // links made so far
	known      *pool[linkKey, *link]
	bindings   *pool[[16]byte, binding]
	stations   *pool[uint64, station]
	asked      recent // targets of NS
	probed     recent // targets of duplicate address detection

	// What Observe returns.
	out    schemas.Link
	claims []schemas.LinkClaim
	// real is true where a claim contradicts one of an address that was there before:
	// that is no flood's, whoever makes it.
	real   bool
	prior  [2]schemas.MAC
	sender schemas.LinkStation
	dad    schemas.LinkDAD
	router schemas.LinkRouter
	ra     schemas.LinkRA
	// What is used again.
	offers     []offer
	comparison comparison
	nothing    Router // where nothing is configured
}

type linkKey struct {
	host, iface string
	vlan, inner int32 // -1 for none
}

// link is what is known of one link.
type link struct {
	linkKey
	number int64
	// first and last are when an event of it was seen.
	first, last int64
	// known is its interface's shelf of links, entry its place there.
	known    *shelf[linkKey, *link]
	entry    int32
	bindings *shelf[[16]byte, binding]
	stations *shelf[uint64, station]
	asked    queue
	probed   queue
	routers  routers
	search   search
}

// last returns when the address was claimed last.
func (b *binding) last() int64 {
	last := b.claims[0].last
	for _, c := range b.claims[1:b.count] {
		last = max(last, c.last)
	}
	return last
}

// doubt has what is new on the link taken for a flood's, or no longer.
func (l *link) doubt(doubtful bool) {
	l.bindings.doubtful, l.stations.doubtful, l.asked.doubtful, l.probed.doubtful = doubtful, doubtful, doubtful, doubtful
}

// station is what is known of one Ethernet address on a link.
type station struct {
	first, last int64
	// own is an address that the station had before anybody else, as a hash.
	own uint32
	// taken are the last two stations whose addresses it has claimed, lately.
	taken   [2]uint32
	takenAt int64
	// denied is the last tested address that a stranger has denied it, denies the
	// last that it has denied another as a stranger.
	denied, denies denial
}

// denial is when which address was denied, as a hash.
type denial struct {
	addr uint32
	at   int64
}

// another notes a denial and reports whether there was one of another address
// lately.
func (d *denial) another(addr uint32, now int64) bool {
	again := d.addr != 0 && d.addr != addr && now-d.at <= repeatWindow && now >= d.at
	*d = denial{addr, now}
	return again
}

// New returns an empty table.
func New(cfg Config) *Table {
	t := &Table{
		cfg:      cfg,
		links:    map[linkKey]*link{},
		known:    newPool[linkKey](maxLinks, 1, func(l **link) int64 { return (*l).last }),
		bindings: newPool[[16]byte](cfg.Neighbours, 2, (*binding).last),
		stations: newPool[uint64](cfg.Neighbours, 2, func(s *station) int64 { return s.last }),
		asked:    newRecent(solicitedWindow),
		probed:   newRecent(dadWindow),
	}
	t.known.forgotten = t.forget
	return t
}

// Configure replaces the configured routers. What was learned stays known, but
// counts only where nothing is configured.
func (t *Table) Configure(configured []Routers) {
	t.configured = configured
	for _, l := range t.links {
		l.routers.configure(configured, l.linkKey)
	}
}

// Stats is how much a Table remembers.
type Stats struct {
	// Links, Stations and Addresses are remembered now.
	Links, Stations, Addresses int
	// Evicted counts the addresses that were forgotten for want of room,
	// EvictedLinks the links.
	Evicted, EvictedLinks uint64
}

// Stats returns how much the table remembers.
func (t *Table) Stats() Stats {
	return Stats{len(t.links), t.stations.used, t.bindings.used, t.bindings.evictions, t.known.evictions}
}

// Observe sets e.Link to what is to be said of the event, or to nil, and
// remembers the event. e.Link is valid until the next call.
//
// A frame that receivers discard changes nothing on the link, so nothing is
// remembered of it.
func (t *Table) Observe(e *schemas.Event) {
	e.Link = nil
	if e.Lost != nil || e.Sensor != nil || e.Ethernet == nil || e.Inet6 == nil || e.ICMP6 == nil || e.ND == nil {
		return
	}
	now := e.Time.UnixNano()
	l := t.link(e, now)
	t.out = schemas.Link{Configured: l.routers.isConfigured()}
	t.claims, t.real = t.claims[:0], false
	switch {
	case discarded(e):
	case e.ND.Truncated:
		// Who sent it is there to see, but not all that it says.
		t.observeRouter(l, e, now)
	default:
		s := t.observeStation(l, e, now)
		t.observeSolicitation(l, e, now)
		t.observeClaims(l, s, e, now)
		t.observeRouter(l, e, now)
		t.out.Bogon = l.routers.bogon(e.Inet6.Source)
		t.out.Flood = t.out.Flood && !t.real
	}
	t.out.Claim = t.remarkable()
	if own(e) { // the host itself is neither new nor to be accused
		t.out = schemas.Link{Configured: t.out.Configured, Unanswered: t.out.Unanswered}
	}
	if something(&t.out) {
		e.Link = &t.out
	}
}

// remarkable returns the claims to be told of: if one contradicts another, what
// is merely new beside it is not of interest.
func (t *Table) remarkable() []schemas.LinkClaim {
	contested := func(c schemas.LinkClaim) bool { return c.Contested }
	if slices.ContainsFunc(t.claims, contested) {
		return slices.DeleteFunc(t.claims, func(c schemas.LinkClaim) bool { return !c.Contested })
	}
	return t.claims
}

// something reports whether there is anything to be said of an event.
func something(l *schemas.Link) bool {
	return l.Configured || l.Bogon || l.Unsolicited || l.Unanswered || l.Flood || l.Station != nil || len(l.Claim) > 0 || l.DAD != nil || l.Router != nil || l.RA != nil
}

// own reports whether the host that captured the frame has sent it itself.
func own(e *schemas.Event) bool { return e.Direction == schemas.Out && !e.Forwarded }

// discarded reports whether receivers discard the frame.
func discarded(e *schemas.Event) bool {
	return e.Fault.Discard() || e.ND.RS == nil && e.ND.RA == nil && e.ND.NS == nil && e.ND.NA == nil && e.ND.RD == nil
}

// link returns the link of an event.
func (t *Table) link(e *schemas.Event, now int64) *link {
	// A tag with the identifier 0 is only a priority (IEEE 802.1Q, section 9.6).
	vlan, inner := tagOf(e.Ethernet.VLAN), tagOf(e.Ethernet.InnerVLAN)
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
		l = t.newLink(key, now)
		t.settled = false
	}
	t.last = l
	return l
}

// seen notes a further event of a link.
func (t *Table) seen(l *link, now int64) {
	if flood := l.known.seenAt(l.entry, l.first, now); flood != l.bindings.doubtful {
		l.doubt(flood)
	}
	l.last = now
	t.settled = t.known.at(l.entry).class == lasting
}

func tagOf(identifier *uint16) int32 {
	if identifier == nil || *identifier == 0 {
		return -1
	}
	return int32(*identifier)
}

// newLink makes a link that is first seen now.
func (t *Table) newLink(key linkKey, now int64) *link {
	s := t.known.shelf(key.host, key.iface)
	return t.addLink(s, key, s.classify(now), now)
}

// addLink makes a link of a class.
func (t *Table) addLink(s *shelf[linkKey, *link], key linkKey, class int, now int64) *link {
	t.numbers++
	vlans := strconv.Itoa(int(key.vlan)) + "." + strconv.Itoa(int(key.inner))
	l := &link{
		linkKey: key, number: t.numbers, first: now, last: now, known: s,
		bindings: t.bindings.shelf(key.host, key.iface, vlans),
		stations: t.stations.shelf(key.host, key.iface, vlans),
		asked:    *t.asked.shelf(key.host, key.iface, vlans),
		probed:   *t.probed.shelf(key.host, key.iface, vlans),
	}
	l.entry = s.insert(key, class)
	*s.at(l.entry) = l
	l.doubt(class == flooded)
	l.routers.configure(t.configured, key)
	t.links[key] = l
	return l
}

// forget forgets all that is known of a link.
func (t *Table) forget(_ linkKey, l *link) {
	l.bindings.drop()
	l.stations.drop()
	l.asked.drop()
	l.probed.drop()
	l.known.close()
	delete(t.links, l.linkKey)
	if t.last == l {
		t.last = nil
	}
}

// observeStation notes the sender. It returns nil for an Ethernet source that no
// station has.
func (t *Table) observeStation(l *link, e *schemas.Event, now int64) *station {
	mac := e.Ethernet.Source
	if mac.IsMulticast() || mac == (schemas.MAC{}) {
		return nil
	}
	t.sender = schemas.LinkStation{Vendor: t.vendor(mac)}
	key := mac.Uint64()
	i := l.stations.find(key)
	known := i != none
	if !known {
		class := l.stations.classify(now)
		i = l.stations.insert(key, class)
		t.out.Flood = class == flooded
	}
	s := l.stations.at(i)
	if !known {
		s.first, s.last = now, now
		t.sender.New = true
		t.sender.UnknownVendor = t.cfg.Vendor != nil && t.sender.Vendor == "" && !mac.IsLocal()
	} else {
		t.sender.Returned = now-s.last > int64(t.cfg.Silence)
		s.last = now
		t.out.Flood = l.stations.seenAt(i, s.first, now)
	}
	if t.sender != (schemas.LinkStation{}) {
		t.out.Station = &t.sender
	}
	return s
}

func (t *Table) vendor(mac schemas.MAC) string {
	if t.cfg.Vendor == nil {
		return ""
	}
	return t.cfg.Vendor(mac)
}

// observeSolicitation remembers what is asked for, and notes an NA that nobody
// has asked for. A station may announce an address that it has tested itself (RFC
// 4861, section 7.2.6).
func (t *Table) observeSolicitation(l *link, e *schemas.Event, now int64) {
	switch {
	case e.ND.NS != nil:
		to := target{l.number, e.ND.NS.TargetAddress.As16()}
		a, again := t.asked.enter(&l.asked, to, now)
		if !again {
			b := l.bindings.get(to.addr)
			// On a slave, the pinger looks for hosts that are behind another.
			relayed := own(e) && e.Proxy && !e.Master
			*a = asked{open: (b == nil || b.tentative) && !e.Inet6.Source.IsUnspecified() && !relayed}
			l.search.ask(a.open, now)
		}
		a.at, a.who = now, e.Ethernet.Source.Uint64()
		t.out.Unanswered = a.open && l.search.open > maxOpen
	case e.ND.NA != nil:
		to := target{l.number, e.ND.NA.TargetAddress.As16()}
		sender := e.Ethernet.Source.Uint64()
		a := t.asked.get(to, now)
		if a != nil && a.open {
			a.open = false
			l.search.open = max(l.search.open-1, 0) // it may have been asked for before since
		}
		// One who asks for its own answer proves nothing.
		t.out.Unsolicited = (a == nil || a.who == sender) && !t.tested(l, to, sender, now)
	}
}

// search counts the targets of a link that were not known, and have not answered,
// since it was begun.
type search struct {
	since int64
	open  int
}

// maxOpen is how many targets may be without an answer before it is a scan.
const maxOpen = 100

// ask notes another target, which is open or not.
func (s *search) ask(open bool, now int64) {
	if now < s.since || now-s.since > solicitedWindow {
		*s = search{since: now}
	}
	if open {
		s.open++
	}
}

// tested reports whether a station has tested an address for uniqueness lately,
// and no other has claimed it.
func (t *Table) tested(l *link, to target, mac uint64, now int64) bool {
	if l.probed.len() == 0 {
		return false
	}
	if p := t.probed.get(to, now); p == nil || p.who != mac {
		return false
	}
	b := l.bindings.get(to.addr)
	return b == nil || b.count == 1 && b.claims[0].mac == mac
}

// hash shortens what need not be known exactly: it is compared with few others.
func hash(high, low uint64) uint32 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := (high ^ low*odd) * odd
	return uint32(h>>32) | 1 // 0 is for none
}

func hashAddr(a [16]byte) uint32 {
	var high, low uint64
	for i := range 8 {
		high = high<<8 | uint64(a[i])
		low = low<<8 | uint64(a[8+i])
	}
	return hash(high, low)
}

// unicast reports whether an address can be a station's on a link.
func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback()
}
