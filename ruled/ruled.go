// Package ruled evaluates the central rules: it reads the fleet's events from NATS, and
// publishes alerts and relay commands.
//
// It only wires its packages to each other. Events go one way: feed, judge (with link, rules
// and threshold), then relay and alert. Events of a sensor in the same process take the same
// way without the feed. On NATS, the events are in partitions by host, which all nd-ruled of a
// fleet share: each partition has a feed, a judge and a state of its own.
package ruled

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ndmon/ndmon/ruled/alert"
	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/group"
	"github.com/ndmon/ndmon/ruled/history"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
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
	// Central has the subjects of the central rules, if they are others than those of package central.
	Central source.Central
	// Hangup, if set, makes Run read the rules again.
	Hangup <-chan os.Signal
	// Learned is called with what was learned, if Config.Learn is set, before Run returns.
	Learned func(Learned)
	// Health, if set, is called with nil each time that the reading of events begins, and with an error when it ends.
	Health func(error)
	// Check, if set, gets a part whose health can be asked for.
	Check func(part string, check func() error)
	// Status, if set, gets a function that says in a status what is evaluated.
	Status func(describe func(*schemas.DaemonStatus))
	// Alert, if set, is called with each alert that is raised, as JSON, in their order, and with its id. After is the
	// sequence number in the stream of one that was raised before, 0 if none is known. With Lossless the evaluation
	// waits for the call; otherwise alerts for a slow program are left out, and counted.
	Alert    func(alert []byte, id string, after uint64)
	Lossless bool
	// Room, if set, returns an error while there is no room to store alerts and the state: they wait until there is.
	Room func() error

	// shared, if set, is called when other partitions are evaluated, or the number of nd-ruled that share them differs.
	shared func(owned []int, members int)

	// ticks returns the ticks of a partition, a second apart; nil for those of a clock.
	ticks func(partition int) <-chan time.Time
}

// lastAlerts is how long Run waits at its end for a program that is stuck.
const lastAlerts = 300 * time.Millisecond

// lastLossless is how long Run waits at its end for a server to store the alerts of capture files.
const lastLossless = time.Minute

// run has what the parts of ruled share.
type run struct {
	Config
	Deps
	metrics *metrics.Metrics
	rules   *source.Source
	makers  *vendors.Table
	history *history.Writer // nil if none is kept
	command []byte          // memory for publish

	streams sync.Mutex // guards ensured
	ensured bool       // the streams existed

	reporting sync.Mutex // guards reported
	reported  string     // what Deps.Health was called with

	mu     sync.Mutex
	alerts *alert.Raiser
	member *group.Member // nil unless the events are shared
	parts  map[int]*part
	health map[int]error // of the parts that read events
}

// Run evaluates events until the context ends, or as long as Config.Learn says. It returns early only when
// the rule file cannot be read, with a process.UsageError that has all its faults.
func Run(ctx context.Context, cfg Config, d Deps) error {
	if d.Health == nil {
		d.Health = func(error) {}
	}
	r := &run{Config: cfg, Deps: d, parts: map[int]*part{}, health: map[int]error{}}
	if err := r.build(); err != nil {
		return err
	}
	if r.history != nil {
		stop := r.history.Start(ctx)
		defer stop()
	}
	if r.Deps.Events == nil && r.Learn == 0 {
		return r.shared(ctx)
	}
	return r.alone(ctx)
}

// build makes what the parts share.
func (r *run) build() (err error) {
	if r.metrics, err = metrics.New(r.Registry); err != nil {
		return err
	}
	if r.rules, err = source.Load(r.Config.Rules, r.central(), r.Log, r.metrics); err != nil {
		var faults *rulefile.Faults
		return process.UsageError{Err: err, Located: errors.As(err, &faults)}
	}
	if r.makers, err = r.VendorTable(); err != nil {
		return process.UsageError{Err: err}
	}
	if r.Conn != nil && r.keepsHistory() {
		if r.history, err = history.New(r.Conn, r.Room, r.Log, r.Registry); err != nil {
			return err
		}
	}
	if r.Check != nil && r.Conn != nil {
		r.Check("alerts", func() error {
			if alerts := r.raiser(); alerts != nil { // there is none until others let this nd-ruled join
				return alerts.Health()
			}
			return nil
		})
	}
	if r.Status != nil {
		r.Status(r.describe)
		r.Status(r.rules.Describe)
	}
	return r.registerStats()
}

// central returns where the central rules are: with the connection, and nowhere while routers are learned.
func (r *run) central() source.Central {
	if r.Learn > 0 {
		return source.Central{}
	}
	c := r.Deps.Central
	c.Conn, c.Make = r.Conn, r.Deps.Events == nil
	if r.StateDirectory != "" {
		c.File = filepath.Join(r.StateDirectory, "rules.xml")
	}
	return c
}

// alone evaluates all events, those of this process or, while learning, those on NATS.
func (r *run) alone(ctx context.Context) error {
	stop := r.raise(ctx, nil)
	defer stop()
	p := r.newPart(feed.EveryPartition)
	began := time.Now()
	err := r.work(ctx, p)
	r.finish(context.WithoutCancel(ctx), p)
	if r.Learn > 0 {
		if p.feed != nil {
			p.feed.Delete(context.WithoutCancel(ctx))
		}
		r.Deps.Learned(Learned{Lessons: p.judge.Learned(), Took: time.Since(began)})
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil // learning ends so, perhaps early
		}
	}
	if n := r.alerts.Unstored(); n > 0 {
		r.Log.Error("alerts were written and not stored", "alerts", n)
	}
	return err
}

// raise makes the Raiser of alerts, with the fence of a member of a group, if there is one. It publishes until stop is called.
func (r *run) raise(ctx context.Context, member *group.Member) (stop func()) {
	cfg := alert.Config{
		Log: r.Log, Metrics: r.metrics, Conn: r.Conn, Buffer: r.Buffer, Once: r.Deps.Events != nil, Recent: feed.MaxPending, Room: r.Room,
		Receive: r.Alert, Lossless: r.Lossless, OnProgress: r.progressed,
	}
	if member != nil {
		cfg.Fence, cfg.Fenced = member.Fence, member.Fenced
	}
	alerts := alert.New(cfg)
	r.mu.Lock()
	r.alerts, r.member = alerts, member
	r.mu.Unlock()
	// The publisher outlives the reading, to store the last alerts.
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	published, handedOver := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		if r.Conn != nil {
			alerts.Run(publishing) // it ends with the context, or the connection
		}
	}()
	go func() {
		defer close(handedOver)
		alerts.HandOver(publishing)
	}()
	return func() {
		cancel()
		<-published
		select {
		case <-handedOver:
		case <-time.After(lastAlerts):
			r.Log.Warn("the program does not receive the last alerts")
		}
	}
}

func (r *run) raiser() *alert.Raiser {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts
}

// publish is the default of Deps.Relay.
func (r *run) publish(subject string, command *schemas.Relay) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.command = command.AppendJSON(r.command[:0])
	return r.Conn.Publish(subject, r.command)
}

// progressed is called when more alerts are stored.
func (r *run) progressed() { r.eachFeed((*feed.Feed).Progressed) }

func (r *run) eachFeed(do func(*feed.Feed)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		if p.feed != nil {
			do(p.feed)
		}
	}
}

// describe adds to a status what is evaluated.
func (r *run) describe(s *schemas.DaemonStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for partition, p := range r.parts {
		p.judge.Describe(s)
		if partition != feed.EveryPartition {
			s.Partitions = append(s.Partitions, uint32(partition))
		}
	}
	slices.Sort(s.Partitions)
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
