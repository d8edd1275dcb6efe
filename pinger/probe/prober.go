package probe

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/notice"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// Config says how much is probed.
type Config struct {
	Host     string        // name of this host in commands and results
	Rate     int           // most probes per second, out of all ports
	HoldDown time.Duration // in which a target is probed once
	Timeout  time.Duration // for an answer
	// Proxy makes the Prober answer requesters, and look behind masters too. DAD makes it
	// answer hosts that test an address which is alive behind another port.
	Proxy, DAD bool
}

// Deps are the dependencies of a Prober.
type Deps struct {
	Log *slog.Logger
	// Notices logs the targets that are found and lost; with Log if nil.
	Notices *notice.Log
	Metrics *Metrics
	// Ports holds the current ports. It is set before the first command.
	Ports *atomic.Pointer[port.Set]
	// ND solicits and advertises; nil without CAP_NET_RAW.
	ND        ND
	Kernel    Kernel
	Locations Locations
	// Routers carries out commands with router messages; nil if they are not relayed.
	Routers func(cmd *schemas.Relay)
	// Publish sends a result once, without waiting.
	Publish func(subject string, data []byte) error
	// Listened reports whether results have a receiver. Without one they are only
	// counted. If nil they always have.
	Listened func(subject string) bool
	// Repair has the routing tables and sockets of the ports checked, without
	// waiting.
	Repair func()
	// NoTables says why ports have no routing tables; empty if they have.
	NoTables string
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// ND sends Neighbor Discovery messages without waiting.
type ND interface {
	// Solicit sends solicitations, and sets Err of those that the kernel did not accept.
	Solicit(list []wire.Solicitation)
	// Advertise answers a requester that the target is reached through this host, or all
	// stations on the link if the requester has no address.
	Advertise(to port.Requester, target netip.Addr, override bool) error
}

// Kernel is the kernel's neighbour table (package kernel).
type Kernel interface {
	Neighbour(addr netip.Addr, index int) (reachable bool, mac *schemas.MAC, err error)
	TableSize() (entries, most int, err error)
	// PrecedingRules describes the routing rules that precede those of the slaves.
	PrecedingRules() string
}

// Locations records where targets are (package hostroute). Its methods do not wait.
type Locations interface {
	Locate(target netip.Addr) (port.Location, bool)               // if it has answered there lately
	Serves(target netip.Addr, to port.Requester) bool             // a requester gets an answer
	Await(target netip.Addr, requester port.Requester)            // it wants an answer as soon as there can be one
	Confirm(target netip.Addr, from port.Location, override bool) // it advertised itself when solicited
	Hint(target netip.Addr, on *port.Port)                        // it may be behind a port
	Tested(target netip.Addr, tester port.Requester, deny bool)   // a host tests whether it can have it
	Tunnelled(target netip.Addr, on *port.Port) bool              // it is the address of a peer of the tunnel
	Doubt(target netip.Addr)                                      // it may have left its location
	Silent(target netip.Addr)                                     // it answers behind no port
	// Found: it answered a probe. then is called once it is decided whether it is there, and
	// it has its route; if that will not be, the result is false.
	Found(target netip.Addr, at port.Location, requesters []port.Requester, then func(here bool)) bool
}

// Prober carries out relay commands. Handle and Relay receive them, Advertised and
// Replied the answers, and Run sends again and ends the waiting for answers.
//
// On a link with Neighbor Discovery it solicits for the target itself, and when that
// answers it sends an echo request, so that the kernel discovers the target. So a target
// that does not exist takes no entry in the kernel's neighbour table. On other links, and
// without CAP_NET_RAW, it sends the echo request alone, and the kernel solicits.
type Prober struct {
	cfg      Config
	deps     Deps
	reporter *reporter
	troubles troubles
	learned  *learned

	room tableRoom

	mu      sync.Mutex
	budget  budget
	answers budget // advertisements for targets behind other ports
	tests   tests  // addresses that hosts test
	targets targets
	waiting waiting
	stopped bool
	leaving []wire.Solicitation // memory of begin
}

const (
	// MaxWaiting bounds the probes that wait for an answer.
	MaxWaiting = 1 << 16
	// maxTries is how often a target is solicited (RFC 4861, section 10:
	// MAX_MULTICAST_SOLICIT).
	maxTries = 3
	// answersPerProbe is how many advertisements may be sent for each probe that
	// may: an advertisement costs one frame to one station.
	answersPerProbe = 10
)

// New makes a Prober.
func New(cfg Config, deps Deps) *Prober {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Notices == nil {
		deps.Notices = notice.New(deps.Log, deps.Now)
	}
	if deps.Listened == nil {
		deps.Listened = func(string) bool { return true }
	}
	p := &Prober{
		cfg: cfg, deps: deps,
		reporter: &reporter{host: cfg.Host, subject: schemas.ResultSubject(cfg.Host), publish: deps.Publish, listened: deps.Listened, metrics: deps.Metrics, log: deps.Log},
		troubles: troubles{log: deps.Log, list: make(map[outlet]*trouble)},
		budget:   newBudget(cfg.Rate),
		targets:  newTargets(),
		waiting:  newWaiting(cfg.Timeout/maxTries, deps.Metrics.pending),
	}
	p.learned = newLearned(deps.Kernel, p.solicit, deps.Log)
	p.room.read = deps.Kernel.TableSize
	if cfg.Proxy {
		p.answers = newBudget(answersPerProbe * cfg.Rate)
	}
	return p
}

// Release ends the hold-down of a target that was silent, because the kernel has heard
// of it or it left its location.
func (p *Prober) Release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.targets.byAddr[a]; ok && t.silent > 0 {
		t.release()
	}
}

// ReleaseAll ends all hold-downs, because a port has come into use and every target may
// be behind it.
func (p *Prober) ReleaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets.release()
}

// solicits reports whether the Prober itself solicits for targets behind a port.
func (p *Prober) solicits(on *port.Port) bool { return p.deps.ND != nil && on.ND }

// lookUp returns what the kernel's neighbour table has for a probe's target.
func (p *Prober) lookUp(pr *probe) (reachable bool, mac *schemas.MAC) {
	reachable, mac, err := p.deps.Kernel.Neighbour(pr.target, pr.on.Index)
	if err != nil {
		p.deps.Log.Debug("looking up a neighbour", "slave", pr.on.Name, "error", err)
	}
	return reachable, mac
}
