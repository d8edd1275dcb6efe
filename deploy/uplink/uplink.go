package uplink

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/feed"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// retryWait is the least time between two attempts to reach the hub. With the random time, the edges of a
	// fleet do not return at once.
	retryWait, retryRandom = 500 * time.Millisecond, time.Second
	// awayFor is how long the hub is away before that is logged: it is not when a hub is only restarted.
	awayFor = 3 * time.Second
	// checkInterval is the time between two looks at the hub's position while there is no alert.
	checkInterval = 30 * time.Second
	// lastSend is the time for the last alerts after the context has ended.
	lastSend = time.Second
)

// Config is the configuration of an Uplink.
type Config struct {
	Hub Hub
	// Directory has a file with the position.
	Directory string
	Conn      *bus.Conn
	// Away returns why the server is not connected to the hub, nil if it is.
	Away     func() error
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Uplink forwards the alerts of an edge to its hub, each once and in their order.
//
// With each batch of alerts the hub stores, all or nothing, the position of the last one. Whenever it is in doubt
// what the hub has, because an answer is missing, or the edge or the hub was restarted, the position tells.
type Uplink struct {
	Config
	metrics *Metrics
	run     string // identifies this process in positions
	before  uint64 // the sequence number of the newest alert that was stored before this process
	done    position

	mu     sync.Mutex
	away   error // why alerts do not reach the hub, nil if they do
	since  time.Time
	logged state // of the hub, as the log has it
}

type state int

const (
	unknown state = iota
	here
	gone
)

// position is an alert in the stream of an edge.
type position struct {
	// Created is when the stream was made.
	Created time.Time `json:"created"`
	Alert   uint64    `json:"alert"`
	// Run is the process that forwarded the alert.
	Run string `json:"run"`
}

// Metrics are the metrics of an Uplink.
type Metrics struct {
	connected, waiting prometheus.Gauge
	forwarded          prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "nd_uplink_connected", Help: "1 while the alerts of an edge reach its hub, otherwise 0."}),
		waiting:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "nd_uplink_waiting", Help: "Alerts of an edge that its hub has not stored yet."}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "nd_uplink_alerts_total", Help: "Alerts of an edge that its hub has stored."}),
	}
	r.MustRegister(m.connected, m.waiting, m.forwarded)
	return m
}

// New returns an Uplink. It must be called before this process stores its first alert.
func New(ctx context.Context, c Config) (*Uplink, error) {
	u := &Uplink{Config: c, metrics: NewMetrics(c.Registry), run: rand.Text(), away: errors.New("starting"), since: time.Now()}
	switch stream, err := c.Conn.JetStream().Stream(ctx, schemas.StreamAlerts); {
	case err == nil:
		u.before = stream.CachedInfo().State.LastSeq
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	data, err := os.ReadFile(u.file())
	if err == nil {
		err = json.Unmarshal(data, &u.done)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.Log.Warn("the position in the alerts cannot be read: only the hub knows it", "file", u.file(), "error", err)
	}
	return u, nil
}

func (u *Uplink) file() string { return filepath.Join(u.Directory, "uplink") }

// Health returns why alerts do not reach the hub, nil if they do.
func (u *Uplink) Health() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.away == nil {
		return nil
	}
	return fmt.Errorf("alerts do not reach the hub: %w", u.away)
}

// Run forwards alerts until the context ends, and then those that are left if the hub is there.
func (u *Uplink) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(lastSend, cancel) })
	for ctx.Err() == nil {
		err := u.forward(ctx, work)
		if ctx.Err() != nil && err != nil {
			// The alert that it waited for may be lost with the wait.
			err = u.forward(ctx, work)
		}
		if ctx.Err() != nil {
			u.Log.Debug("the last alerts for the hub", "error", err)
			break
		}
		u.lost(err)
		select {
		case <-ctx.Done():
		case <-time.After(retryWait + mathrand.N(retryRandom)):
		}
	}
	return ctx.Err()
}

// forward forwards alerts until the position is in doubt, or ctx has ended and none is left. It works with the
// context work.
func (u *Uplink) forward(ctx, work context.Context) error {
	stream, err := u.Conn.JetStream().Stream(work, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	info := stream.CachedInfo()
	last := info.State.LastSeq
	u.metrics.waiting.Set(float64(last - min(u.done.Alert, last)))
	if err := u.Away(); err != nil {
		return err
	}
	hub, err := u.connect()
	if err != nil {
		return err
	}
	defer hub.close()
	stored, at, err := hub.position(work)
	if err != nil {
		return err
	}
	alerts, err := feed.Open(work, stream, "forwards alerts to the hub", info.Created, u.next(stored, info))
	if err != nil {
		return err
	}
	defer alerts.Close()
	checked := time.Now()
	for {
		batch, err := alerts.Next(ctx, work)
		if err != nil {
			return err
		}
		switch {
		case len(batch) > 0:
			created, last := alerts.Position()
			to := position{created, last, u.run}
			if at, err = hub.store(work, to, at, batch); err != nil {
				return err
			}
			u.stored(to, len(batch), alerts.Pending())
			u.found()
		case ctx.Err() != nil:
			return nil
		case time.Since(checked) > checkInterval:
			if _, now, err := hub.position(work); err != nil {
				return err
			} else if now != at {
				return errors.New("the hub lost the position of this edge")
			}
		default:
			if err := u.Away(); err != nil {
				return err
			}
			u.found()
			continue
		}
		checked = time.Now()
	}
}

// next returns the sequence number of the next alert to forward.
func (u *Uplink) next(stored position, stream *jetstream.StreamInfo) uint64 {
	for _, p := range []position{stored, u.done} { // the hub may have dropped it as it drops old alerts
		if !p.Created.Equal(stream.Created) {
			continue
		}
		if p.Run != u.run {
			// A power failure may have lost the newest alerts of an earlier process. Those of this one have
			// their numbers.
			p.Alert = min(p.Alert, u.before)
		}
		if lost := int64(stream.State.FirstSeq - p.Alert - 1); lost > 0 {
			u.Log.Warn("alerts were dropped before the hub had them", "stream", schemas.StreamAlerts, "alerts", lost)
		}
		return p.Alert + 1
	}
	return 1
}

// stored notes that the hub has stored alerts.
func (u *Uplink) stored(p position, alerts int, waiting uint64) {
	u.done = p
	u.metrics.forwarded.Add(float64(alerts))
	u.metrics.waiting.Set(float64(waiting))
	data, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(u.file()+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(u.file()+".new", u.file())
	}
	if err != nil {
		u.Log.Debug("the position in the alerts is not noted", "error", err)
	}
}

// lost notes that alerts do not reach the hub.
func (u *Uplink) lost(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.away == nil {
		u.since = time.Now()
	}
	u.away = err
	u.metrics.connected.Set(0)
	if u.logged != gone && time.Since(u.since) > awayFor {
		u.logged = gone
		u.Log.Warn("the hub is away: alerts wait on this host", "error", err)
	}
}

// found notes that alerts reach the hub.
func (u *Uplink) found() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.away = nil
	u.metrics.connected.Set(1)
	if u.logged != here {
		u.logged = here
		u.Log.Info("alerts reach the hub")
	}
}
