package hostroute

import (
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

const (
	// claimWait is how long the stations on a master's link have to answer for a target
	// that was found behind a slave. One that the kernel has found there before has
	// answerWait, because it may sleep.
	claimWait = 30 * time.Millisecond
	// announcements is how often a target that has moved is announced where it was (RFC
	// 4861, sections 7.2.6 and 10: MAX_NEIGHBOR_ADVERTISEMENT), and announceEvery is the
	// time between two (RetransTimer).
	announcements = 3
	announceEvery = time.Second
)

// found decides where a target is that answered a probe; e is nil if it was at no known
// location.
//
// An address that is alive on a master's link is never given to a slave: the traffic of
// all hosts to the router upstream would follow a host that claims that router's address.
// Between two slaves, a target stays where it was as long as it answers there. What
// another router answers for counts only where the target does not answer itself.
func (k *Keeper) found(e *entry, n *event, now time.Time) {
	added := e == nil
	switch {
	case added:
		if e = k.add(n, now); e == nil {
			return
		}
	case e.at.On.Index == n.at.On.Index:
		// An answer to this host alone has no Override either (RFC 4861, section 7.2.4).
		k.change(func() {
			e.answered, e.searching, e.claim, e.at.Proxied = now, false, false, e.at.Proxied && n.at.Proxied
		})
		e.placed, e.idle = now, false
		if n.at.MAC != nil {
			k.setMAC(e, n.at.MAC)
		}
	case e.searching, e.at.Proxied && !n.at.Proxied:
		k.move(e, n.at, now)
	case n.at.Proxied:
		return // it answers itself where it is
	case e.rival != nil && e.rival.Proxied: // this is the target itself
		e.await(n.requesters)
		e.rival = &n.at
		return
	case n.at.On.Master && !e.at.On.Master:
		from := port.Location{On: e.at.On}
		k.move(e, n.at, now)
		k.prober.Verify(e.target, from) // its answer, if any, makes a rival
	default:
		e.await(n.requesters)
		if e.rival == nil || !k.silent(e) { // otherwise it is being verified
			e.rival = &n.at
			k.verify(e, now)
		}
		return
	}
	if e.rival != nil {
		e.await(n.requesters)
		return
	}
	for _, r := range n.requesters {
		k.answer(e, r)
	}
	if added {
		if !e.direct || e.tunnel {
			k.askMasters(e) // an answer takes the target away from the slave
		}
		k.logAdded(e)
	}
}

// answer answers a requester, or one that tests whether it can have the target.
func (k *Keeper) answer(e *entry, to port.Requester) {
	tests := to.Addr.IsUnspecified()
	if !e.serves(to) || tests && e.at.MAC != nil && *e.at.MAC == to.MAC {
		return
	}
	k.prober.Answer(to, e.target)
	if tests {
		k.conflict(e, port.Location{On: to.On, MAC: &to.MAC}, true)
	}
}

// add makes an entry for a target that was found; nil if it gets none. If the target has
// a rival, it is known by and by where it is.
func (k *Keeper) add(n *event, now time.Time) *entry {
	if free := maxEntries - len(k.byTarget); free <= 0 || n.at.MAC != nil && k.byMAC[*n.at.MAC] >= free {
		k.metrics.refused.Inc()
		k.log.Debug("no host route for a target: there are too many, or too many to its Ethernet address", "target", n.target, "host_routes", len(k.byTarget), "ethernet", n.at.MAC)
		return nil
	}
	treatment, masters := k.treat(n.target, n.at.On)
	if treatment == ignored {
		k.noPrefix(n, now)
		return nil
	}
	e := &entry{target: n.target, at: port.Location{On: n.at.On, Proxied: n.at.Proxied}, direct: treatment == located, tunnel: k.Tunnelled(n.target, n.at.On), masters: masters, placed: now, answered: now}
	if (treatment == routed || e.tunnel) && k.claimed(e, n, now) {
		k.insert(e)
		k.askMasters(e) // an answer may come at once
		return e
	}
	if err := k.install(e, now); err != nil {
		k.failed("adding", e, err)
		return nil
	}
	k.resend(e, now)
	k.insert(e)
	k.setMAC(e, n.at.MAC)
	return e
}

func (k *Keeper) insert(e *entry) {
	k.change(func() { k.byTarget[e.target] = e })
	k.count()
}

// await has requesters wait for an answer.
func (e *entry) await(requesters []port.Requester) {
	e.waiting = append(e.waiting, requesters[:min(len(requesters), maxRequesters-len(e.waiting))]...)
}

// claimed reports whether a target that was found behind a slave waits until the masters'
// links were asked. It does if the kernel has it there, and unless a requester there waits
// for it: the target's station has heard that one's solicitation too. The entry begins on
// the master then, with the slave as the rival.
func (k *Keeper) claimed(e *entry, n *event, now time.Time) bool {
	var asked *port.Port
	wait := claimWait
	for _, m := range k.masters(e) {
		if !m.ND || m.Why != "" {
			continue // without Neighbor Discovery there is no one to ask
		}
		if asked == nil {
			asked = m
		}
		if _, mac, err := k.kernel.Neighbour(e.target, m.Index); err == nil && mac != nil {
			asked, wait = m, answerWait
			break
		}
	}
	heard := !n.at.Proxied && heardBy(n.requesters)
	if asked == nil || wait == claimWait && (heard || !k.claims.push(e.target, asked, now.Add(wait))) {
		return false
	}
	e.at, e.direct, e.tunnel, e.claim, e.rival = port.Location{On: asked}, true, false, true, &n.at
	e.answered, e.verified, e.unheard = time.Time{}, now, wait == claimWait
	e.then, n.then = n.then, nil
	return true
}

// awaited answers requesters that wait for a target. One on a master's link, where no one is
// known to have it, does not wait for that link, as if the target had been found for it.
func (k *Keeper) awaited(e *entry, requesters []port.Requester, now time.Time) {
	e.await(requesters)
	switch {
	case e.rival == nil:
		k.settle(e)
	case e.claim && e.unheard && heardBy(requesters):
		k.move(e, *e.rival, now)
		k.askMasters(e)
	}
}

// heardBy reports whether the stations on a master's link have heard the solicitation of
// one of the requesters.
func heardBy(requesters []port.Requester) bool {
	return slices.ContainsFunc(requesters, func(r port.Requester) bool { return r.On.Master })
}

// askMasters solicits for a target on the links of its masters. It does so by multicast:
// at the Ethernet address that the kernel has, another relay could answer for it, and the
// answer of a host itself could not be told from that (RFC 4861, section 7.2.4).
func (k *Keeper) askMasters(e *entry) {
	for _, m := range k.masters(e) {
		if m.ND && m.Why == "" {
			k.prober.Verify(e.target, port.Location{On: m})
		}
	}
}

// settle ends the doubts about a target that answers where it is.
func (k *Keeper) settle(e *entry) {
	if e.rival != nil {
		if !e.rival.Proxied {
			k.conflict(e, *e.rival, false)
		}
		e.rival = nil
		k.change(func() { e.claim = false })
	}
	for _, r := range e.waiting {
		k.answer(e, r)
	}
	e.waiting = nil
	e.follow(!e.at.On.Master)
}

// follow calls what has to follow a claim.
func (e *entry) follow(here bool) {
	if e.then != nil {
		e.then(here)
		e.then = nil
	}
}

func (k *Keeper) conflict(e *entry, other port.Location, tested bool) {
	if k.cfg.Conflict != nil {
		k.cfg.Conflict(e.target, e.at, other, tested)
	}
}

// depart has a target announced on the link that it has left: the stations there have
// its Ethernet address, and would solicit again only after half a minute.
func (k *Keeper) depart(e *entry, from *port.Port, now time.Time) {
	if k.cfg.Proxy && from.Index != e.at.On.Index && (!from.Master || slices.Contains(e.masters, from.Index)) {
		e.left, e.announcements, e.announce = from.Index, announcements, now
		k.announceAgain(e, now)
	}
}

func (k *Keeper) announceAgain(e *entry, now time.Time) {
	if e.announcements == 0 || now.Before(e.announce) {
		return
	}
	e.announcements--
	e.announce = now.Add(announceEvery)
	if on := k.ports.Load().At(e.left); on != nil && on.Index != e.at.On.Index && !e.searching {
		k.prober.Announce(on, e.target)
	}
}
