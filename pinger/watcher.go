package pinger

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

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
	proxies kernel.ProxySysctl
	metrics *port.Metrics
	log     *slog.Logger
	// ports holds the ports as of the last refresh; nil before the first.
	ports  *atomic.Pointer[port.Set]
	prober *probe.Prober
	routes *hostroute.Keeper
	health func(error) // nil until commands are received

	changed   <-chan struct{} // the interfaces changed
	stop      func()          // the notifications of changed
	requested chan struct{}
	sockets   map[string]*wire.Echo // by the port's name
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
	unused := w.connect(now)
	if w.config.Proxy {
		for _, m := range now.Masters {
			w.proxies.Enable(m.Name, m.Index != 0, w.log)
		}
	}
	cameUp := w.logChanges(before, now)
	w.ports.Store(now)
	if len(cameUp) > 0 {
		w.prober.ReleaseAll()
	}
	w.routes.Changed()
	for _, socket := range unused {
		socket.Close()
	}
	w.warnRouteless(cameUp)
	w.reportHealth()
	return nil
}

// reportHealth reports whether commands can be carried out.
func (w *watcher) reportHealth() {
	if w.health != nil {
		w.health(w.ports.Load().Unusable(w.config.Rate))
	}
}

// connect gives the slaves their sockets, and the masters too if targets are looked for
// behind them. A socket stays in use while its port does not change. The result is the
// sockets that are no longer used.
func (w *watcher) connect(ports *port.Set) (unused []*wire.Echo) {
	list := ports.Slaves
	if w.config.Proxy {
		list = ports.All()
	}
	sockets := make(map[string]*wire.Echo, len(list))
	for _, p := range list {
		if p.Why != "" {
			continue
		}
		socket := w.sockets[p.Name]
		if socket == nil || !socket.Serves(p) {
			var err error
			if socket, err = wire.OpenEcho(w.kind, p, w.config.mostWaiting()); err != nil {
				p.Why = fmt.Sprintf("cannot be used: %v", err)
				w.notifyLater()
				continue
			}
			w.receivers.Go(func() { w.receive(p.Name, socket) })
		}
		sockets[p.Name], p.Echo = socket, socket.Send
	}
	for name, socket := range w.sockets {
		if sockets[name] != socket {
			unused = append(unused, socket)
		}
	}
	w.sockets = sockets
	return unused
}

// receive passes answers to the prober until the socket is closed.
func (w *watcher) receive(name string, socket *wire.Echo) {
	if err := socket.Receive(w.prober); err != nil {
		// The next probe or change of an interface opens a new one.
		w.log.Error("receiving answers", "slave", name, "error", err)
	}
}

// close closes all sockets and waits for their receivers.
func (w *watcher) close() {
	for _, socket := range w.sockets {
		socket.Close()
	}
	w.receivers.Wait()
	w.proxies.Restore(w.log)
	w.stop()
}

// logChanges logs what has changed since the last refresh, one line per port, and
// returns the ports that have come into use.
func (w *watcher) logChanges(before, now *port.Set) (cameUp []*port.Port) {
	for _, p := range now.All() {
		kind := "slave"
		if p.Master {
			kind = "master"
		}
		old := before.Named(p.Name)
		switch {
		case old != nil && old.Same(p):
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
		if now.Named(old.Name) == nil {
			w.metrics.Forget(old.Name)
			if old.Index != 0 {
				w.log.Info("slave gone", "slave", old.Name, "index", old.Index)
			}
		}
	}
	if len(now.Slaves) > w.config.Rate && len(before.Slaves) <= w.config.Rate {
		w.log.Error("no command can be carried out: each takes a probe out of every slave, and there are more slaves than PINGER_RATE",
			"slaves", len(now.Slaves), "rate", w.config.Rate)
	}
	return cameUp
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
