package hostroute

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// Config says what is kept for a target. Without Route and Proxy nothing is, and a Keeper
// need not run.
type Config struct {
	Route, Proxy bool
	// Verify is how often a target is solicited; less often where there are more
	// than 200.
	Verify time.Duration
}

// Kernel is where routes and proxy neighbour entries are made (package kernel).
type Kernel interface {
	LinkOf(target netip.Addr) (index int, err error) // where the kernel itself looks for it; 0 if nowhere
	OnLink(target netip.Addr, index int) (bool, error)
	SetRoute(target netip.Addr, index int) error
	RemoveRoute(target netip.Addr, index int) error
	SetProxy(target netip.Addr, index int) error
	RemoveProxy(target netip.Addr, index int) error
}

// Prober sends what a Keeper needs sent (package probe). Answers come back as calls of
// Found, Confirm and Silent.
type Prober interface {
	// Look looks for a target behind ports. An urgent look ignores the hold-down and
	// takes precedence where the budget is short. It reports whether it has begun.
	Look(target netip.Addr, behind []*port.Port, urgent bool) bool
	// Verify makes the station at a location confirm that it has the target.
	Verify(target netip.Addr, at port.Location)
	// Answer tells a requester that a target is reached through this host.
	Answer(to port.Requester, target netip.Addr)
	// Release ends the hold-down of a target that did not answer.
	Release(target netip.Addr)
}

// Keeper keeps the host routes. A route is made only after a target's own answer to a
// solicitation of the pinger; what the kernel hears of a neighbour only has the target
// solicited. While a route is kept, the target is verified periodically. A target that
// does not answer is looked for behind all ports: it has moved, or it is gone and its
// route is removed.
//
// A target that was found where the kernel looks for it by itself, on a master usually,
// needs no route and no entry. Its location is cached for a while, so that a requester
// elsewhere gets an answer.
//
// Run alone changes the kernel. The other methods do not wait, and may be called
// concurrently.
type Keeper struct {
	cfg     Config
	kernel  Kernel
	ports   *atomic.Pointer[port.Set]
	log     *slog.Logger
	metrics *Metrics
	events  chan event
	changed chan struct{}

	// Of Run alone.
	prober     Prober
	hintsSince time.Time
	hints      int
	linesSince time.Time
	lines      int                 // since then
	byMAC      map[schemas.MAC]int // how many entries a station has

	// mu guards the map and the entries: Run alone changes them, and reads them
	// without it, except for answered.
	mu       sync.RWMutex
	byTarget map[netip.Addr]*entry
}

const (
	maxEvents = 1024
	// maxHints is how many hints are processed per second: any host can make the
	// kernel hear of as many neighbours as it likes.
	maxHints = 1000
)

// entry records the location of a target and its host route.
type entry struct {
	target netip.Addr
	at     port.Location
	// direct: the kernel looks for it there by itself. It has no route and no proxy
	// entry.
	direct bool

	answered time.Time // when the target answered last
	verified time.Time // when it was solicited last
	assured  time.Time // when the kernel's part was checked last
	// searching: it did not answer and is looked for behind all ports.
	searching bool
	// rival is another location where the target answered. The target moves there
	// unless it still answers where it was.
	rival *port.Location
}

// event is something that Run has to process.
type event struct {
	kind       eventKind
	target     netip.Addr
	at         port.Location
	requesters []port.Requester
}

type eventKind uint8

const (
	targetFound  eventKind = iota // the target answered a probe
	targetHint                    // it may be behind a port
	targetDoubt                   // it may have left its location
	targetSilent                  // it answers behind no port
)

// New makes a Keeper.
func New(cfg Config, kernel Kernel, ports *atomic.Pointer[port.Set], metrics *Metrics, log *slog.Logger) *Keeper {
	return &Keeper{
		cfg: cfg, kernel: kernel, ports: ports, log: log, metrics: metrics,
		events: make(chan event, maxEvents), changed: make(chan struct{}, 1),
		byMAC: make(map[schemas.MAC]int), byTarget: make(map[netip.Addr]*entry),
	}
}

// Locate returns where a target is, if it has answered there lately.
func (k *Keeper) Locate(target netip.Addr) (port.Location, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.byTarget[target]
	if !ok || e.searching {
		return port.Location{}, false
	}
	return e.at, true
}

// Confirm notes any answer of a target from behind a port. A station that is solicited
// at its Ethernet address may answer without that address, and without Override (RFC
// 4861, section 7.2.4).
func (k *Keeper) Confirm(target netip.Addr, from port.Location) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTarget[target]; ok && e.at.On.Index == from.On.Index && (from.MAC == nil || e.at.MAC != nil && *from.MAC == *e.at.MAC) {
		e.answered = time.Now()
	}
}

// Found notes that a target answered a probe, and that requesters wait for it.
func (k *Keeper) Found(target netip.Addr, at port.Location, requesters []port.Requester) {
	k.push(event{kind: targetFound, target: target, at: at, requesters: requesters})
}

// Hint has a target looked for behind a port, unless it is located there.
func (k *Keeper) Hint(target netip.Addr, on *port.Port) {
	if at, ok := k.Locate(target); !ok || at.On.Index != on.Index {
		k.push(event{kind: targetHint, target: target, at: port.Location{On: on}})
	}
}

// Doubt has a target verified that may have left its location.
func (k *Keeper) Doubt(target netip.Addr) { k.push(event{kind: targetDoubt, target: target}) }

// Silent notes that a target that was looked for answers behind no port.
func (k *Keeper) Silent(target netip.Addr) {
	k.mu.RLock()
	_, ok := k.byTarget[target]
	k.mu.RUnlock()
	if ok {
		k.push(event{kind: targetSilent, target: target})
	}
}

// Changed says that there is a new Set of ports.
func (k *Keeper) Changed() {
	select {
	case k.changed <- struct{}{}:
	default: // Run will see this one too
	}
}

// push passes an event to Run. If there is no space it is only counted: requesters
// solicit again, and silent targets are verified again.
func (k *Keeper) push(e event) {
	if !k.cfg.Route && !k.cfg.Proxy {
		return
	}
	select {
	case k.events <- e:
	default:
		k.metrics.dropped.Inc()
	}
}
