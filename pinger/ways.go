package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// ways keeps the way to each target that was found behind a slave: a route to it
// through that slave, and a proxy neighbour entry on the masters, so that it is
// found and reached from there. A way is made only of a target's own answer to our
// solicitation; what the kernel hears of a neighbour has that solicited. While it
// is kept the target is asked again and again, and when it is silent it is looked
// for behind all slaves: it has moved, or it has gone, and so does its way.
//
// A target that was found on a master has no route and no entry, but is known for
// a while, so that who asks for it behind a slave gets an answer.
//
// All methods do nothing on nil, where no ways are kept. What changes the kernel
// is done by run alone.
type ways struct {
	kernel  wayKernel
	prober  *prober
	route   bool
	proxy   bool
	verify  time.Duration
	log     *slog.Logger
	metrics *metrics
	notes   chan note

	mu       sync.RWMutex
	byTarget map[netip.Addr]*way
	byMAC    map[schemas.MAC]int // how many ways lead to a station
}

// wayKernel is what of the kernel makes a way.
type wayKernel interface {
	// onLink reports whether an interface's link is where the kernel looks for
	// the target: a route to its prefix goes there without a gateway.
	onLink(target netip.Addr, index int) (bool, error)
	setRoute(target netip.Addr, index int) error
	removeRoute(target netip.Addr, index int) error
	// setProxy makes a proxy neighbour entry, unless somebody else has.
	setProxy(target netip.Addr, index int) error
	removeProxy(target netip.Addr, index int) error
}

const (
	// maxWays bounds the ways. A station may have as many as it leaves free.
	maxWays = 4096
	// verifiedEach is how many targets are asked in a second: where there are more,
	// each is asked more seldom.
	verifiedEach = 200
	// answerWait is how long a target that is asked may take before it is looked
	// for elsewhere. Nothing is lost by asking too early.
	answerWait = 300 * time.Millisecond
	// knownOnMaster is for how long a target on a master is known.
	knownOnMaster = 30 * time.Second
	wayTick       = 100 * time.Millisecond
	// reassure is how often route and proxy entry are looked after.
	reassure = 10 * time.Second
	maxNotes = 1024
)

// way leads to a target.
type way struct {
	target netip.Addr
	on     *slave
	mac    *schemas.MAC

	answered time.Time // when the target answered last
	asked    time.Time // when it was asked last
	assured  time.Time // when the kernel's part was looked after last
	// lookedFor: the target did not answer, and is looked for everywhere.
	lookedFor bool
	// rival is where the target was found too; it goes there unless it answers here.
	rival *sighting
}

// sighting is a target's answer from behind a slave.
type sighting struct {
	on  *slave
	mac *schemas.MAC
}

// note is something that run has to look into.
type note struct {
	kind   noteKind
	target netip.Addr
	on     *slave
	mac    *schemas.MAC
	askers []asker
	state  *state
}

type noteKind uint8

const (
	noteFound   noteKind = iota // the target answered a probe
	noteHint                    // it may be there
	noteDoubt                   // it may be there no more
	noteLost                    // it is silent behind every slave
	noteChanged                 // slaves or masters changed
)

func newWays(cfg Config, k wayKernel, p *prober, m *metrics, log *slog.Logger) *ways {
	if !cfg.Route && !cfg.Proxy {
		return nil
	}
	return &ways{
		kernel: k, prober: p, route: cfg.Route, proxy: cfg.Proxy, verify: cfg.Verify, log: log, metrics: m,
		notes: make(chan note, maxNotes), byTarget: make(map[netip.Addr]*way), byMAC: make(map[schemas.MAC]int),
	}
}

// known returns the way to a target that has answered lately.
func (w *ways) known(target netip.Addr) (sighting, bool) {
	if w == nil {
		return sighting{}, false
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	way, ok := w.byTarget[target]
	if !ok || way.lookedFor {
		return sighting{}, false
	}
	return sighting{way.on, way.mac}, true
}

// heard takes any answer of a target: it is where it was. What is asked at an
// Ethernet address answers without saying that one, and without override.
func (w *ways) heard(on *slave, a *advertisement) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if way, ok := w.byTarget[a.target]; ok && way.on.index == on.index && (a.mac == nil || way.mac != nil && *a.mac == *way.mac) {
		way.answered = time.Now()
	}
}

// found has a way kept to a target, and those who asked for it answered.
func (w *ways) found(target netip.Addr, on *slave, mac *schemas.MAC, askers []asker) {
	w.push(note{kind: noteFound, target: target, on: on, mac: mac, askers: askers})
}

// hint has a target looked for behind a slave where something was heard of it.
func (w *ways) hint(target netip.Addr, on *slave) {
	if s, ok := w.known(target); !ok || s.on.index != on.index {
		w.push(note{kind: noteHint, target: target, on: on})
	}
}

// doubt has a target asked whether it is still where it was, if that is not on a
// link where something was heard of it.
func (w *ways) doubt(target netip.Addr, on *slave) {
	if s, ok := w.known(target); ok && s.on.index != on.index {
		w.push(note{kind: noteDoubt, target: target})
	}
}

// gone has a target asked whether it is still where the kernel has lost it.
func (w *ways) gone(target netip.Addr, index int) {
	if s, ok := w.known(target); ok && s.on.index == index {
		w.push(note{kind: noteDoubt, target: target})
	}
}

// lost has the way to a target that is silent everywhere removed.
func (w *ways) lost(target netip.Addr) {
	if w == nil {
		return
	}
	w.mu.RLock()
	_, ok := w.byTarget[target]
	w.mu.RUnlock()
	if ok {
		w.push(note{kind: noteLost, target: target})
	}
}

// changed has the ways brought in step with the host's interfaces.
func (w *ways) changed(st *state) { w.push(note{kind: noteChanged, state: st}) }

// push hands a note to run. What finds no room is only counted: who asks, asks
// again, and what is silent is looked into by itself.
func (w *ways) push(n note) {
	if w == nil {
		return
	}
	select {
	case w.notes <- n:
	default:
		w.metrics.waysDropped.Inc()
	}
}

// run makes, follows and removes ways until ctx ends, and then removes all.
func (w *ways) run(ctx context.Context) error {
	if w == nil {
		return nil
	}
	// The tick runs while there are ways.
	tick := time.NewTimer(wayTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.removeAll()
		case n := <-w.notes:
			w.look(&n)
			if len(w.byTarget) == 1 {
				tick.Reset(wayTick)
			}
		case <-tick.C:
			w.ask(time.Now())
			if len(w.byTarget) > 0 {
				tick.Reset(wayTick)
			}
		}
	}
}

// look looks into a note.
func (w *ways) look(n *note) {
	way := w.byTarget[n.target]
	switch n.kind {
	case noteFound:
		w.place(way, n)
	case noteHint:
		if way == nil && !w.wanted(n.target) {
			return
		}
		// Any host can have the kernel hear of as many as it likes.
		w.prober.probe(question{target: n.target, source: n.on.source, slaves: []*slave{n.on}}, time.Now())
	case noteDoubt:
		if way != nil && !way.lookedFor {
			w.askNow(way, time.Now())
		}
	case noteLost:
		if way != nil && way.lookedFor {
			w.remove(way, "it does not answer any more")
		}
	case noteChanged:
		w.follow(n.state)
	}
}

// place notes where a target was found.
func (w *ways) place(at *way, n *note) {
	now := time.Now()
	switch {
	case at == nil:
		if at = w.add(n, now); at == nil {
			return
		}
	case at.on.index != n.on.index && at.lookedFor:
		w.move(at, sighting{n.on, n.mac}, now)
	case at.on.index != n.on.index:
		// It has moved, or is there twice: it stays where it was if it answers.
		at.rival = &sighting{n.on, n.mac}
		w.askNow(at, now)
		return
	default:
		w.put(at, func() { at.answered, at.lookedFor = now, false })
		w.setMAC(at, n.mac)
	}
	for _, asker := range n.askers {
		if asker.on.index != at.on.index {
			// A refusal is counted with the asker's next solicitation.
			_ = w.prober.answerFor(at.target, asker, now)
		}
	}
}

// put changes what known reads.
func (w *ways) put(at *way, change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// wanted reports whether a way to a target may be kept: only to what the kernel
// would look for on a master's link. Whatever else a host claims to be would turn
// traffic for others to it.
func (w *ways) wanted(target netip.Addr) bool {
	for _, m := range w.prober.state.Load().masters {
		if m.index == 0 {
			continue
		}
		switch on, err := w.kernel.onLink(target, m.index); {
		case err != nil:
			w.log.Debug("no way to a target", "target", target, "error", err)
		case on:
			return true
		}
	}
	return false
}

// add makes a way, nil if there may be none.
func (w *ways) add(n *note, now time.Time) *way {
	if !w.wanted(n.target) {
		w.log.Debug("no way is kept to a target: no master has its prefix on the link", "target", n.target, "slave", n.on.name)
		return nil
	}
	if free := maxWays - len(w.byTarget); free <= 0 || n.mac != nil && w.byMAC[*n.mac] >= free {
		w.metrics.waysRefused.Inc()
		w.log.Debug("no way is kept to a target: there are too many, or too many to its Ethernet address", "target", n.target, "ways", len(w.byTarget), "ethernet", n.mac)
		return nil
	}
	at := &way{target: n.target, on: n.on, answered: now}
	w.setMAC(at, n.mac)
	if err := w.install(at, now); err != nil {
		w.log.Error("making the way to a target", "target", n.target, "slave", n.on.name, "error", err)
		w.setMAC(at, nil)
		return nil
	}
	w.put(at, func() { w.byTarget[n.target] = at })
	w.count()
	if at.on.master {
		w.log.Debug("target is on a master's link", "target", at.target, "master", at.on.name)
	} else {
		w.log.Info("way made", "target", at.target, "slave", at.on.name, "ethernet", n.mac, "route", w.route, "proxy", w.proxy)
	}
	return at
}

func (w *ways) count() { w.metrics.ways.Set(float64(len(w.byTarget))) }

// setMAC notes the station that a target is at, nil if it is not known.
func (w *ways) setMAC(at *way, mac *schemas.MAC) {
	if at.mac != nil {
		if w.byMAC[*at.mac]--; w.byMAC[*at.mac] == 0 {
			delete(w.byMAC, *at.mac)
		}
	}
	if mac != nil {
		w.byMAC[*mac]++
	}
	w.put(at, func() { at.mac = mac })
}

// install makes the kernel's part of a way, or makes sure of it. First the route,
// so that who hears of the target reaches it.
func (w *ways) install(at *way, now time.Time) error {
	at.assured = now
	if at.on.master {
		return nil
	}
	if w.route {
		if err := w.kernel.setRoute(at.target, at.on.index); err != nil {
			return err
		}
	}
	var errs []error
	for _, m := range w.proxies() {
		errs = append(errs, w.kernel.setProxy(at.target, m.index))
	}
	return errors.Join(errs...)
}

// proxies are the masters with a proxy entry for each target behind a slave.
func (w *ways) proxies() []*slave {
	if !w.proxy {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(w.prober.state.Load().masters), func(m *slave) bool { return m.index == 0 })
}

// uninstall removes the kernel's part of a way. That it has gone already is no
// error.
func (w *ways) uninstall(at *way) error {
	if at.on.master {
		return nil
	}
	// First the entry: nobody is told of the target any more.
	var errs []error
	for _, m := range w.proxies() {
		errs = append(errs, w.kernel.removeProxy(at.target, m.index))
	}
	if w.route {
		errs = append(errs, w.kernel.removeRoute(at.target, at.on.index))
	}
	return errors.Join(errs...)
}

// move has a way lead to where its target is now.
func (w *ways) move(at *way, to sighting, now time.Time) {
	from := at.on
	if to.on.master {
		if err := w.uninstall(at); err != nil {
			w.log.Error("removing the way to a target", "target", at.target, "slave", from.name, "error", err)
		}
	}
	w.put(at, func() {
		at.on, at.answered, at.lookedFor, at.rival = to.on, now, false, nil
	})
	w.setMAC(at, to.mac)
	// The route through the one slave takes the place of that through the other.
	if err := w.install(at, now); err != nil {
		w.log.Error("making the way to a target", "target", at.target, "slave", to.on.name, "error", err)
		w.remove(at, "its way cannot be made")
		return
	}
	w.metrics.waysMoved.Inc()
	w.log.Info("target moved", "target", at.target, "from", from.name, "to", to.on.name, "ethernet", to.mac)
}

func (w *ways) remove(at *way, why string) {
	w.put(at, func() { delete(w.byTarget, at.target) })
	w.setMAC(at, nil)
	w.count()
	if err := w.uninstall(at); err != nil {
		w.log.Error("removing the way to a target", "target", at.target, "slave", at.on.name, "error", err)
	}
	if !at.on.master {
		w.log.Info("way removed", "target", at.target, "slave", at.on.name, "why", why)
	}
}

func (w *ways) removeAll() error {
	var errs []error
	for _, at := range w.byTarget {
		if err := w.uninstall(at); err != nil {
			errs = append(errs, fmt.Errorf("removing the way to %v behind %s: %w", at.target, at.on.name, err))
		}
	}
	return errors.Join(errs...)
}

// ask asks the targets whose turn it is, and looks into what those that were asked
// have not answered.
func (w *ways) ask(now time.Time) {
	each := max(w.verify, time.Duration(len(w.byTarget))*time.Second/verifiedEach)
	for _, at := range w.byTarget {
		w.mu.RLock()
		answered := at.answered
		w.mu.RUnlock()
		switch {
		case at.lookedFor:
		case at.on.master:
			if now.Sub(answered) > knownOnMaster {
				w.remove(at, "")
			}
		case at.asked.After(answered) && now.Sub(at.asked) < answerWait: // it has time yet
		case at.asked.After(answered):
			if at.rival != nil {
				w.move(at, *at.rival, now)
				continue
			}
			w.lookEverywhere(at, now)
		case now.Sub(at.asked) >= each && now.Sub(answered) >= each:
			at.rival = nil
			w.askNow(at, now)
		default:
			at.rival = nil
			if now.Sub(at.assured) > reassure {
				if err := w.install(at, now); err != nil {
					w.log.Error("looking after the way to a target", "target", at.target, "slave", at.on.name, "error", err)
				}
			}
		}
	}
}

func (w *ways) askNow(at *way, now time.Time) {
	at.asked = now
	w.prober.ask(at.on, at.target, at.mac)
}

// lookEverywhere looks for a target that does not answer where it was. Where that
// is not possible for want of budget, it will be asked once more.
func (w *ways) lookEverywhere(at *way, now time.Time) {
	w.put(at, func() { at.lookedFor = true })
	if refused := w.lookBehind(at.target); refused != nil {
		w.put(at, func() { at.lookedFor = false })
		w.askNow(at, now)
	}
}

// lookBehind has a target looked for behind everything.
func (w *ways) lookBehind(target netip.Addr) *refusal {
	slaves := w.prober.state.Load().behind(nil, w.proxy)
	return w.prober.probe(question{target: target, slaves: slaves, now: true, first: true}, time.Now())
}

// follow brings the ways in step with slaves and masters that have changed.
func (w *ways) follow(st *state) {
	now := time.Now()
	for _, at := range w.byTarget {
		on := st.port(at.on.name)
		if on == nil || on.index != at.on.index || on.why != "" {
			why := "gone"
			if on != nil && on.why != "" {
				why = on.why
			}
			w.remove(at, at.on.name+" "+why)
			w.lookBehind(at.target)
			continue
		}
		w.put(at, func() { at.on = on })
		// The kernel removes routes when an interface goes down, which may be up
		// again by now, and a master may be a new one.
		if err := w.install(at, now); err != nil {
			w.log.Error("looking after the way to a target", "target", at.target, "slave", at.on.name, "error", err)
		}
	}
}
