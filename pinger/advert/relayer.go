package advert

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/limit"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// minDelay is the least time between two equal multicast advertisements of a router
	// on a slave (RFC 4861, section 10: MIN_DELAY_BETWEEN_RAS).
	minDelay = 3 * time.Second
	// loopTime is how long nothing is relayed to a slave after another proxy advertised
	// there (RFC 4389, section 6).
	loopTime = time.Hour
	// gone is how long a master must be out of use for its routers to be withdrawn. A
	// cable that is plugged in again within it changes nothing for the hosts.
	gone = 5 * time.Second
	// keepFor is how long the advertisement of a router that is no default router is kept:
	// routers advertise at least that often (RFC 4861, section 6.2.1: MaxRtrAdvInterval).
	keepFor = 1800 * time.Second
	// solicitEvery is the least time between two solicitations on a master.
	solicitEvery = time.Second
	// A master that has come into use is solicited up to maxSolicits times (RFC 4861,
	// section 10: MAX_RTR_SOLICITATIONS, RTR_SOLICITATION_INTERVAL), and once more after
	// solicitEvery, because the sensor may not have captured the first answer yet.
	maxSolicits   = 4
	solicitPeriod = 4 * time.Second

	// maxRouters bounds the routers whose advertisements are kept.
	maxRouters = 16
	// perSecond bounds what is sent out of one slave: far more than links need, and
	// little for a link.
	perSecond = 50
)

// Deps are the dependencies of a Relayer.
type Deps struct {
	Host    string // name of this host in commands
	Log     *slog.Logger
	Metrics *Metrics
	// Ports holds the current ports. It is set before anything is received.
	Ports *atomic.Pointer[port.Set]
	// Send sends an ICMPv6 message from a port's addresses, fills in its checksum, and
	// does not wait.
	Send func(on *port.Port, to netip.Addr, toMAC schemas.MAC, message []byte) error
	// Report publishes a result.
	Report func(schemas.Result)
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Relayer relays router messages. Its methods may be called concurrently.
type Relayer struct {
	Deps

	mu      sync.Mutex
	meeting meeting
	routers map[routerKey]*router
	slaves  map[string]*slave  // by the port's name
	masters map[string]*master // by the port's name
}

// routerKey identifies a router: its link-local address on the link of a master.
type routerKey struct {
	master string // the port's name
	source netip.Addr
}

// router is a router whose advertisements are relayed.
type router struct {
	routerKey
	latest advertisement // as it was received
	at     time.Time
	// version changes with the content of its advertisements.
	version uint64
}

// slave records what was heard and sent on a slave.
type slave struct {
	index int
	sent  map[routerKey]sending
	// unsent is set if an advertisement could not be sent for lack of budget.
	unsent bool
	// used are the messages that were sent there, or would have been with budget.
	used limit.PerSecond
	// loop is when another proxy last advertised there; zero if it is no loop.
	loop time.Time
	// warned has the routers there that were logged.
	warned map[netip.Addr]struct{}
}

// sending is the last multicast advertisement of a router on a slave.
type sending struct {
	at      time.Time
	version uint64
}

// master is the condition of a master.
type master struct {
	unusableSince time.Time // zero if it is usable
	solicited     time.Time
	solicits      int // since it came into use or was solicited by a host
}

// New makes a Relayer.
func New(deps Deps) *Relayer {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Relayer{Deps: deps, routers: map[routerKey]*router{}, slaves: map[string]*slave{}, masters: map[string]*master{}}
}

// left returns how long a router remains a default router.
func (t *router) left(now time.Time) time.Duration {
	return max(0, t.latest.lifetime()-now.Sub(t.at).Truncate(time.Second))
}

// expired reports whether the router's advertisement is too old to be used.
func (t *router) expired(now time.Time) bool {
	if lifetime := t.latest.lifetime(); lifetime > 0 {
		return now.Sub(t.at) >= lifetime
	}
	return now.Sub(t.at) >= keepFor
}

// lifetime returns the router lifetime for the hosts. All routers are one for them: this
// host, as long as any of them is a default router.
func (r *Relayer) lifetime(now time.Time) (longest time.Duration) {
	for _, t := range r.routers {
		longest = max(longest, t.left(now))
	}
	return longest
}

// message returns the latest advertisement of a router as it is sent out of a slave now.
func (r *Relayer) message(t *router, on *port.Port, now time.Time) advertisement {
	b := t.latest.relayed(on.MAC)
	b.age(now.Sub(t.at))
	b.setLifetime(r.lifetime(now))
	return b
}

// slave returns the record of a slave.
func (r *Relayer) slave(on *port.Port) *slave {
	s := r.slaves[on.Name]
	if s == nil || s.index != on.Index { // an interface that was made again has nothing of it
		s = &slave{index: on.Index, sent: map[routerKey]sending{}, warned: map[netip.Addr]struct{}{}}
		r.slaves[on.Name] = s
	}
	return s
}

// looping reports whether nothing is relayed to the slave because of another proxy.
func (s *slave) looping(now time.Time) bool { return !s.loop.IsZero() && now.Sub(s.loop) < loopTime }

// own reports whether a frame was sent by this host, and came back over another link.
func own(ports *port.Set, source netip.Addr, mac schemas.MAC) bool {
	sends := func(p *port.Port) bool { return p.ND && p.MAC == mac }
	return ports.Owns(source) || slices.ContainsFunc(ports.Slaves, sends) || slices.ContainsFunc(ports.Masters, sends)
}

// isMaster reports whether a port is a master, which may be a slave too.
func isMaster(ports *port.Set, p *port.Port) bool { return slices.Contains(ports.Masters, p) }
