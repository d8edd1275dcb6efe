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
// A target that was found where the kernel looks for it anyway, on a master as a
// rule, needs no route and no entry. It is known for a while, so that who asks for
// it elsewhere gets an answer.
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

	hintsSince time.Time
	hints      int

	mu       sync.RWMutex
	byTarget map[netip.Addr]*way
	byMAC    map[schemas.MAC]int // how many ways lead to a station
}

// wayKernel is what of the kernel makes a way.
type wayKernel interface {
	// home returns the interface on whose link the kernel looks for a target by
	// itself, 0 if on none.
	home(target netip.Addr) (index int, err error)
	// onLink reports whether the kernel would look for the target on an
	// interface's link, if it had to send there: a route to its prefix goes there
	// without a gateway.
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
	// askedAgain is how often it is asked at most.
	askedAgain = 10 * time.Millisecond
	// knownAtHome is for how long a target is known that needs no way.
	knownAtHome = 30 * time.Second
	wayTick     = 100 * time.Millisecond
	// reassure is how often route and proxy entry are looked after.
	reassure = 10 * time.Second
	maxNotes = 1024
	// maxHints is how many hints are looked into in a second.
	maxHints = 1000
)

// way leads to a target.
type way struct {
	target netip.Addr
	on     *slave
	mac    *schemas.MAC
	// atHome: the kernel looks for it where it is.
	atHome bool

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
	if !cfg.keepsWays() {
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

// gone has a target asked whether it is still where it does not seem to be any more.
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
	tick := time.NewTimer(wayTick)
	defer tick.Stop()
	ticking := true
	for {
		select {
		case <-ctx.Done():
			return w.removeAll()
		case n := <-w.notes:
			w.look(&n)
		case <-tick.C:
			ticking = false
			w.ask(time.Now())
		}
		// Nothing ticks where there are no ways.
		if !ticking && len(w.byTarget) > 0 {
			ticking = true
			tick.Reset(wayTick)
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
		if !w.takesHint(time.Now()) || way == nil && w.standing(n.target, n.on) != foreign {
			return
		}
		w.prober.probe(question{target: n.target, source: n.on.source, slaves: []*slave{n.on}}, time.Now())
	case noteDoubt:
		if now := time.Now(); way != nil && !way.lookedFor && now.Sub(way.asked) >= askedAgain {
			w.askNow(way, now)
		}
	case noteLost:
		if way != nil && way.lookedFor {
			w.remove(way, "it does not answer any more")
			w.prober.release(n.target)
		}
	case noteChanged:
		w.follow(n.state)
	}
}

// takesHint counts the hints of a second: any host can have the kernel hear of as
// many neighbours as it likes.
func (w *ways) takesHint(now time.Time) bool {
	if now.Sub(w.hintsSince) >= time.Second {
		w.hintsSince, w.hints = now, 0
	}
	if w.hints++; w.hints > maxHints {
		w.metrics.waysDropped.Inc()
		return false
	}
	return true
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

// standing is what there is to be done for a target behind an interface.
type standing uint8

const (
	// stranger: nothing. Whatever a host claims to be, only what it could take
	// from a master's link comes to it.
	stranger standing = iota
	// atHome: nothing has to be, the kernel looks for it there.
	atHome
	// foreign: the kernel would look for it on a master's link. To such a target
	// alone a way is kept.
	foreign
)

// standing returns that of a target behind an interface.
func (w *ways) standing(target netip.Addr, on *slave) standing {
	home, err := w.kernel.home(target)
	switch {
	case err != nil:
		return stranger
	case home == on.index:
		return atHome
	}
	for _, m := range w.masters(on) {
		if there, err := w.kernel.onLink(target, m.index); err == nil && there {
			return foreign
		}
	}
	return stranger
}

// masters are those that exist, but for one that the target is behind itself.
func (w *ways) masters(on *slave) []*slave {
	return slices.DeleteFunc(slices.Clone(w.prober.state.Load().masters), func(m *slave) bool { return m.index == 0 || m.index == on.index })
}

// add makes a way, nil if there may be none.
func (w *ways) add(n *note, now time.Time) *way {
	standing := w.standing(n.target, n.on)
	if standing == stranger {
		w.log.Debug("no way is kept to a target: no master has its prefix on the link", "target", n.target, "slave", n.on.name)
		return nil
	}
	if free := maxWays - len(w.byTarget); free <= 0 || n.mac != nil && w.byMAC[*n.mac] >= free {
		w.metrics.waysRefused.Inc()
		w.log.Debug("no way is kept to a target: there are too many, or too many to its Ethernet address", "target", n.target, "ways", len(w.byTarget), "ethernet", n.mac)
		return nil
	}
	at := &way{target: n.target, on: n.on, atHome: standing == atHome, answered: now}
	w.setMAC(at, n.mac)
	if err := w.install(at, now); err != nil {
		w.log.Error("making the way to a target", "target", n.target, "slave", n.on.name, "error", err)
		w.setMAC(at, nil)
		return nil
	}
	w.put(at, func() { w.byTarget[n.target] = at })
	w.count()
	if at.atHome {
		w.log.Debug("target is where the kernel looks for it", "target", at.target, "on", at.on.name)
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
	if at.atHome {
		return nil
	}
	if w.route {
		if err := w.kernel.setRoute(at.target, at.on.index); err != nil {
			return err
		}
	}
	return w.proxies(at, w.kernel.setProxy)
}

// assure looks after the kernel's part of a way that was made.
func (w *ways) assure(at *way, now time.Time) {
	if err := w.install(at, now); err != nil {
		w.log.Error("looking after the way to a target", "target", at.target, "slave", at.on.name, "error", err)
	}
}

// uninstall removes the kernel's part of a way. That it has gone already is no
// error.
func (w *ways) uninstall(at *way) error {
	if at.atHome {
		return nil
	}
	// First the entry: nobody is told of the target any more.
	err := w.proxies(at, w.kernel.removeProxy)
	if w.route {
		err = errors.Join(err, w.kernel.removeRoute(at.target, at.on.index))
	}
	return err
}

// proxies changes the proxy entries of a way.
func (w *ways) proxies(at *way, change func(target netip.Addr, index int) error) error {
	if !w.proxy {
		return nil
	}
	var errs []error
	for _, m := range w.masters(at.on) {
		errs = append(errs, change(at.target, m.index))
	}
	return errors.Join(errs...)
}

// move has a way lead to where its target is now.
func (w *ways) move(at *way, to sighting, now time.Time) {
	from := at.on
	home, err := w.leave(at, to.on)
	if err != nil {
		w.log.Error("removing the way to a target", "target", at.target, "slave", from.name, "error", err)
	}
	w.put(at, func() {
		at.on, at.atHome, at.answered, at.lookedFor, at.rival = to.on, home, now, false, nil
	})
	w.setMAC(at, to.mac)
	if err := w.install(at, now); err != nil {
		w.log.Error("making the way to a target", "target", at.target, "slave", to.on.name, "error", err)
		w.remove(at, "its way cannot be made")
		return
	}
	w.metrics.waysMoved.Inc()
	w.log.Info("target moved", "target", at.target, "from", from.name, "to", to.on.name, "ethernet", to.mac)
}

// leave removes of a way what would be wrong when its target is behind another
// interface, and reports whether it is at home there. The route may stay where it is
// replaced.
func (w *ways) leave(at *way, to *slave) (home bool, err error) {
	if onLink, _ := w.kernel.onLink(at.target, to.index); onLink {
		err = w.uninstall(at)
		return w.standing(at.target, to) == atHome, err
	}
	if w.proxy {
		err = w.kernel.removeProxy(at.target, to.index) // where there are several masters
	}
	return false, err
}

func (w *ways) remove(at *way, why string) {
	w.put(at, func() { delete(w.byTarget, at.target) })
	w.setMAC(at, nil)
	w.count()
	if err := w.uninstall(at); err != nil {
		w.log.Error("removing the way to a target", "target", at.target, "slave", at.on.name, "error", err)
	}
	if !at.atHome {
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
		case at.asked.After(answered) && now.Sub(at.asked) < answerWait: // it has time yet
		case at.asked.After(answered):
			if at.rival != nil {
				w.move(at, *at.rival, now)
				continue
			}
			w.lookEverywhere(at, now)
		case at.atHome:
			if at.rival = nil; now.Sub(answered) > knownAtHome {
				w.remove(at, "")
			}
		case now.Sub(at.asked) >= each && now.Sub(answered) >= each:
			at.rival = nil
			w.askNow(at, now)
		default:
			at.rival = nil
			if now.Sub(at.assured) > reassure {
				w.assure(at, now)
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
		w.assure(at, now)
	}
}
