package conflict

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	// every is the time in which an address is published once.
	every = 10 * time.Second
	// maxPerSecond is how many conflicts with an interface are published per second: as
	// many that duplicate address detection finds, and as many others.
	maxPerSecond = 20
	maxWaiting   = 64
)

// Config has what a Reporter works with.
type Config struct {
	// Host is the name of the host in the events.
	Host string
	// Publish publishes an event. It may wait, and must not keep the event.
	Publish func(*schemas.Event) error
	Metrics *Metrics
	Log     *slog.Logger
	Now     func() time.Time // time.Now if nil
}

// Reporter publishes the conflicts that are reported to it.
type Reporter struct {
	Config
	waiting chan schemas.Event

	mu sync.Mutex
	// since is when the current second began, and sent counts what is published in it.
	since time.Time
	sent  map[source]int
	// last is when an address was published. An entry is removed at the latest a second
	// after it has expired, so the budget bounds their number.
	last map[key]time.Time
}

// source has a budget of its own, so that one link cannot use up that of another.
type source struct {
	iface string
	dad   bool
}

type key struct {
	address netip.Addr
	dad     bool
}

// New makes a Reporter.
func New(c Config) *Reporter {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Reporter{Config: c, waiting: make(chan schemas.Event, maxWaiting), sent: make(map[source]int), last: make(map[key]time.Time)}
}

// Report has a conflict published, unless its address was in the last 10 s. The address
// stays in use on the interface with the plain name on. Report does not wait, and may be
// called concurrently and with locks held.
func (r *Reporter) Report(c schemas.Conflict, on string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	if !within(time.Second, r.since, now) {
		r.since = now
		clear(r.sent)
		for k, at := range r.last {
			if !within(every, at, now) {
				delete(r.last, k)
			}
		}
	}
	k, from := key{c.Address, c.DAD}, source{c.OtherInterface, c.DAD}
	if at, ok := r.last[k]; ok && within(every, at, now) {
		r.Metrics.repeated.Inc()
		return
	}
	if r.sent[from] >= maxPerSecond {
		r.Metrics.dropped.Inc()
		return
	}
	select {
	case r.waiting <- r.event(c, on, now):
		r.sent[from]++
		r.last[k] = now
	default:
		r.Metrics.dropped.Inc()
	}
}

// within reports whether a time is less than d ago. One after now is from before the clock
// was set back.
func within(d time.Duration, at, now time.Time) bool {
	age := now.Sub(at)
	return age >= 0 && age < d
}

func (r *Reporter) event(c schemas.Conflict, on string, now time.Time) schemas.Event {
	return schemas.Event{
		Type: schemas.TypeEvent, ID: rand.Text(), Time: now.UTC(), Host: r.Host, Interface: on, Direction: schemas.In, Conflict: &c,
	}
}

// Run publishes what was reported, until the context ends.
func (r *Reporter) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.waiting:
			r.publish(ctx, &e)
		}
	}
}

func (r *Reporter) publish(ctx context.Context, e *schemas.Event) {
	c, level, message := e.Conflict, slog.LevelWarn, "an address is on two links"
	if c.DAD {
		level, message = slog.LevelInfo, "denied a host an address that is in use on another link"
	}
	r.Log.Log(ctx, level, message, "address", c.Address, "in_use_on", e.Interface, "by", text(c.Ethernet), "also_on", c.OtherInterface, "also_by", text(c.OtherEthernet))
	if err := r.Publish(e); err != nil {
		r.Metrics.dropped.Inc()
		r.Log.Debug("a conflict cannot be published", "address", c.Address, "error", err)
		return
	}
	r.Metrics.published.Inc()
}

// text is empty for a link without Ethernet.
func text(m *schemas.MAC) string {
	if m == nil {
		return ""
	}
	return m.String()
}
