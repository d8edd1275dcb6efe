// Package pinger carries relay commands out: it looks for the target of each behind
// the slave interfaces and publishes for each slave what came of it.
//
// It solicits for the target itself, and when that answers it sends an ICMPv6 echo
// request, so that the kernel discovers the neighbour. So a target that nobody has
// takes no room in the kernel's neighbour table. Where Neighbor Discovery is not to
// be had, on other links than Ethernet and without CAP_NET_RAW, the echo alone has to
// do, and the kernel solicits.
//
// With Config.Route and Config.Proxy the way to a target that was found is kept.
//
// A command is carried out on the goroutine that brings it, from a table of the
// slaves that netlink notifications keep up to date: no goroutine, no lookup and
// no netlink request stands between it and the probes. Nothing runs while nothing
// happens, but for the asking of those to whom a way is kept.
package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/ndmon/ndmon/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Bus is the connection to the other processes.
type Bus interface {
	// Subscribe calls handle with every message on the subject, one after the
	// other, until unsubscribe is called. The data is handle's until it
	// returns.
	Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error)
	// Publish sends data once, without waiting. It keeps no reference to data.
	Publish(subject string, data []byte) error
}

// Deps are what a pinger is given.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Bus      Bus
	// Commands, if set, has take called with the relay commands of this process,
	// which do not come over Bus too, until stop is called.
	Commands func(take func(*schemas.Relay)) (stop func())
	// Health, if set, is told whether commands can be carried out, by a nil error, or
	// why not: while no slave is usable. It is called from when commands are received,
	// and each time that the interfaces change.
	Health func(error)
}

// Run carries out the relay commands for cfg.Host until ctx ends, and then
// returns nil, with its routing rules and routes removed. Slaves need not exist:
// they are waited for.
//
// Errors are those of the configuration, a *NoSocketError, another pinger that
// has the same routing tables, and failures of the kernel or the bus. All sockets
// are opened on the calling thread, also those of slaves that come up later: a
// caller that has locked its goroutine to a thread chooses the network namespace.
func Run(ctx context.Context, cfg Config, deps Deps) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	slaves, err := parsePatterns("PINGER_SLAVES", cfg.Slaves)
	if err != nil {
		return err
	}
	masters, err := parsePatterns("PINGER_MASTERS", cfg.Masters)
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
	socket, err := usableSocket()
	if err != nil {
		return err
	}
	k, err := openKernel(cfg.keepsWays())
	if err != nil {
		return err
	}
	defer k.close()
	tables, err := openTables(k.handle, cfg.Table, deps.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tables.close()) }()

	unclaim, err := claimWays(k, cfg, tables.why, deps.Log)
	if err != nil {
		return err
	}
	defer unclaim()

	p := newProber(host, cfg)
	p.neighbour = k.neighbour
	p.room.read = k.tableSize
	p.tablesWhy = tables.why
	p.metrics = m
	p.log = deps.Log
	p.reporter = &reporter{host: host, subject: schemas.ResultSubject(host), bus: deps.Bus, metrics: m, log: deps.Log}
	p.ways = newWays(cfg, k, p, m, deps.Log)
	if socket == rawSocket {
		nd, err := openND()
		if err != nil {
			return err
		}
		defer nd.Close()
		p.nd = nd
	}

	w := &watcher{kernel: k, tables: tables, slaves: slaves, masters: masters, socket: socket, config: cfg, prober: p, metrics: m, log: deps.Log,
		changed: make(chan struct{}, 1)}
	p.repair = w.notify
	defer w.close()
	if err := w.refresh(); err != nil {
		return err
	}
	deps.Log.Info("pinger ready", "host", host, "slaves", cfg.Slaves, "masters", cfg.Masters, "route", cfg.Route, "proxy", cfg.Proxy,
		"solicits", p.nd != nil, "routing_tables", tables.why == "", "rate", cfg.Rate, "hold_down", cfg.HoldDown, "timeout", cfg.Timeout)

	handle := func(_ string, data []byte) { p.handle(data) }
	for _, subject := range []string{schemas.RelaySubject(host), schemas.SubjectRelayAll} {
		unsubscribe, failed := deps.Bus.Subscribe(subject, handle)
		if failed != nil {
			return fmt.Errorf("subscribing to relay commands on %s: %w", subject, failed)
		}
		defer func() { err = errors.Join(err, unsubscribe()) }()
	}
	w.health = deps.Health
	w.tellHealth()
	if deps.Commands != nil {
		defer deps.Commands(p.handleDirect)()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return k.follow(ctx, w.notify) })
	group.Go(func() error { p.run(ctx); return nil })
	if p.ways != nil {
		group.Go(func() error { return k.followNeighbours(ctx, w.neighbour) })
		group.Go(func() error { return p.ways.run(ctx) })
	}
	w.run(ctx) // on this thread, for it opens sockets
	k.stopFollowing()
	return group.Wait()
}

// claimWays sweeps the ways that an earlier pinger has left behind, and has this one
// keep its own if it is to.
func claimWays(k *kernel, cfg Config, noTables string, log *slog.Logger) (release func(), err error) {
	keeps := cfg.keepsWays()
	release = func() {}
	if noTables != "" {
		if keeps {
			return nil, fmt.Errorf("PINGER_ROUTE, PINGER_PROXY: no way to a target can be kept: %s", noTables)
		}
		return release, nil
	}
	claim, err := k.claimWays(log)
	switch {
	case err != nil:
		return nil, err
	case claim == nil && keeps:
		return nil, errors.New("PINGER_ROUTE, PINGER_PROXY: another pinger in this network namespace keeps the ways; stop it, or keep them with one of them alone")
	case keeps:
		warnNotForwarding(log)
		return func() { claim.Close() }, nil
	case claim != nil:
		claim.Close()
	}
	return release, nil
}
