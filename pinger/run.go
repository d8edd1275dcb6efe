package pinger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/advert"
	"github.com/ndmon/ndmon/pinger/conflict"
	"github.com/ndmon/ndmon/pinger/hostroute"
	"github.com/ndmon/ndmon/pinger/kernel"
	"github.com/ndmon/ndmon/pinger/notice"
	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/probe"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Bus is the connection to the other processes.
type Bus interface {
	// Subscribe calls handle with every message on the subject, one after the
	// other, until unsubscribe is called. handle may use data until it returns.
	Subscribe(subject string, handle func(subject string, data []byte)) (unsubscribe func() error, err error)
	// Publish sends data once, without waiting. It keeps no reference to data.
	Publish(subject string, data []byte) error
}

// Deps are the dependencies of Run.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Bus      Bus
	// Commands, if set, passes the relay commands of this process to receive, until
	// stop is called. They do not come over Bus too.
	Commands func(receive func(*schemas.Relay)) (stop func())
	// Listened, if set, reports whether messages on a subject have a receiver. Without
	// one, results are counted but not published.
	Listened func(subject string) bool
	// Events, if set, receives the events of the pinger: the addresses that are on two
	// links. It must not keep them, and may wait. Without it they are published over Bus.
	Events func(*schemas.Event)
	// Health, if set, is called with nil while commands can be carried out, and with
	// the reason while no slave is usable: when commands can be received, and whenever
	// the interfaces change.
	Health func(error)
	// Status, if set, gets a function that says in a status which slaves are usable.
	Status func(describe func(*schemas.DaemonStatus))

	now func() time.Time // of the Prober and the Reporter, in tests
}

// publish passes an event to Events or, without that, publishes it for those who listen now,
// and as a batch of one for the stream.
func (d Deps) publish(e *schemas.Event) error {
	if d.Events != nil {
		d.Events(e)
		return nil
	}
	data := e.AppendJSON(nil)
	return errors.Join(d.Bus.Publish(schemas.EventSubject(e.Host, e.Interface, e.Kind()), data), d.Bus.Publish(schemas.BatchSubject(e.Host, e.Interface), data))
}

// Run carries out the relay commands for cfg.Host until ctx ends, and then returns
// nil. It removes its routing rules and routes. It waits for slaves that do not exist.
//
// Errors are those of the configuration, missing rights, another pinger that has the same
// routing tables (these three are a process.UsageError), and failures of the kernel or the bus. All sockets are opened on the
// calling thread, also those of slaves that appear later: a caller that has locked its
// goroutine to a thread chooses the network namespace.
func Run(ctx context.Context, cfg Config, deps Deps) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Host == "" {
		if cfg.Host, err = os.Hostname(); err != nil {
			return fmt.Errorf("PINGER_HOST is not set and the kernel does not report the host name: %w", err)
		}
	}
	portMetrics, probeMetrics, routeMetrics := port.NewMetrics(deps.Registry), probe.NewMetrics(deps.Registry), hostroute.NewMetrics(deps.Registry)
	conflictMetrics, advertMetrics := conflict.NewMetrics(deps.Registry), advert.NewMetrics(deps.Registry)
	kind, err := wire.UsableKind()
	if err != nil {
		return lasting(err)
	}
	k, err := kernel.Open(cfg.keepsHostRoutes())
	if err != nil {
		return err
	}
	defer k.Close()
	tables, err := k.OpenTables(cfg.Table, deps.Log)
	if err != nil {
		return lasting(err)
	}
	defer func() { err = errors.Join(err, tables.Close()) }()
	release, err := ownHostRoutes(k, cfg, tables.Missing, deps.Log)
	if err != nil {
		return err
	}
	defer release()

	if deps.now == nil {
		deps.now = time.Now
	}
	ports, notices := new(atomic.Pointer[port.Set]), notice.New(deps.Log, deps.now)
	conflicts := conflict.New(conflict.Config{Host: cfg.Host, Publish: deps.publish, Metrics: conflictMetrics, Log: deps.Log, Now: deps.now})
	routes := hostroute.New(hostroute.Config{
		Route: cfg.Route, Proxy: cfg.Proxy, Verify: cfg.Verify,
		Conflict: func(target netip.Addr, at, other port.Location, tested bool) {
			conflicts.Report(schemas.Conflict{Address: target, Ethernet: at.MAC, Master: at.On.Master, OtherInterface: other.On.Name, OtherEthernet: other.MAC, DAD: tested}, at.On.Name)
		},
	}, k, ports, routeMetrics, notices, deps.Log)
	w, err := newWatcher(cfg, k, tables, kind, ports, portMetrics, deps.Log)
	if err != nil {
		return err
	}
	defer w.close()
	probing := probe.Deps{
		Log: deps.Log, Notices: notices, Metrics: probeMetrics, Ports: ports, Kernel: k, Locations: routes, Publish: deps.Bus.Publish, Listened: deps.Listened,
		Repair: w.notify, NoTables: tables.Missing, Now: deps.now,
	}
	if kind == wire.Raw {
		nd, err := wire.OpenND()
		if err != nil {
			return err
		}
		defer nd.Close()
		probing.ND = nd
	}
	if cfg.RA {
		nd, ok := probing.ND.(*wire.ND)
		if !ok {
			return process.UsageError{Err: errors.New("PINGER_RA=true: needs CAP_NET_RAW, because router messages are received and sent as Ethernet frames")}
		}
		w.adverts = advert.New(advert.Deps{
			Host: cfg.Host, Log: deps.Log, Metrics: advertMetrics, Ports: ports, Send: nd.Send, Now: deps.now,
			Report: func(result schemas.Result) { w.prober.Report(result) },
		})
		probing.Routers = w.adverts.Relay
	}
	prober := probe.New(probe.Config{Host: cfg.Host, Rate: cfg.Rate, HoldDown: cfg.HoldDown, Timeout: cfg.Timeout, Proxy: cfg.Proxy, DAD: cfg.DAD}, probing)
	w.prober, w.routes, w.conflicts, w.answers = prober, routes, conflicts, cfg.Proxy && deps.Commands == nil
	if err := w.refresh(); err != nil {
		return err
	}
	if deps.Status != nil {
		deps.Status(func(s *schemas.DaemonStatus) { s.Slaves = ports.Load().Usable() })
	}
	deps.Log.Info("pinger ready", "host", cfg.Host, "slaves", cfg.Slaves, "masters", cfg.Masters, "route", cfg.Route, "proxy", cfg.Proxy, "ra", cfg.RA,
		"solicits", probing.ND != nil, "routing_tables", tables.Missing == "", "rate", cfg.Rate, "hold_down", cfg.HoldDown, "timeout", cfg.Timeout)
	return serve(ctx, cfg, deps, w)
}

// lasting makes an error of a missing right, or of another pinger, a process.UsageError: a restart
// does not cure it.
func lasting(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EADDRINUSE) {
		return process.UsageError{Err: err}
	}
	return err
}

// serve receives commands and carries them out until ctx ends.
func serve(ctx context.Context, cfg Config, deps Deps, w *watcher) (err error) {
	for _, subject := range []string{schemas.RelaySubject(cfg.Host), schemas.SubjectRelayAll} {
		unsubscribe, failed := deps.Bus.Subscribe(subject, func(_ string, data []byte) { w.prober.Handle(data) })
		if failed != nil {
			return fmt.Errorf("subscribing to relay commands on %s: %w", subject, failed)
		}
		defer func() { err = errors.Join(err, unsubscribe()) }()
	}
	w.health = deps.Health
	w.reportHealth()
	if deps.Commands != nil {
		defer deps.Commands(w.prober.Relay)()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { w.prober.Run(ctx); return nil })
	group.Go(func() error { w.conflicts.Run(ctx); return nil })
	group.Go(func() error {
		return w.kernel.FollowRoutes(ctx, cfg.Table, func(c kernel.Rerouted) { w.rerouted(ctx, c) })
	})
	if cfg.keepsHostRoutes() {
		group.Go(func() error { return w.kernel.FollowNeighbours(ctx, w.neighbour) })
		group.Go(func() error { w.kernel.FollowPeers(ctx); return nil })
		group.Go(func() error { return w.routes.Run(ctx, w.prober) })
	}
	if deps.Events == nil && cfg.Heartbeat > 0 {
		group.Go(func() error { beat(ctx, cfg, deps); return nil })
	}
	if w.adverts != nil {
		group.Go(func() error { w.adverts.Run(ctx); return nil })
	}
	w.run(ctx) // on this thread, because it opens sockets
	return group.Wait()
}

// ownHostRoutes removes the host routes that an earlier pinger has left behind, and
// reserves them for this one if it keeps any.
func ownHostRoutes(k *kernel.Kernel, cfg Config, noTables string, log *slog.Logger) (release func(), err error) {
	keeps := cfg.keepsHostRoutes()
	release = func() {}
	if noTables != "" {
		if keeps {
			return nil, process.UsageError{Err: fmt.Errorf("PINGER_ROUTE, PINGER_PROXY (--route, --proxy): no host route can be kept: %s", noTables)}
		}
		return release, nil
	}
	owned, err := k.OwnHostRoutes(log)
	switch {
	case err != nil:
		return nil, err
	case owned == nil && keeps:
		return nil, process.UsageError{Err: errors.New("PINGER_ROUTE, PINGER_PROXY (--route, --proxy): another pinger in this network namespace keeps host routes; stop it, or set these for one of them only")}
	case keeps:
		return func() { owned.Close() }, nil
	case owned != nil:
		owned.Close()
	}
	return release, nil
}
