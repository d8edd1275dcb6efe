// Package pinger carries relay commands out: for each it sends one ICMPv6 echo
// request out of every slave interface, so that the kernel looks for the target
// there, and publishes for each slave what came of it.
//
// A command is carried out on the goroutine that brings it, from a table of the
// slaves that netlink notifications keep up to date: no goroutine, no lookup and
// no netlink request stands between it and the echoes. Nothing runs while nothing
// happens.
package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Bus is the connection to the other processes.
type Bus interface {
	// Subscribe calls handle with the data of every message on the subject,
	// one after the other, until unsubscribe is called. The data is handle's
	// until it returns.
	Subscribe(subject string, handle func(data []byte)) (unsubscribe func() error, err error)
	// Publish sends data once, without waiting. It keeps no reference to data.
	Publish(subject string, data []byte) error
}

// Deps are what a pinger is given.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Bus      Bus
}

// Run carries out the relay commands for cfg.Host until ctx ends, and then
// returns nil, with its routing rules and routes removed. Slaves need not exist:
// they are waited for.
//
// Errors are those of the configuration, a *NoSocketError, another pinger that
// has the same routing tables, and failures of the kernel or the bus. All sockets
// are opened on the calling thread, and so in its network namespace.
func Run(ctx context.Context, cfg Config, deps Deps) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	patterns, err := parsePatterns(cfg.Slaves)
	if err != nil {
		return err
	}
	host := cfg.Host
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			return fmt.Errorf("PINGER_HOST is not set and the kernel does not tell the host name: %w", err)
		}
	}
	m, err := newMetrics(deps.Registry)
	if err != nil {
		return err
	}
	conn, err := openEcho(cfg.mostWaiting())
	if err != nil {
		return err
	}
	defer conn.Close()
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	tables, err := openTables(k.handle, cfg.Table, deps.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tables.close()) }()

	p := newProber(host, cfg)
	p.send = conn.send
	p.neighbour = k.neighbour
	p.tablesWhy = tables.why
	p.metrics = m
	p.log = deps.Log
	p.reporter = &reporter{host: host, subject: schemas.ResultSubject(host), bus: deps.Bus, metrics: m, log: deps.Log}

	w := &watcher{kernel: k, tables: tables, patterns: patterns, rate: cfg.Rate, prober: p, metrics: m, log: deps.Log,
		changed: make(chan struct{}, 1)}
	p.noRoute = w.lookAfterRoutes
	if err := w.refresh(); err != nil {
		return err
	}
	deps.Log.Info("pinger ready", "host", host, "slaves", cfg.Slaves, "raw_socket", conn.raw,
		"routing_tables", tables.why == "", "rate", cfg.Rate, "hold_down", cfg.HoldDown, "timeout", cfg.Timeout)

	unsubscribe, err := deps.Bus.Subscribe(schemas.RelaySubject(host), p.handle)
	if err != nil {
		return fmt.Errorf("subscribing to relay commands on %s: %w", schemas.RelaySubject(host), err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return k.follow(ctx, w.notify) })
	group.Go(func() error { w.run(ctx); return nil })
	group.Go(func() error { p.run(ctx); return nil })
	group.Go(func() error { return receive(conn, p.reply, m) })
	<-ctx.Done()
	err = unsubscribe()
	conn.Close()
	k.changes.Close()
	return errors.Join(err, group.Wait())
}

// receive takes in echo replies until the connection is closed.
func receive(conn *echoConn, reply func(echoReply), m *metrics) error {
	for {
		switch r, ok, err := conn.receive(); {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("receiving echo replies: %w", err)
		case ok:
			reply(r)
		default:
			m.strayReplies.Inc()
		}
	}
}

// watcher keeps the prober's state and the routing tables in step with the
// kernel's interfaces.
type watcher struct {
	kernel   *kernel
	tables   *tables
	patterns []pattern
	rate     int
	prober   *prober
	metrics  *metrics
	log      *slog.Logger

	changed chan struct{}
	// remake: somebody may have removed a rule or a route.
	remake atomic.Bool
	// last is the state of the last refresh.
	last *state
}

// notify has the watcher look at the interfaces anew.
func (w *watcher) notify() {
	select {
	case w.changed <- struct{}{}:
	default: // it will anyway
	}
}

// lookAfterRoutes has it look for missing rules and routes too.
func (w *watcher) lookAfterRoutes() {
	w.remake.Store(true)
	w.notify()
}

func (w *watcher) run(ctx context.Context) {
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-retry:
		}
		retry = nil
		if err := w.refresh(); err != nil {
			w.log.Error("the slaves are as they were a second ago; trying again", "error", err)
			retry = time.After(time.Second)
		}
	}
}

// refresh looks at the interfaces and brings tables and prober up to date.
func (w *watcher) refresh() error {
	remake := w.remake.Swap(false)
	links, err := w.kernel.links()
	if err != nil {
		return err
	}
	st := newState(w.patterns, links, w.metrics.slave)
	var slaves []*link
	for i := range links {
		if sl := st.slave(links[i].name); sl != nil && sl.index != 0 && !links[i].loopback {
			slaves = append(slaves, &links[i])
		}
	}
	// A slave without a table may still have a route of its own, and its
	// results say what is missing: no reason to leave the others.
	if err := w.tables.sync(slaves, remake); err != nil {
		w.log.Error("routing tables of the slaves", "error", err)
	}
	came := w.logChanges(st)
	w.prober.update(st, len(came) > 0)
	w.warnRouteless(came)
	w.last = st
	return nil
}

// logChanges logs what has changed since the last refresh, one line for each
// slave, and returns the slaves that have come into use.
func (w *watcher) logChanges(st *state) (came []*slave) {
	before := w.last
	if before == nil {
		before = &state{}
	}
	for _, sl := range st.slaves {
		old := before.slave(sl.name)
		switch {
		case old != nil && old.why == sl.why && old.index == sl.index && old.source == sl.source:
		case sl.why == "":
			w.log.Info("slave in use", "slave", sl.name, "index", sl.index, "source", sl.source)
			if old == nil || old.why != "" || old.index != sl.index {
				came = append(came, sl)
			}
		default:
			w.log.Warn("slave out of use: "+sl.name+" "+sl.why, "slave", sl.name, "index", sl.index)
		}
	}
	for _, old := range before.slaves {
		if st.slave(old.name) == nil {
			w.metrics.forget(old.name)
			if old.index != 0 {
				w.log.Info("slave gone", "slave", old.name, "index", old.index)
			}
		}
	}
	if len(st.slaves) > w.rate && len(before.slaves) <= w.rate {
		w.log.Error("no command can be carried out: each takes an echo out of every slave, which are more than PINGER_RATE",
			"slaves", len(st.slaves), "rate", w.rate)
	}
	return came
}

// warnRouteless says which of the slaves cannot be served for want of a routing
// table.
func (w *watcher) warnRouteless(slaves []*slave) {
	if w.tables.why == "" || len(slaves) == 0 {
		return
	}
	routed, err := w.kernel.routed()
	if err != nil {
		w.log.Warn("cannot see which slaves have a route", "error", err)
		return
	}
	var without []string
	for _, sl := range slaves {
		if !routed[sl.index] {
			without = append(without, sl.name)
		}
	}
	if len(without) > 0 {
		w.log.Warn("slaves without a route of their own: an echo to a global address cannot leave by them, and the pinger may not make routing tables",
			"slaves", without, "why", w.tables.why, "remedy", "CAP_NET_ADMIN, or a route through the slave to the prefix of its hosts")
	}
}
