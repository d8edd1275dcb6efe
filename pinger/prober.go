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

// prober carries relay commands out: handle takes them in, advertised and replied
// take the answers, and run sends again, and ends the waiting of those that get
// none.
//
// On a link with Neighbor Discovery it solicits for the target itself, and has
// the kernel discover it, with an echo, once it has answered. On others, and
// without the right to solicit, the echo alone has to do.
type prober struct {
	host    string
	proxy   bool
	period  time.Duration // of the hold-down
	timeout time.Duration

	nd        solicitor // nil without the right to solicit
	neighbour func(netip.Addr, int) (neighbour, error)
	// repair is called when something about a slave is amiss.
	repair func()
	// tablesWhy says why slaves have no routing tables; "" if they have.
	tablesWhy string
	// ways are those that are kept to targets; nil if none are.
	ways *ways

	reporter *reporter
	metrics  *metrics
	log      *slog.Logger

	state atomic.Pointer[state]

	mu      sync.Mutex
	budget  budget
	answers budget // advertisements for others
	room    room
	targets targets
	waiting waiting
	timer   *time.Timer
	armed   bool // the timer runs
	stopped bool
}

const (
	// maxTries is how often a target is solicited (RFC 4861, section 10:
	// MAX_MULTICAST_SOLICIT).
	maxTries = 3
	// answersEach is how many advertisements may leave for each probe that may:
	// they cost one frame, to one station, each.
	answersEach = 10
)

func newProber(host string, cfg Config) *prober {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	p := &prober{
		host:    host,
		proxy:   cfg.Proxy,
		period:  cfg.HoldDown,
		timeout: cfg.Timeout,
		budget:  newBudget(cfg.Rate),
		targets: newTargets(),
		waiting: newWaiting(),
		timer:   timer,
	}
	if cfg.Proxy {
		p.answers = newBudget(answersEach * cfg.Rate)
	}
	return p
}

// handle carries out one relay command.
func (p *prober) handle(data []byte) {
	cmd, refused := parseCommand(data)
	p.carryOut(&cmd, refused)
}

// handleDirect carries out one relay command of this process.
func (p *prober) handleDirect(cmd *schemas.Relay) { p.carryOut(cmd, nil) }

// carryOut carries out a command, unless it is refused already, and says what
// became of it.
func (p *prober) carryOut(cmd *schemas.Relay, refused *refusal) {
	now := time.Now()
	done := probed
	if refused == nil {
		refused = checkCommand(cmd, p.host, now)
	}
	if refused == nil {
		done, refused = p.answer(cmd, now)
	}
	if refused != nil {
		done = refused.outcome
	}
	p.metrics.commands.WithLabelValues(string(done)).Inc()
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		attrs := []slog.Attr{
			slog.String("outcome", string(done)), slog.String("target", cmd.Target.String()),
			slog.String("relay", cmd.ID), slog.String("rule", cmd.Rule), slog.Duration("took", time.Since(now)),
		}
		if sol := cmd.Solicitation; sol != nil {
			attrs = append(attrs, slog.String("asked_on", sol.Interface), slog.String("asked_by", sol.Source.String()))
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

// answer answers a command from what is known, or has its target probed.
func (p *prober) answer(cmd *schemas.Relay, now time.Time) (outcome, *refusal) {
	st := p.state.Load()
	if st.isOwn(cmd.Target) {
		return "", refuse(ownAddress, "target %v is an address of this host", cmd.Target)
	}
	sol := cmd.Solicitation
	if sol != nil && sol.Host != p.host {
		sol = nil // asked on another host
	}
	q := question{target: cmd.Target, relay: cmd.ID, now: cmd.Now}
	if sol != nil {
		q.source = sol.Source
	}
	if p.proxy && sol != nil && sol.Direction == schemas.In {
		on := st.port(sol.Interface)
		if on == nil {
			return "", refuse(otherLink, "the solicitation came in on %s, which is neither a slave nor a master (PINGER_SLAVES, PINGER_MASTERS)", sol.Interface)
		}
		if sol.Source.IsUnspecified() {
			// To answer would take the address from a host that moves.
			p.ways.doubt(cmd.Target, on)
			return "", refuse(duplicateDetection, "duplicate address detection is not answered for others")
		}
		q.asker = asker{on: on, addr: sol.Source, mac: sol.Ethernet}
	}
	if w, ok := p.ways.known(cmd.Target); ok && !cmd.Now {
		if q.asker.on != nil && q.asker.on.index != w.on.index {
			if refused := p.answerFor(cmd.Target, q.asker, now); refused != nil {
				return "", refused
			}
		}
		if sol != nil && sol.Interface == w.on.name {
			p.ways.gone(cmd.Target, w.on.index) // who asks there could have its own answer
		}
		p.reporter.known(cmd.ID, cmd.Target, w)
		return known, nil
	}
	q.slaves = st.behind(sol, p.proxy)
	if len(q.slaves) == 0 {
		return "", refuse(otherLink, "there is no slave but %s, where the target was solicited", sol.Interface)
	}
	return probed, p.probe(q, now)
}

// question is what a probing is to find out.
type question struct {
	target netip.Addr
	relay  string // id of the command; "" for what the pinger wants to know itself
	source netip.Addr
	slaves []*slave
	asker  asker // who gets an answer when the target is found, if on is set
	now    bool  // although it was probed just now, or is being probed
	first  bool  // before others, if the budget is short
}

// probe looks for a target behind slaves, and reports those that cannot be looked
// behind.
func (p *prober) probe(q question, now time.Time) *refusal {
	failures, refused := p.begin(q, now)
	for _, f := range failures {
		p.failed(q.relay, q.target, f)
	}
	return refused
}

// failed reports that a target cannot be looked for behind a slave.
func (p *prober) failed(relay string, target netip.Addr, f failure) {
	f.slave.metrics.failed.Inc()
	p.log.Debug("not probed", "slave", f.slave.name, "target", target, "relay", relay, "reason", f.reason, "why", f.why)
	p.reporter.failed(relay, target, f)
}

// failure says why no probe left by a slave.
type failure struct {
	slave  *slave
	reason schemas.Reason
	why    string
}

func (p *prober) begin(q question, now time.Time) ([]failure, *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil, refuse(overBudget, "the pinger is stopping")
	}
	t := p.targets.get(q.target)
	if t.pending > 0 && !q.now {
		t.ask(q.asker)
		return nil, refuse(heldDown, "target %v is being probed", q.target)
	}
	if now.Before(t.until) && !q.now {
		return nil, refuse(heldDown, "target %v was probed just now, and may be again in %v (PINGER_HOLD_DOWN, longer the longer it is silent)",
			q.target, t.until.Sub(now).Round(time.Millisecond))
	}
	// A slave that no probe can leave by counts too: it makes a result, and
	// forged commands must not make many of them.
	n := len(q.slaves)
	if len(p.waiting.probes)+n > maxWaiting {
		return nil, refuse(overBudget, "%d probes wait for an answer", len(p.waiting.probes))
	}
	// Who asks whatever the hold-down says has no priority by it: one target would
	// take all.
	if !p.budget.allow(now, n, q.source, q.first || !q.now && t.priority(now)) {
		t.refused = now
		return nil, refuse(overBudget, "%d of %d probes of this second are used up (PINGER_RATE), %d of them by this source, and this one takes %d",
			p.budget.used, len(p.budget.sent), p.budget.bySource[q.source], n)
	}
	t.refused, t.answered, t.askers = time.Time{}, false, t.askers[:0]
	t.ask(q.asker)

	var failures []failure
	for _, sl := range q.slaves {
		if sl.why != "" {
			failures = append(failures, failure{sl, schemas.SlaveDown, sl.name + " " + sl.why})
			continue
		}
		pr := &probe{target: q.target, slave: sl, relay: q.relay, sent: time.Now(), tries: 1}
		waits := p.waiting.at(pr.place())
		if waits != nil && !p.solicits(sl) {
			continue // the kernel is at it
		}
		if f := p.send(pr); f != nil {
			failures = append(failures, *f)
			continue
		}
		if waits != nil {
			waits.tries = 0 // it waits at least as long as what is sent now
			continue
		}
		p.await(pr)
		t.pending++
	}
	if t.pending > 0 {
		t.hold(now, p.period)
		p.arm()
	}
	return failures, nil
}

// ask notes who is to be answered when the target is found.
func (t *target) ask(a asker) {
	if a.on != nil && len(t.askers) < maxAskers {
		t.askers = append(t.askers, a)
	}
}

// send sends a probe for the first time. p.mu is held, as in all that sends.
func (p *prober) send(pr *probe) *failure {
	sl := pr.slave
	if p.solicits(sl) {
		if err := p.nd.solicit(sl, pr.target, nil); err != nil {
			return p.notSent(sl, pr.target, err)
		}
		sl.metrics.solicited.Inc()
		return nil
	}
	if !p.room.take(pr.sent) {
		return &failure{sl, schemas.OverBudget, p.room.why()}
	}
	pr.seq, pr.cookie = uint16(rand.Uint32()), max(1, rand.Uint64())
	return p.echo(sl, pr.target, pr.seq, pr.cookie)
}

// echo sends an echo, which has the kernel look for the target.
func (p *prober) echo(sl *slave, target netip.Addr, seq uint16, cookie uint64) *failure {
	if err := sl.conn.send(target, seq, cookie); err != nil {
		return p.notSent(sl, target, err)
	}
	sl.metrics.sent.Inc()
	return nil
}

// solicits reports whether targets behind a slave are solicited by us.
func (p *prober) solicits(sl *slave) bool { return p.nd != nil && sl.nd }

// await has a probe wait for its answer. p.mu is held.
func (p *prober) await(pr *probe) {
	pr.due = time.Now().Add(p.timeout / maxTries)
	p.waiting.add(pr)
	p.metrics.waiting.Set(float64(len(p.waiting.probes)))
}

// notSent says why the kernel did not take a frame or an echo.
func (p *prober) notSent(sl *slave, target netip.Addr, err error) *failure {
	name := sl.name
	f := &failure{slave: sl, reason: schemas.NotSent}
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		f.reason = schemas.NoRoute
		if p.tablesWhy != "" {
			f.why = fmt.Sprintf("no route to the target leads through %s, and the pinger cannot make one: %s", name, p.tablesWhy)
			break
		}
		p.repair()
		f.why = fmt.Sprintf("the route through %s was gone, or a routing rule of priority less than %d hides it; looking after it (%v)", name, rulePriority, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
		f.why = fmt.Sprintf("the kernel refused the echo out of %s: its neighbour table is full (net.ipv6.neigh.default.gc_thresh3), or %v is its address no more: %v", name, sl.source, err)
	case errors.Is(err, unix.EAGAIN):
		f.why = fmt.Sprintf("no room for what leaves by %s: too much waits there already (net.core.wmem_max)", name)
	case errors.Is(err, unix.EPERM):
		f.why = fmt.Sprintf("a firewall of this host drops the echo out of %s: %v", name, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		f.reason, f.why = schemas.SlaveDown, name+" has just gone"
	case errors.Is(err, net.ErrClosed):
		p.repair()
		f.reason, f.why = schemas.SlaveDown, name+" is being looked at anew"
	case errors.Is(err, unix.ENETDOWN):
		f.reason, f.why = schemas.SlaveDown, name+" has just gone down"
	default:
		f.why = fmt.Sprintf("sending out of %s: %v", name, err)
	}
	return f
}

// advertised takes a Neighbor Advertisement that came in on a slave.
func (p *prober) advertised(sl *slave, a advertisement) {
	if !a.solicited {
		p.ways.hint(a.target, sl)
		return
	}
	p.ways.heard(sl, &a)
	now := time.Now()
	p.mu.Lock()
	pr, askers := p.take(place{a.target, sl.index}, func(pr *probe) bool { return pr.cookie == 0 })
	if pr == nil {
		p.mu.Unlock()
		return
	}
	// It is there: to have the kernel discover it costs no more than its entry.
	var told *failure
	if p.room.take(now) {
		told = p.echo(sl, a.target, 0, 0)
	} else {
		told = &failure{sl, schemas.OverBudget, p.room.why()}
	}
	p.mu.Unlock()

	answer := answer{rtt: since(pr.sent, now), mac: a.mac, proxied: !a.override}
	if told != nil {
		answer.reason, answer.why = told.reason, "found, but the kernel was not told: "+told.why
	}
	p.answered(pr, answer)
	if a.override {
		p.ways.found(a.target, sl, a.mac, askers)
	}
}

// replied takes an echo reply that came in on a slave.
func (p *prober) replied(sl *slave, r echoReply) {
	now := time.Now()
	p.mu.Lock()
	pr, askers := p.take(place{r.from, sl.index}, func(pr *probe) bool { return pr.cookie == r.cookie && pr.seq == r.seq })
	p.mu.Unlock()
	if pr == nil {
		p.metrics.strayReplies.Inc()
		return
	}
	n := p.lookUp(pr)
	p.answered(pr, answer{rtt: since(pr.sent, now), mac: n.mac})
	p.ways.found(pr.target, sl, n.mac, askers)
}

// since is a round-trip time: that of what was answered at once is not zero, which
// would be none.
func since(sent, now time.Time) time.Duration { return max(now.Sub(sent), time.Microsecond) }

// take takes out the probe for a place that was answered, and returns who asked; nil
// if none waits for which match holds. p.mu is held.
func (p *prober) take(at place, match func(*probe) bool) (*probe, []asker) {
	pr, ok := p.waiting.take(at, match)
	if !ok {
		return nil, nil
	}
	p.metrics.waiting.Set(float64(len(p.waiting.probes)))
	return pr, p.found(pr)
}

// found notes that a probe was answered, and returns who asked. p.mu is held.
func (p *prober) found(pr *probe) []asker {
	t := p.targets.get(pr.target)
	askers := t.askers
	t.pending--
	t.answered, t.known, t.silent, t.askers = true, true, 0, nil
	return askers
}

// answer is what came of a probe that was answered.
type answer struct {
	rtt     time.Duration // 0 if the answer was not to the probe itself
	mac     *schemas.MAC
	proxied bool
	// reason and why are set where the kernel was not told.
	reason schemas.Reason
	why    string
}

func (p *prober) answered(pr *probe, a answer) {
	pr.slave.metrics.reachable.Inc()
	if a.rtt > 0 {
		p.metrics.rtt.Observe(a.rtt.Seconds())
	}
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		attrs := []any{"slave", pr.slave.name, "target", pr.target, "relay", pr.relay, "rtt", a.rtt, "ethernet", a.mac, "proxied", a.proxied}
		if a.why != "" {
			attrs = append(attrs, "reason", a.reason, "why", a.why)
		}
		p.log.Debug("target answered", attrs...)
	}
	p.reporter.answered(pr, a)
}

// lookUp returns what the kernel knows of a probe's target.
func (p *prober) lookUp(pr *probe) neighbour {
	n, err := p.neighbour(pr.target, pr.slave.index)
	if err != nil {
		p.log.Debug("looking up a neighbour", "slave", pr.slave.name, "error", err)
	}
	return n
}

// answerFor tells an asker that a target that is known is reached through this
// host.
func (p *prober) answerFor(target netip.Addr, to asker, now time.Time) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.nd == nil || !to.on.nd || to.on.why != "" || p.stopped:
		return nil // the kernel's proxy entry has to do
	case !p.answers.allow(now, 1, to.addr, false):
		return refuse(overBudget, "%d of %d advertisements of this second are used up", p.answers.used, len(p.answers.sent))
	}
	if err := p.nd.advertise(to.on, target, to); err != nil {
		f := p.notSent(to.on, target, err)
		return refuse(notAnswered, "%s", f.why)
	}
	to.on.metrics.advertised.Inc()
	return nil
}

// arm sets the timer to when the oldest probe is due, unless it runs: nothing
// ticks while nothing waits. p.mu is held.
func (p *prober) arm() {
	if oldest := p.waiting.oldest(); oldest != nil && !p.armed {
		p.timer.Reset(time.Until(oldest.due))
		p.armed = true
	}
}

// run sends again what is not answered, and reports what is not answered in time,
// until ctx ends; those that wait then are given up.
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
			pr := p.overdue(time.Now())
			if pr == nil {
				break
			}
			p.timedOut(pr)
		}
	}
}

// overdue takes out a probe whose time is over; if there is none it sets the
// timer to the next.
func (p *prober) overdue(now time.Time) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		oldest := p.waiting.oldest()
		if oldest == nil || now.Before(oldest.due) {
			p.armed = false
			p.arm()
			return nil
		}
		pr := p.waiting.pop()
		if pr.tries == maxTries {
			p.metrics.waiting.Set(float64(len(p.waiting.probes)))
			return pr
		}
		pr.tries++
		// In a flood nobody is solicited twice: who is asked for goes before who was.
		if p.solicits(pr.slave) && p.budget.idle(now) && p.budget.allow(now, 1, netip.Addr{}, true) {
			if p.nd.solicit(p.current(pr.slave), pr.target, nil) == nil {
				pr.slave.metrics.solicited.Inc()
			}
		}
		p.await(pr)
	}
}

// current returns a slave as it is now, or as it was if it is no more.
func (p *prober) current(sl *slave) *slave {
	if now := p.state.Load().port(sl.name); now != nil && now.index == sl.index && now.why == "" {
		return now
	}
	return sl
}

func (p *prober) timedOut(pr *probe) {
	if pr.cookie != 0 {
		if n := p.lookUp(pr); n.confirmed {
			// Many hosts drop echo requests. The target is there all the same, for
			// it answered the kernel's solicitation.
			p.mu.Lock()
			askers := p.found(pr)
			p.mu.Unlock()
			p.answered(pr, answer{mac: n.mac})
			p.ways.found(pr.target, pr.slave, n.mac, askers)
			return
		}
	}
	if p.silent(pr) {
		defer p.ways.lost(pr.target)
	}
	if sl := p.state.Load().port(pr.slave.name); sl == nil || sl.why != "" || sl.index != pr.slave.index {
		why := "went away"
		if sl != nil && sl.why != "" {
			why = sl.why
		}
		p.failed(pr.relay, pr.target, failure{pr.slave, schemas.SlaveDown, pr.slave.name + " " + why + " while the probe waited for its answer"})
		return
	}
	pr.slave.metrics.unreachable.Inc()
	p.log.Debug("target did not answer", "slave", pr.slave.name, "target", pr.target, "relay", pr.relay, "waited", p.timeout)
	p.reporter.unanswered(pr)
}

// silent notes that a probe was not answered, and reports whether the target is
// silent behind every slave.
func (p *prober) silent(pr *probe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets.get(pr.target)
	t.pending--
	if t.pending > 0 || t.answered {
		return false
	}
	t.silent, t.known, t.askers = t.silent+1, false, nil
	// What was begun is held down longer from now on, unless it was ended since.
	if !t.until.IsZero() {
		t.until = pr.sent
		t.hold(pr.sent, p.period)
	}
	return true
}

// release ends the hold-down of a target that was silent: the kernel has heard of
// it, or it was where it is no more, and may be anywhere.
func (p *prober) release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.targets.byAddr[a]; ok && t.silent > 0 {
		t.release()
	}
}

// ask has the station that a target was found at say again that it has it. It
// bears no hold-down: only what is kept is asked so.
func (p *prober) ask(sl *slave, target netip.Addr, at *schemas.MAC) {
	p.mu.Lock()
	soliciting := p.solicits(sl) && !p.stopped
	if soliciting && p.nd.solicit(sl, target, at) == nil {
		sl.metrics.solicited.Inc()
	}
	p.mu.Unlock()
	if !soliciting {
		p.probe(question{target: target, slaves: []*slave{sl}, now: true, first: true}, time.Now())
	}
}

// update makes the prober work with a new state. When a slave has come into use
// every target may be probed again at once, for it may be found there.
func (p *prober) update(st *state, cameUp bool) {
	p.state.Store(st)
	if cameUp {
		p.mu.Lock()
		p.targets.release()
		p.mu.Unlock()
	}
}
