package hostroute

import (
	"context"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
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
	// assureEvery is how often route and proxy entry are checked.
	assureEvery = 10 * time.Second
)

// Run makes, verifies and removes host routes until ctx ends, and then removes all.
func (k *Keeper) Run(ctx context.Context, prober Prober) error {
	k.prober = prober
	timer := time.NewTimer(tick)
	defer timer.Stop()
	ticking := true
	for {
		select {
		case <-ctx.Done():
			return k.removeAll()
		case e := <-k.events:
			k.process(&e, time.Now())
		case <-k.changed:
			k.followPorts(time.Now())
		case <-timer.C:
			ticking = false
			k.verifyAll(time.Now())
		}
		// Nothing ticks while there are no entries.
		if !ticking && len(k.byTarget) > 0 {
			ticking = true
			timer.Reset(tick)
		}
	}
}

func (k *Keeper) process(n *event, now time.Time) {
	e := k.byTarget[n.target]
	switch n.kind {
	case targetFound:
		k.found(e, n, now)
	case targetHint:
		if k.acceptsHint(now) && (e != nil || k.treatment(n.target, n.at.On) == routed) {
			k.prober.Look(n.target, []*port.Port{n.at.On}, false)
		}
	case targetDoubt:
		if e != nil && !e.searching && now.Sub(e.verified) >= verifyPause {
			k.verify(e, now)
		}
	case targetSilent:
		if e != nil && e.searching {
			k.remove(e, "it does not answer any more")
			k.prober.Release(n.target)
		}
	}
}

// acceptsHint counts the hints of a second.
func (k *Keeper) acceptsHint(now time.Time) bool {
	if now.Sub(k.hintsSince) >= time.Second {
		k.hintsSince, k.hints = now, 0
	}
	if k.hints++; k.hints > maxHints {
		k.metrics.dropped.Inc()
		return false
	}
	return true
}

// found updates the entry of a target that was found; e is nil if it has none.
func (k *Keeper) found(e *entry, n *event, now time.Time) {
	switch {
	case e == nil:
		if e = k.add(n.target, n.at, now); e == nil {
			return
		}
		defer k.logAdded(e, now) // after the requesters have their answers
	case e.at.On.Index != n.at.On.Index && e.searching:
		k.move(e, n.at, now)
	case e.at.On.Index != n.at.On.Index:
		// It has moved, or is there twice: it stays where it was if it answers there.
		e.rival = &n.at
		k.verify(e, now)
		return
	default:
		k.change(func() { e.answered, e.searching = now, false })
		k.setMAC(e, n.at.MAC)
	}
	for _, r := range n.requesters {
		if r.On.Index != e.at.On.Index {
			k.prober.Answer(r, e.target)
		}
	}
}

// verifyAll verifies the targets that are due, and looks for those that have not
// answered.
func (k *Keeper) verifyAll(now time.Time) {
	each := max(k.cfg.Verify, time.Duration(len(k.byTarget))*time.Second/verifiedPerSecond)
	for _, e := range k.byTarget {
		k.mu.RLock()
		answered := e.answered
		k.mu.RUnlock()
		switch {
		case e.searching:
		case e.verified.After(answered) && now.Sub(e.verified) < answerWait: // it may answer yet
		case e.verified.After(answered):
			if e.rival != nil {
				k.move(e, *e.rival, now)
				continue
			}
			k.search(e, now)
		case e.direct:
			if e.rival = nil; now.Sub(answered) > directFor {
				k.remove(e, "")
			}
		case now.Sub(e.verified) >= each && now.Sub(answered) >= each:
			e.rival = nil
			k.verify(e, now)
		default:
			e.rival = nil
			if now.Sub(e.assured) > assureEvery {
				k.assure(e, now)
			}
		}
	}
}

func (k *Keeper) verify(e *entry, now time.Time) {
	e.verified = now
	k.prober.Verify(e.target, e.at)
}

// search looks everywhere for a target that does not answer at its location. Without
// budget for that it is verified once more.
func (k *Keeper) search(e *entry, now time.Time) {
	k.change(func() { e.searching = true })
	if !k.lookEverywhere(e.target) {
		k.change(func() { e.searching = false })
		k.verify(e, now)
	}
}

func (k *Keeper) lookEverywhere(target netip.Addr) bool {
	return k.prober.Look(target, k.ports.Load().Behind(nil, k.cfg.Proxy), true)
}

// followPorts updates the entries after slaves or masters have changed.
func (k *Keeper) followPorts(now time.Time) {
	ports := k.ports.Load()
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
		// The kernel removes routes when an interface goes down, which may be up
		// again by now, and a master may be a new one.
		k.assure(e, now)
	}
}
