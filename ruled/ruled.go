// Package ruled evaluates the central rules: it reads the fleet's events from NATS, and
// publishes alerts and relay commands.
//
// It only wires its packages to each other. Events go one way: feed, judge (with link, rules
// and threshold), then relay and alert. Events of a sensor in the same process take the same
// way without the feed.
package ruled

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/alert"
	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/relay"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Deps are the dependencies of Run.
type Deps struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Conn is for events, alerts and the state. It is nil if none of these is stored.
	Conn *bus.Conn
	// Events, if set, calls receive with the events of this process, which are not read from Conn,
	// until stop is called. Receive keeps no event, and may be called concurrently.
	Events func(receive func(*schemas.Event)) (stop func())
	// Relay, if set, sends relay commands, otherwise they are published on Conn. It must not keep the command.
	Relay func(subject string, command *schemas.Relay) error
	// Hangup, if set, makes Run read the rule file again.
	Hangup <-chan os.Signal
	// Learned is called with what was learned, if Config.Learn is set, before Run returns.
	Learned func(Learned)
	// Health, if set, is called with nil each time that the reading of events begins, and with an error when it ends.
	Health func(error)
	// Check, if set, gets a part whose health can be asked for.
	Check func(part string, check func() error)
	// Alert, if set, is called with each alert that is raised, as JSON, in their order, and with its id. After is the
	// sequence number in the stream of one that was raised before, 0 if none is known. With Lossless the evaluation
	// waits for the call; otherwise alerts for a slow program are left out, and counted.
	Alert    func(alert []byte, id string, after uint64)
	Lossless bool
	// Room, if set, returns an error while there is no room to store alerts and the state: they wait until there is.
	Room func() error

	// ticks are a second apart; nil for those of a clock.
	ticks <-chan time.Time
}

// lastAlerts is how long Run waits at its end for a program that is stuck.
const lastAlerts = 300 * time.Millisecond

// lastLossless is how long Run waits at its end for a server to store the alerts of capture files.
const lastLossless = time.Minute

// run has the parts of ruled.
type run struct {
	Config
	Deps
	metrics *metrics.Metrics
	rules   *source.Source
	alerts  *alert.Raiser
	judge   *judge.Judge
	feed    *feed.Feed // nil with Deps.Events
	keeper  *keeper
	command []byte // memory for publish
}

// Run evaluates events until the context ends, or as long as Config.Learn says. It returns early only when
// the rule file cannot be read, with a process.UsageError that has all its faults.
func Run(ctx context.Context, cfg Config, d Deps) error {
	if d.Health == nil {
		d.Health = func(error) {}
	}
	r := &run{Config: cfg, Deps: d}
	if err := r.build(); err != nil {
		return err
	}
	// The publisher outlives the reading, to store the last alerts.
	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPublishing()
	published, handedOver := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		if r.Conn != nil {
			r.alerts.Run(publishing) // it ends with the context, or the connection
		}
	}()
	go func() {
		defer close(handedOver)
		r.alerts.HandOver(publishing)
	}()
	began := time.Now()
	err := r.work(ctx)
	r.finish(publishing)
	if cfg.Learn > 0 {
		if r.feed != nil {
			r.feed.Delete(publishing)
		}
		d.Learned(Learned{Lessons: r.judge.Learned(), Took: time.Since(began)})
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil // learning ends so, perhaps early
		}
	}
	if n := r.alerts.Unstored(); n > 0 {
		d.Log.Error("alerts were written and not stored", "alerts", n)
	}
	stopPublishing()
	<-published
	select {
	case <-handedOver:
	case <-time.After(lastAlerts):
		d.Log.Warn("the program does not receive the last alerts")
	}
	return err
}

// build makes the parts.
func (r *run) build() (err error) {
	if r.metrics, err = metrics.New(r.Registry); err != nil {
		return err
	}
	if r.rules, err = source.Load(r.Config.Rules, r.Log, r.metrics); err != nil {
		var faults *rulefile.Faults
		return process.UsageError{Err: err, Located: errors.As(err, &faults)}
	}
	makers, err := r.VendorTable()
	if err != nil {
		return process.UsageError{Err: err}
	}
	r.alerts = alert.New(alert.Config{
		Log: r.Log, Metrics: r.metrics, Conn: r.Conn, Buffer: r.Buffer, Once: r.Deps.Events != nil, Recent: feed.MaxPending, Room: r.Room,
		Receive: r.Alert, Lossless: r.Lossless, OnProgress: r.progressed,
	})
	send := r.Relay
	if send == nil {
		send = r.publish
	}
	r.judge = judge.New(judge.Config{
		Log: r.Log, Metrics: r.metrics, Rules: r.rules, Alerts: r.alerts,
		Relay: relay.New(relay.Config{Log: r.Log, Metrics: r.metrics, TTL: r.RelayTTL, Send: send}),
		Link: link.Config{
			Neighbours: r.Neighbours, ClaimTimeout: r.ClaimTimeout, Silence: r.Silence, Learn: r.Learn > 0, Vendor: makers.Lookup,
		},
	})
	r.keeper = &keeper{Config: r.Config, log: r.Log, conn: r.Conn, judge: r.judge, alerts: r.alerts, room: r.Room}
	if r.Deps.Events == nil {
		r.feed = feed.New(feed.Config{
			Consumer: r.Consumer, Events: r.Config.Events, New: r.Learn > 0, Streams: r.StreamConfig,
			Log: r.Log, Metrics: r.metrics, Conn: r.Conn, Judge: r.judge, Alerts: r.alerts, Restore: r.keeper.restore, Health: r.Health,
		})
	}
	return registerStats(r.Registry, r.judge.Stats)
}

// publish is the default of Deps.Relay. The judge calls it for one command after another.
func (r *run) publish(subject string, command *schemas.Relay) error {
	r.command = command.AppendJSON(r.command[:0])
	return r.Conn.Publish(subject, r.command)
}

// progressed is called when more alerts are stored.
func (r *run) progressed() {
	if r.feed != nil {
		r.feed.Progressed()
	}
}

// work runs the parts until the context ends or one fails.
func (r *run) work(ctx context.Context) error {
	if r.Learn > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.Learn)
		defer stop()
	}
	ticks := r.ticks
	if ticks == nil {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		ticks = ticker.C
	}
	if r.Check != nil && r.Conn != nil {
		r.Check("alerts", r.alerts.Health)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.rules.Follow(ctx, r.Hangup) })
	g.Go(func() error { return r.keeper.run(ctx) })
	if r.feed == nil {
		g.Go(func() error { return r.receive(ctx) })
		return g.Wait()
	}
	g.Go(func() error { return r.feed.Run(ctx) })
	if r.Learn == 0 {
		g.Go(func() error { return r.judge.Watch(ctx, ticks, r.feed) })
	}
	return g.Wait()
}

// finish stores the last alerts and the state, if there is a connection.
func (r *run) finish(ctx context.Context) {
	if r.Conn == nil || !r.Conn.Connected() {
		return
	}
	wait := time.Second
	if r.Lossless {
		wait = lastLossless
	}
	flush, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := r.alerts.Flush(flush); err != nil {
		r.Log.Warn("the last alerts are not stored: they are raised again if their events are still there at the next start", "error", err)
	}
	if r.feed != nil {
		r.feed.Flush()
	}
	if !r.keepsState() {
		return
	}
	last, cancel := context.WithTimeout(ctx, lastSave)
	defer cancel()
	if err := r.keeper.save(last); err != nil {
		r.Log.Warn("the state is not stored", "error", err)
	}
}

// Learned holds the routers that Run has learned, if Config.Learn is set.
type Learned struct {
	judge.Lessons
	// Took is how long learning took, or 0 if that does not matter.
	Took time.Duration
}

// WriteRouters writes a configuration that lists the routers, as rulefile.WriteRouters does.
// Without any it writes nothing and returns an error that says why there are none.
func (l Learned) WriteRouters(w io.Writer) error {
	if len(l.Links) == 0 {
		in := ""
		if l.Took > 0 {
			in = fmt.Sprintf(" in %v", l.Took.Round(100*time.Millisecond))
		}
		return fmt.Errorf("no router was learned%s: %w", in, l.nothing())
	}
	return rulefile.WriteRouters(w, l.Links)
}

// nothing returns why there is no router.
func (l Learned) nothing() error {
	const shown = 5
	from := strings.Join(l.Interfaces[:min(shown, len(l.Interfaces))], ", ")
	if more := len(l.Interfaces) - shown; more > 0 {
		from += fmt.Sprintf(" and %d others", more)
	}
	switch {
	case l.Messages == 0:
		return errors.New("no Neighbor Discovery message came")
	case l.Advertisements == 0:
		return fmt.Errorf("%d Neighbor Discovery messages came, from %s, but no Router Advertisement", l.Messages, from)
	}
	return fmt.Errorf("%d Router Advertisements came, from %s, but none that hosts accept (RFC 4861, section 6.1.2)", l.Advertisements, from)
}

// registerStats registers how much is remembered.
func registerStats(r prometheus.Registerer, stats func() judge.Stats) error {
	type of func(judge.Stats) float64
	value := func(of of) func() float64 { return func() float64 { return of(stats()) } }
	gauge := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value(of))
	}
	counter := func(name, help string, of of) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value(of))
	}
	sensors := func(state string, of of) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nd_ruled_sensors", Help: "Sensors that publish heartbeats: heard, or silent, which were reported as lost.",
			ConstLabels: prometheus.Labels{"state": state},
		}, value(of))
	}
	for _, c := range []prometheus.Collector{
		gauge("nd_ruled_links", "Links that are remembered.", func(s judge.Stats) float64 { return float64(s.Links) }),
		gauge("nd_ruled_stations", "Ethernet addresses that are remembered.", func(s judge.Stats) float64 { return float64(s.Stations) }),
		gauge("nd_ruled_neighbours", "IPv6 addresses that are remembered.", func(s judge.Stats) float64 { return float64(s.Addresses) }),
		counter("nd_ruled_neighbours_evicted_total", "IPv6 addresses that were forgotten because there were too many.", func(s judge.Stats) float64 { return float64(s.Evicted) }),
		counter("nd_ruled_links_evicted_total", "Links that were forgotten because there were too many, with their stations and addresses.", func(s judge.Stats) float64 { return float64(s.EvictedLinks) }),
		counter("nd_ruled_thresholds_evicted_total", "Counts of thresholds that were forgotten because there were too many, before their time was over.", func(s judge.Stats) float64 { return float64(s.ThresholdsDropped) }),
		sensors("heard", func(s judge.Stats) float64 { return float64(s.Sensors - s.Silent) }),
		sensors("silent", func(s judge.Stats) float64 { return float64(s.Silent) }),
		counter("nd_ruled_sensors_evicted_total", "Sensors that were forgotten because there were too many, those that were silent for longest.", func(s judge.Stats) float64 { return float64(s.SensorsEvicted) }),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register ruled's metrics: %w", err)
		}
	}
	return nil
}
