package pinger

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/advert"
	"github.com/ndmon/ndmon/pinger/conflict"
	"github.com/ndmon/ndmon/pinger/hostroute"
	"github.com/ndmon/ndmon/pinger/kernel"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/probe"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
)

// watcher keeps the ports, their sockets and the routing tables in step with the
// host's interfaces.
type watcher struct {
	config  Config
	slaves  []iface.Pattern
	masters []iface.Pattern
	kind    wire.Kind // of the ports' sockets
	kernel  *kernel.Kernel
	tables  *kernel.Tables
	metrics *port.Metrics
	log     *slog.Logger
	// ports holds the ports as of the last refresh; nil before the first.
	ports  *atomic.Pointer[port.Set]
	prober *probe.Prober
	// answers: solicitations for known targets are answered from the ports' sockets.
	answers bool
	// adverts is nil if no router messages are relayed.
	adverts *advert.Relayer
	routes  *hostroute.Keeper
	// conflicts reports the addresses that are on two links.
	conflicts *conflict.Reporter
	health    func(error) // nil until commands are received

	notForwarding bool // at the last refresh

	changed   <-chan struct{} // the interfaces changed
	stop      func()          // the notifications of changed
	requested chan struct{}
	sockets   map[string]*sockets // by the port's name
	waiting   iface.Waiting
	receivers sync.WaitGroup
}

func newWatcher(cfg Config, k *kernel.Kernel, tables *kernel.Tables, kind wire.Kind, ports *atomic.Pointer[port.Set], metrics *port.Metrics, log *slog.Logger) (*watcher, error) {
	w := &watcher{
		config: cfg, kind: kind, kernel: k, tables: tables, metrics: metrics, log: log, ports: ports,
		requested: make(chan struct{}, 1),
	}
	var err error
	if w.slaves, err = iface.ParsePatterns(cfg.Slaves); err != nil {
		return nil, err
	}
	if w.masters, err = iface.ParsePatterns(cfg.Masters); err != nil {
		return nil, err
	}
	w.changed, w.stop, err = iface.Watch(true, log)
	return w, err
}

// notify has the watcher check interfaces, rules and routes again.
func (w *watcher) notify() {
	select {
	case w.requested <- struct{}{}:
	default: // it will anyway
	}
}

// run refreshes when interfaces change and when notified, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.requested:
		case <-w.changed:
		}
		if err := w.refresh(); err != nil {
			w.log.Error("the interfaces cannot be listed; trying again in a second", "error", err)
			w.notifyLater()
		}
	}
}

// notifyLater notifies in a second, after a failure that no change of an interface ends.
func (w *watcher) notifyLater() { time.AfterFunc(time.Second, w.notify) }

// refresh lists the interfaces and updates everything that depends on them.
func (w *watcher) refresh() error {
	links, err := w.kernel.Links()
	if err != nil {
		return err
	}
	before, now := w.ports.Load(), port.NewSet(w.slaves, w.masters, links, w.metrics)
	if before == nil {
		before = &port.Set{}
	}
	var slaves []*iface.Link
	for _, p := range now.Slaves {
		if p.Link != nil && !p.Link.Loopback() {
			slaves = append(slaves, p.Link)
		}
	}
	// A slave without a table may still have a route of its own, and its results
	// report what is missing: no reason to stop the others.
	if err := w.tables.Sync(slaves); err != nil {
		w.log.Error("routing tables of the slaves", "error", err)
	}
	if w.config.keepsHostRoutes() {
		if err := w.kernel.FindPeers(slaves); err != nil {
			w.log.Error("tunnels", "error", err)
		}
	}
	unused := w.connect(now)
	w.waiting.Log(w.log, slog.LevelWarn, slices.Concat(w.masters, w.slaves), links)
	w.ports.Store(now)
	w.metrics.Count(now)
	w.reportHealth()
	cameUp := w.logChanges(before, now)
	if len(cameUp) > 0 {
		w.prober.ReleaseAll()
	}
	w.routes.Changed()
	if w.adverts != nil {
		w.adverts.Changed(cameUp)
	}
	for _, s := range unused {
		s.close()
	}
	w.warnRouteless(cameUp)
	w.warnNotForwarding(now)
	return nil
}

// reportHealth reports whether commands can be carried out.
func (w *watcher) reportHealth() {
	if w.health != nil {
		w.health(w.ports.Load().Unusable(w.config.Rate))
	}
}

// close closes all sockets and waits for their receivers.
func (w *watcher) close() {
	for _, s := range w.sockets {
		s.close()
	}
	w.receivers.Wait()
	w.stop()
}

// logChanges logs what has changed since the last refresh, one line per port that exists, and
// returns the ports that have come into use.
func (w *watcher) logChanges(before, now *port.Set) (cameUp []*port.Port) {
	for _, p := range now.All() {
		kind := p.Kind()
		old := before.Named(p.Name)
		switch {
		case old != nil && old.Same(p), p.Index == 0:
		case p.Why == "":
			w.log.Info(kind+" in use", kind, p.Name, "index", p.Index, "source", p.Source)
			if old == nil || old.Why != "" || old.Index != p.Index {
				cameUp = append(cameUp, p)
			}
		default:
			w.log.Warn(kind+" out of use: "+p.Name+" "+p.Why, kind, p.Name, "index", p.Index)
		}
	}
	for _, old := range before.All() {
		p := now.Named(old.Name)
		if p == nil {
			w.metrics.Forget(old.Name)
		}
		if old.Index != 0 && (p == nil || p.Index == 0) {
			w.log.Info(old.Kind()+" gone", old.Kind(), old.Name, "index", old.Index)
		}
	}
	if len(now.Slaves) > w.config.Rate && len(before.Slaves) <= w.config.Rate {
		w.log.Error("no command can be carried out: each takes a probe out of every slave, and there are more slaves than PINGER_RATE",
			"slaves", len(now.Slaves), "rate", w.config.Rate)
	}
	return cameUp
}

// warnNotForwarding logs a warning when the host is no router, or no longer.
func (w *watcher) warnNotForwarding(ports *port.Set) {
	if !w.config.keepsHostRoutes() {
		return
	}
	var names []string
	for _, p := range ports.All() {
		if p.Index != 0 {
			names = append(names, p.Name)
		}
	}
	before := w.notForwarding
	if w.notForwarding = !kernel.Forwards(names...); w.notForwarding && !before {
		w.log.Warn("this host does not forward: no packet from a master reaches a host behind a slave", "remedy", "sysctl net.ipv6.conf.all.forwarding=1")
	}
}

// warnRouteless logs which of the ports are limited because there are no routing tables.
func (w *watcher) warnRouteless(ports []*port.Port) {
	if w.tables.Missing == "" || len(ports) == 0 {
		return
	}
	routed, err := w.kernel.Routed()
	if err != nil {
		w.log.Warn("cannot check which slaves have a route", "error", err)
		return
	}
	var without []string
	for _, p := range ports {
		if !p.Master && !routed[p.Index] {
			without = append(without, p.Name)
		}
	}
	if len(without) > 0 {
		w.log.Warn("slaves without a route of their own: their hosts are found, but no echo to a global address can be sent out of these slaves, so the kernel does not discover the hosts; the pinger may not make routing tables",
			"slaves", without, "why", w.tables.Missing, "remedy", "CAP_NET_ADMIN, or a route through the slave to the prefix of its hosts")
	}
}

// neighbour processes what the kernel has heard of a neighbour.
func (w *watcher) neighbour(addr netip.Addr, index int, present bool) {
	on := w.ports.Load().At(index)
	if on == nil || schemas.CheckTarget(addr) != nil {
		return
	}
	if !present {
		if at, ok := w.routes.Locate(addr); ok && at.On.Index == index {
			w.routes.Doubt(addr)
		}
		return
	}
	w.prober.Release(addr)
	if !on.Master {
		w.routes.Hint(addr, on)
	}
}

// rerouted processes changes of the kernel's routes and rules.
func (w *watcher) rerouted(ctx context.Context, c kernel.Rerouted) {
	if c.Tables {
		w.notify()
	}
	if c.All {
		c.Prefixes = nil
	} else if len(c.Prefixes) == 0 {
		return
	}
	w.prober.ReleaseAll() // a target may be reached now
	if w.config.keepsHostRoutes() {
		w.routes.Rerouted(ctx, hostroute.Reroute{Prefixes: c.Prefixes, Lost: c.Lost, Program: c.Program})
	}
}
