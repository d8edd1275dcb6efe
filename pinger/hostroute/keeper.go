package hostroute

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/limit"
	"github.com/ndmon/ndmon/pinger/notice"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
)

// Config says what is kept for a target. Without Route and Proxy nothing is, and a Keeper
// need not run.
type Config struct {
	Route, Proxy bool
	// Verify is how often a target is solicited; less often where there are more
	// than 200.
	Verify time.Duration
	// Conflict is called for a target that two stations have, which the keeper knows at
	// one and which answered at the other as well. It must not wait. tested says that the
	// other one only tested whether it could have the target, and was answered.
	Conflict func(target netip.Addr, at, other port.Location, tested bool)
}

// Kernel is where routes are made (package kernel).
type Kernel interface {
	LinkOf(target netip.Addr) (index int, err error) // where the kernel itself looks for it; 0 if nowhere
	OnLink(target netip.Addr, index int) (bool, error)
	// Leads: the target is the address of a peer of a tunnel, by what is more specific than
	// the route that makes it on-link at another interface. routed: the kernel sends it there.
	Leads(target netip.Addr, tunnel, onLink int) (peer, routed bool, err error)
	Neighbour(target netip.Addr, index int) (reachable bool, mac *schemas.MAC, err error) // mac is nil if it is unknown there
	SetRoute(target netip.Addr, index int) error
	RemoveRoute(target netip.Addr, index int) error
	// Resend has packets routed again that wait for a target on a master's link and came in
	// on one of the interfaces from. waiting: there may have been some.
	Resend(target netip.Addr, master int, from []*iface.Link) (waiting bool, err error)
}

// Prober sends what a Keeper needs sent (package probe). Answers come back as calls of
// Found, Confirm and Silent.
type Prober interface {
	// Look looks for a target behind ports, whatever its hold-down is. An urgent look
	// takes precedence where the budget is short. It reports whether it has begun.
	Look(target netip.Addr, behind []*port.Port, urgent bool) bool
	// Verify makes the station at a location confirm that it has the target.
	Verify(target netip.Addr, at port.Location)
	// Answer tells a requester that a target is reached through this host, or one that
	// tests the address that another host has it.
	Answer(to port.Requester, target netip.Addr)
	// Announce tells all stations on a port's link that a target is reached through this
	// host now.
	Announce(on *port.Port, target netip.Addr)
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
	notices *notice.Log
	metrics *Metrics
	events  chan event
	hinted  chan event // of their own, because any host can make as many hints as it likes
	changed chan struct{}
	// rerouted passes on what has changed in the kernel's routes.
	rerouted chan Reroute

	// Of Run alone.
	prober        Prober
	hints, resent limit.PerSecond
	byMAC         map[schemas.MAC]int // how many entries a station has
	macs          map[int]schemas.MAC // of the ports, by index
	// later are the hints to process at a time, claims the targets that were found behind
	// a slave while a master's link is asked. Both are in the order of their times.
	later, claims queue
	searches      int       // since the last tick
	ticked        time.Time // when that was
	unrouted      unrouted
	lostLogged    time.Time // when it was logged that another program removes host routes

	// mu guards the map and the entries: Run alone changes them, and reads them
	// without it, except for answered.
	mu       sync.RWMutex
	byTarget map[netip.Addr]*entry
}

const (
	maxEvents = 1024
	// maxRequesters bounds the requesters that wait for an answer about a target.
	maxRequesters = 8
	// maxHints is how many hints are processed per second: any host can make the
	// kernel hear of as many neighbours as it likes.
	maxHints = 1000
	// maxResent is for how many targets per second packets are routed again, and
	// maxResendPorts the most ports with which that is done: each costs a filter.
	maxResent      = 20
	maxResendPorts = 64
)

// entry records the location of a target and its host route.
type entry struct {
	target netip.Addr
	at     port.Location
	// direct: the kernel looks for it there by itself. It has no route.
	direct bool
	// tunnel: it is the address of a tunnel's peer, which has no Ethernet address and may
	// answer nothing. It is there as long as the tunnel leads to it.
	tunnel bool
	// masters are the indexes of the other masters on whose links the target's prefix is.
	masters []int

	placed   time.Time // when it was found at this location
	answered time.Time // when the target answered last
	verified time.Time // when it was solicited last
	assured  time.Time // when the kernel's part was checked last
	// searching: it did not answer and is looked for behind all ports.
	searching bool
	// idle: it is silent, and looked for at growing intervals. Its route stays.
	idle bool
	// moved: it has come to this location from another one. claim: it was found behind a
	// slave, and has this location on a master until the masters' links were asked.
	moved, claim bool
	// unheard: the kernel knows no one on the masters' links that has it.
	unheard bool
	// rival is another location where the target answered. The target moves there
	// unless it still answers where it was.
	rival *port.Location
	// then is that of the claim.
	then func(here bool)
	// waiting are the requesters that get an answer when it is certain where the target is.
	waiting []port.Requester
	// left is the index of the port that the target has left, where it is announced so
	// many times more, next at a time.
	left          int
	announcements int
	announce      time.Time
}

// event is something that Run has to process.
type event struct {
	kind       eventKind
	target     netip.Addr
	at         port.Location
	requesters []port.Requester
	then       func(here bool) // what has to follow when it is decided whether it is there, nil for nothing
}

type eventKind uint8

const (
	targetFound   eventKind = iota // the target answered a probe
	targetHint                     // it may be behind a port
	targetTested                   // a station behind a port tests whether it can have it
	targetAwaited                  // a requester waits for it
	targetDoubt                    // it may have left its location
	targetSilent                   // it answers behind no port
)

// New makes a Keeper.
func New(cfg Config, kernel Kernel, ports *atomic.Pointer[port.Set], metrics *Metrics, notices *notice.Log, log *slog.Logger) *Keeper {
	return &Keeper{
		cfg: cfg, kernel: kernel, ports: ports, log: log, notices: notices, metrics: metrics,
		events: make(chan event, maxEvents), hinted: make(chan event, maxEvents), changed: make(chan struct{}, 1), rerouted: make(chan Reroute),
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

// Serves reports whether a requester gets an answer for a target that was located.
func (k *Keeper) Serves(target netip.Addr, to port.Requester) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	e, ok := k.byTarget[target]
	return ok && e.serves(to)
}

// Await notes a requester for a target that was located. It gets an answer at once if the
// target waits only for the masters' links, where no one is known to have it.
func (k *Keeper) Await(target netip.Addr, requester port.Requester) {
	k.mu.RLock()
	e, ok := k.byTarget[target]
	waits := ok && e.claim
	k.mu.RUnlock()
	if waits {
		k.push(event{kind: targetAwaited, target: target, requesters: []port.Requester{requester}})
	}
}

// serves reports whether a target is answered for on a port: on another one than its own,
// and on a master only if the target's prefix is on that link.
//
// Behind a slave, only hosts get an answer for a target that another router answers for.
// Routers solicit from their link-local addresses: two relays that share a slave's link
// could each confirm to the other, for ever, that a target which is gone is reached.
func (e *entry) serves(to port.Requester) bool {
	return !e.claim && to.On.Index != e.at.On.Index && (!to.On.Master || slices.Contains(e.masters, to.On.Index)) &&
		(!e.at.Proxied || to.On.Master || !to.Addr.IsLinkLocalUnicast())
}

// Confirm notes any answer of a target from behind a port. A station that is solicited
// at its Ethernet address may answer without that address, and without Override (RFC
// 4861, section 7.2.4).
func (k *Keeper) Confirm(target netip.Addr, from port.Location, override bool) {
	k.mu.Lock()
	e, ok := k.byTarget[target]
	elsewhere := ok && e.at.On.Index != from.On.Index
	news := ok && override && (elsewhere || e.at.MAC == nil)
	if ok && !elsewhere && (override && e.at.MAC == nil || e.at.MAC != nil && (from.MAC == nil || *from.MAC == *e.at.MAC)) {
		e.answered = time.Now()
	}
	k.mu.Unlock()
	if news {
		k.push(event{kind: targetFound, target: target, at: from})
	}
}

// Found notes that a target answered a probe, and that requesters wait for it. then is
// called when it is decided whether it is there, and it has its route. The result is false
// if that will not be.
func (k *Keeper) Found(target netip.Addr, at port.Location, requesters []port.Requester, then func(here bool)) bool {
	return k.push(event{kind: targetFound, target: target, at: at, requesters: requesters, then: then})
}

// Tested notes that a station tests whether it can have a target (RFC 4862, section 5.4).
// If deny is set it gets an answer if the target is alive elsewhere.
func (k *Keeper) Tested(target netip.Addr, tester port.Requester, deny bool) {
	k.mu.RLock()
	e, ok := k.byTarget[target]
	here := ok && e.at.On.Index == tester.On.Index
	k.mu.RUnlock()
	if here {
		return
	}
	t := event{kind: targetTested, target: target, at: port.Location{On: tester.On}}
	if deny {
		t.requesters = []port.Requester{tester}
	}
	k.pushTo(k.hinted, t)
}

// Hint has a target looked for behind a port, unless it is located there. A target on a
// master's link is of no interest unless it was elsewhere.
func (k *Keeper) Hint(target netip.Addr, on *port.Port) {
	if at, ok := k.Locate(target); ok && at.On.Index != on.Index || !ok && !on.Master {
		k.pushTo(k.hinted, event{kind: targetHint, target: target, at: port.Location{On: on}})
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

// push passes an event to Run, and reports whether it did. If there is no space it is only
// counted: requesters solicit again, and silent targets are verified again.
func (k *Keeper) push(e event) bool { return k.pushTo(k.events, e) }

func (k *Keeper) pushTo(queue chan<- event, e event) bool {
	if !k.cfg.Route && !k.cfg.Proxy {
		return false
	}
	select {
	case queue <- e:
		return true
	default:
		k.metrics.dropped.Inc()
		return false
	}
}
