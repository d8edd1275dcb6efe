package hostroute

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

const (
	tick = 100 * time.Millisecond
	// verifiedPerSecond is how many targets are verified per second: with more
	// targets, each is verified less often.
	verifiedPerSecond = 200
	// answerWait is how long a target may take to answer before it is looked for
	// elsewhere. A look too early does no harm.
	answerWait = 300 * time.Millisecond
	// verifyPause is the shortest time between two verifications of a target.
	verifyPause = 10 * time.Millisecond
	// directFor is how long the location of a target is cached that has no route.
	directFor = 30 * time.Second
	// assureEvery is how often an entry is reviewed.
	assureEvery = 10 * time.Second
	// testWait is after when a host has an address that it tests: RetransTimer (RFC 4862,
	// section 5.4; RFC 4861, section 10), and a little.
	testWait = time.Second + 50*time.Millisecond
	// late is by how much a timer may be late without anything having held up the process.
	late = 20 * time.Millisecond
	// searchEvery is how often a target that has left its location is solicited, and
	// searchesPerTick how many such targets at most.
	searchEvery     = 250 * time.Millisecond
	searchesPerTick = 20
)

// Run makes, verifies and removes host routes until ctx ends, and then removes all.
func (k *Keeper) Run(ctx context.Context, prober Prober) error {
	k.prober = prober
	timer, due := time.NewTimer(tick), time.NewTimer(tick)
	defer timer.Stop()
	defer due.Stop()
	ticking := true
	for {
		select {
		case <-ctx.Done():
			return k.removeAll()
		case e := <-k.events:
			k.process(&e, time.Now())
		case e := <-k.hinted:
			k.process(&e, time.Now())
		case <-k.changed:
			k.followPorts(time.Now())
		case r := <-k.rerouted:
			k.reroute(r, time.Now())
		case <-due.C:
			k.processDue(time.Now())
		case <-timer.C:
			ticking = false
			k.verifyAll(time.Now())
		}
		// Nothing ticks while there are no entries.
		if !ticking && len(k.byTarget) > 0 {
			ticking, k.ticked = true, time.Now()
			timer.Reset(tick)
		}
		for _, q := range [...]*queue{&k.claims, &k.later} {
			if next, ok := q.next(); ok {
				due.Reset(time.Until(next))
				break // a claim waits for less long than a hint
			}
		}
	}
}

func (k *Keeper) process(n *event, now time.Time) {
	e := k.byTarget[n.target]
	switch n.kind {
	case targetFound:
		k.found(e, n, now)
	case targetHint:
		k.hint(e, n.target, n.at.On, now)
	case targetTested:
		if e != nil && e.at.On.Index != n.at.On.Index {
			e.await(n.requesters)
			k.doubt(e, now)
		}
		if !k.later.push(n.target, n.at.On, now.Add(testWait)) {
			k.metrics.dropped.Inc()
		}
	case targetAwaited:
		if e != nil {
			k.awaited(e, n.requesters, now)
		}
	case targetDoubt:
		if e != nil {
			k.doubt(e, now)
		}
	case targetSilent:
		if e != nil && e.searching && k.keepsIdle(e, now) {
			e.idle, e.verified = true, now
		} else if e != nil && e.searching {
			k.remove(e, "it does not answer any more")
			k.prober.Release(n.target)
		}
	}
	if n.then != nil {
		e := k.byTarget[n.target]
		n.then(e == nil || e.at.On.Index == n.at.On.Index)
	}
}

// processDue processes the claims and hints whose time has come.
func (k *Keeper) processDue(now time.Time) {
	for c, ok := k.claims.pop(now); ok; c, ok = k.claims.pop(now) {
		switch e := k.byTarget[c.target]; {
		case e == nil || e.rival == nil: // it was decided
		case !k.silent(e):
			k.settle(e)
		case now.Sub(c.due) < late || now.Sub(e.verified) > answerWait || !k.claims.push(c.target, c.on, now.Add(claimWait)):
			k.move(e, *e.rival, now)
		default: // this process was held up, and there may be an answer that it has not read
			k.askMasters(e)
		}
	}
	for h, ok := k.later.pop(now); ok; h, ok = k.later.pop(now) {
		if e := k.byTarget[h.target]; e == nil || e.at.On.Index != h.on.Index {
			k.hint(e, h.target, h.on, now)
		}
	}
}

// hint has a target looked for that may be behind a port.
func (k *Keeper) hint(e *entry, target netip.Addr, on *port.Port, now time.Time) {
	if !k.acceptsHint(now) {
		return
	}
	if e == nil {
		switch treatment, _ := k.treat(target, on); treatment {
		case ignored:
			k.noPrefix(&event{kind: targetHint, target: target, at: port.Location{On: on}}, now)
			return
		case located:
			return
		}
	}
	k.prober.Look(target, []*port.Port{on}, false)
}

// acceptsHint counts the hints of a second.
func (k *Keeper) acceptsHint(now time.Time) bool {
	if k.hints.Count(now) > maxHints {
		k.metrics.dropped.Inc()
		return false
	}
	return true
}

// doubt verifies a target that may have left its location.
func (k *Keeper) doubt(e *entry, now time.Time) {
	if !e.searching && now.Sub(e.verified) >= verifyPause {
		k.verify(e, now)
	}
}

// verifyAll verifies the targets that are due, and looks for those that have not
// answered.
func (k *Keeper) verifyAll(now time.Time) {
	k.searches = 0
	wait := answerWait
	if now.Sub(k.ticked) > tick+late { // this process was held up: there may be answers that it has not read
		wait *= 2
	}
	k.ticked = now
	each := max(k.cfg.Verify, time.Duration(len(k.byTarget))*time.Second/verifiedPerSecond)
	for _, e := range k.byTarget {
		k.announceAgain(e, now)
		switch silent := k.silent(e); {
		case e.idle:
			k.searchIdle(e, now)
		case e.searching:
			k.searchAgain(e, now)
		case silent && now.Sub(e.verified) < wait: // it may answer yet
		case silent && e.rival != nil:
			k.move(e, *e.rival, now)
		case silent:
			k.search(e, now)
		default:
			k.settle(e)
			k.maintain(e, each, now)
		}
	}
}

// silent reports whether a target has not answered since it was verified.
func (k *Keeper) silent(e *entry) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return e.verified.After(e.answered)
}

// maintain keeps the entry of a target that is there.
func (k *Keeper) maintain(e *entry, each time.Duration, now time.Time) {
	k.mu.RLock()
	answered := e.answered
	k.mu.RUnlock()
	switch {
	case e.direct && !e.tunnel && now.Sub(e.placed) > directFor:
		k.remove(e, "")
	case e.direct && !e.tunnel && !e.moved: // no frames for the hosts of the master's link
	case now.Sub(e.verified) >= each && now.Sub(answered) >= each:
		k.verify(e, now)
	case now.Sub(e.assured) > assureEvery:
		k.review(e, now) // a prefix that has expired may be noticed by no change of routes
	}
}

func (k *Keeper) verify(e *entry, now time.Time) {
	e.verified = now
	switch {
	case !e.tunnel:
		k.prober.Verify(e.target, e.at)
	case k.Tunnelled(e.target, e.at.On):
		k.change(func() { e.answered = now })
	default:
		k.leftTunnel(e)
	}
}

// search looks everywhere for a target that does not answer at its location. Without
// budget for that it is verified once more.
func (k *Keeper) search(e *entry, now time.Time) {
	// One that tests the address may be the target, which has moved.
	e.waiting = slices.DeleteFunc(e.waiting, func(r port.Requester) bool { return r.Addr.IsUnspecified() })
	k.change(func() { e.searching = true })
	if !k.lookEverywhere(e.target) {
		k.change(func() { e.searching = false })
		k.verify(e, now)
	}
}

// searchAgain solicits for a target that is looked for, because it may test its address
// at a new location: it does not answer until it has it.
func (k *Keeper) searchAgain(e *entry, now time.Time) {
	if now.Sub(e.verified) < searchEvery || k.searches == searchesPerTick {
		return
	}
	k.searches++
	e.verified = now
	for _, on := range k.ports.Load().Behind(nil, k.cfg.Proxy) {
		if on.ND && on.Why == "" {
			k.prober.Verify(e.target, port.Location{On: on})
		}
	}
}

func (k *Keeper) lookEverywhere(target netip.Addr) bool {
	return k.prober.Look(target, k.ports.Load().Behind(nil, k.cfg.Proxy), true)
}

// followPorts updates the entries after slaves or masters have changed.
func (k *Keeper) followPorts(now time.Time) {
	ports := k.ports.Load()
	changed := k.newMACs(ports)
	for _, e := range k.byTarget {
		on := ports.Named(e.at.On.Name)
		if on == nil || on.Index != e.at.On.Index || on.Why != "" {
			why := "gone"
			if on != nil && on.Why != "" {
				why = on.Why
			}
			k.remove(e, e.at.On.Name+" "+why)
			k.lookEverywhere(e.target)
			continue
		}
		k.change(func() { e.at.On = on })
		k.review(e, now)
		for _, p := range changed {
			k.depart(e, p, now) // the stations there have this host's former address
		}
	}
}

// newMACs returns the ports whose Ethernet address is another one than before.
func (k *Keeper) newMACs(ports *port.Set) (changed []*port.Port) {
	macs := make(map[int]schemas.MAC)
	for _, p := range ports.All() {
		if old, ok := k.macs[p.Index]; ok && old != p.MAC {
			changed = append(changed, p)
		}
		macs[p.Index] = p.MAC
	}
	k.macs = macs
	return changed
}
