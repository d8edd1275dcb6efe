package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// prober carries relay commands out: handle takes them in, reply takes the
// replies, and run ends the waiting of those that get none.
type prober struct {
	host    string
	period  time.Duration // of the hold-down
	most    int           // echoes in any second
	timeout time.Duration

	neighbour func(netip.Addr, int) (neighbour, error)
	// repair is called when something about a slave is amiss.
	repair func()
	// tablesWhy says why slaves have no routing tables; "" if they have.
	tablesWhy string

	reporter *reporter
	metrics  *metrics
	log      *slog.Logger

	state atomic.Pointer[state]

	mu      sync.Mutex
	rate    window
	held    holdDown
	waiting waiting
	timer   *time.Timer
	armed   bool // the timer runs
	stopped bool
}

func newProber(host string, cfg Config) *prober {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &prober{
		host:    host,
		period:  cfg.HoldDown,
		most:    cfg.Rate,
		timeout: cfg.Timeout,
		rate:    newWindow(cfg.Rate),
		held:    newHoldDown(cfg.HoldDown),
		waiting: newWaiting(cfg.mostWaiting()),
		timer:   timer,
	}
}

// handle carries out one relay command.
func (p *prober) handle(data []byte) {
	now := time.Now()
	cmd, refused := parseCommand(data, p.host, now)
	if refused == nil {
		refused = p.probe(&cmd, now)
	}
	done := probed
	if refused != nil {
		done = refused.outcome
	}
	p.metrics.commands[done].Inc()
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		attrs := []slog.Attr{
			slog.String("outcome", string(done)), slog.String("target", cmd.Target.String()),
			slog.String("relay", cmd.ID), slog.String("rule", cmd.Rule), slog.Duration("took", time.Since(now)),
		}
		if refused != nil {
			attrs = append(attrs, slog.String("why", refused.why))
		}
		p.log.LogAttrs(context.Background(), slog.LevelDebug, "relay command", attrs...)
	}
	if refused != nil && refused.told() {
		p.reporter.refused(cmd.ID, cmd.Target, refused)
	}
}

// probe sends an echo to the command's target out of every slave that can, and
// reports those that cannot.
func (p *prober) probe(cmd *schemas.Relay, now time.Time) *refusal {
	st := p.state.Load()
	if st.isOwn(cmd.Target) {
		return refuse(ownAddress, "target %v is an address of this host", cmd.Target)
	}
	failures, refused := p.sendEchoes(cmd, st, now)
	for _, f := range failures {
		f.slave.metrics.failed.Inc()
		p.log.Debug("no echo sent", "slave", f.slave.name, "target", cmd.Target, "relay", cmd.ID, "why", f.why)
		p.reporter.failed(cmd.ID, cmd.Target, f.slave.name, f.why)
	}
	return refused
}

// failure says why no echo left by a slave.
type failure struct {
	slave *slave
	why   string
}

func (p *prober) sendEchoes(cmd *schemas.Relay, st *state, now time.Time) ([]failure, *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, refuse(overRate, "the pinger is stopping")
	}
	if p.held.holds(cmd.Target, now) {
		return nil, refuse(heldDown, "target %v was probed less than %v ago (PINGER_HOLD_DOWN)", cmd.Target, p.period)
	}
	// A slave that no echo can leave by counts too: it makes a result, and
	// forged commands must not make many of them.
	if !p.rate.allow(now, len(st.slaves)) {
		return nil, refuse(overRate, "%d echoes in a second are allowed (PINGER_RATE), one command takes %d", p.most, len(st.slaves))
	}
	if !p.waiting.room(len(st.slaves)) {
		return nil, refuse(overRate, "%d echoes wait for a reply", p.waiting.open)
	}

	var failures []failure
	sent := 0
	for _, sl := range st.slaves {
		if sl.why != "" {
			failures = append(failures, failure{sl, sl.name + " " + sl.why})
			continue
		}
		pr := probe{slave: sl, target: cmd.Target, relay: cmd.ID, sent: time.Now(), cookie: rand.Uint64()}
		seq := p.waiting.add(pr)
		if err := sl.conn.send(cmd.Target, seq, pr.cookie); err != nil {
			p.waiting.take(seq, func(*probe) bool { return true })
			failures = append(failures, failure{sl, p.whyNotSent(sl, err)})
			continue
		}
		sl.metrics.sent.Inc()
		sent++
	}
	if sent > 0 {
		p.held.add(cmd.Target, now)
		p.arm()
	}
	p.metrics.waiting.Set(float64(p.waiting.open))
	return failures, nil
}

// whyNotSent says why the kernel did not take an echo.
func (p *prober) whyNotSent(sl *slave, err error) string {
	name := sl.name
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		if p.tablesWhy != "" {
			return fmt.Sprintf("no route to the target leads through %s, and the pinger cannot make one: %s", name, p.tablesWhy)
		}
		p.repair()
		return fmt.Sprintf("the route through %s was gone, or a routing rule of priority less than %d hides it; looking after it (%v)", name, rulePriority, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
		return fmt.Sprintf("the kernel refused the echo out of %s: its neighbour table is full (net.ipv6.neigh.default.gc_thresh3), or %v is its address no more: %v", name, sl.source, err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Sprintf("no room for the echo out of %s: too many wait for the kernel to find their neighbours (net.core.wmem_max)", name)
	case errors.Is(err, unix.EPERM):
		return fmt.Sprintf("a firewall of this host drops the echo out of %s: %v", name, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return name + " has just gone"
	case errors.Is(err, net.ErrClosed):
		p.repair()
		return name + " is being looked at anew"
	case errors.Is(err, unix.ENETDOWN):
		return name + " has just gone down"
	default:
		return fmt.Sprintf("sending out of %s: %v", name, err)
	}
}

// reply takes an echo reply that came in on a slave.
func (p *prober) reply(sl *slave, r echoReply) {
	now := time.Now()
	p.mu.Lock()
	pr, ok := p.waiting.take(r.seq, func(pr *probe) bool {
		return pr.cookie == r.cookie && pr.target == r.from && pr.slave.index == sl.index
	})
	p.metrics.waiting.Set(float64(p.waiting.open))
	p.mu.Unlock()
	if !ok {
		p.metrics.strayReplies.Inc()
		return
	}
	rtt := max(now.Sub(pr.sent), time.Microsecond)
	p.metrics.rtt.Observe(rtt.Seconds())
	p.answered(&pr, rtt, p.lookUp(&pr))
}

func (p *prober) answered(pr *probe, rtt time.Duration, n neighbour) {
	pr.slave.metrics.reachable.Inc()
	p.log.Debug("target answered", "slave", pr.slave.name, "target", pr.target, "relay", pr.relay, "rtt", rtt, "echo", rtt > 0)
	p.reporter.answered(pr, rtt, n)
}

// lookUp returns what the kernel knows of a probe's target.
func (p *prober) lookUp(pr *probe) neighbour {
	n, err := p.neighbour(pr.target, pr.slave.index)
	if err != nil {
		p.log.Debug("looking up a neighbour", "slave", pr.slave.name, "error", err)
	}
	return n
}

// arm sets the timer to the deadline of the oldest probe, unless it runs: nothing
// ticks while nothing waits. p.mu is held.
func (p *prober) arm() {
	if oldest := p.waiting.oldest(); oldest != nil && !p.armed {
		p.timer.Reset(time.Until(oldest.sent.Add(p.timeout)))
		p.armed = true
	}
}

// run reports the probes that are not answered in time, until ctx ends; those
// that wait then are given up.
func (p *prober) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.stopped = true
			p.timer.Stop()
			p.mu.Unlock()
			return
		case <-p.timer.C:
		}
		for {
			pr, ok := p.overdue(time.Now())
			if !ok {
				break
			}
			p.timedOut(&pr)
		}
	}
}

// overdue takes out a probe whose time is over; if there is none it sets the
// timer to the next.
func (p *prober) overdue(now time.Time) (probe, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if oldest := p.waiting.oldest(); oldest == nil || now.Sub(oldest.sent) < p.timeout {
		p.armed = false
		p.arm()
		return probe{}, false
	}
	pr := p.waiting.pop()
	p.metrics.waiting.Set(float64(p.waiting.open))
	return pr, true
}

func (p *prober) timedOut(pr *probe) {
	if n := p.lookUp(pr); n.confirmed {
		// Many hosts drop echo requests. The target is there all the same, for
		// it answered the kernel's solicitation.
		p.answered(pr, 0, n)
		return
	}
	if sl := p.state.Load().slave(pr.slave.name); sl == nil || sl.why != "" || sl.index != pr.slave.index {
		why := "went away"
		if sl != nil && sl.why != "" {
			why = sl.why
		}
		pr.slave.metrics.failed.Inc()
		p.log.Debug("slave failed while an echo waited", "slave", pr.slave.name, "target", pr.target, "relay", pr.relay, "why", why)
		p.reporter.failed(pr.relay, pr.target, pr.slave.name, pr.slave.name+" "+why+" while the echo waited for its reply")
		return
	}
	pr.slave.metrics.unreachable.Inc()
	p.log.Debug("target did not answer", "slave", pr.slave.name, "target", pr.target, "relay", pr.relay, "waited", p.timeout)
	p.reporter.unanswered(pr)
}

// update makes the prober work with a new state. When a slave has come into use
// every target may be probed again at once, for it may be found there.
func (p *prober) update(st *state, cameUp bool) {
	p.state.Store(st)
	if cameUp {
		p.mu.Lock()
		p.held.clear()
		p.mu.Unlock()
	}
}
