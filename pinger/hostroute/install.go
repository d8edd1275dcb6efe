package hostroute

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
)

// maxEntries bounds the entries. A station may have as many as it leaves free.
const maxEntries = 4096

// treatment says what a target gets that was found behind a port.
type treatment uint8

const (
	ignored treatment = iota // nothing: no master's link has its prefix
	located                  // an entry without route: the kernel looks for it there by itself
	routed                   // a route: the kernel would look on a master's link
)

// treat returns the treatment of a target that was found behind a port, and the other
// masters on whose links its prefix is. It ignores addresses that are on-link at no master:
// whatever address a host claims, it attracts only traffic that could go to a master's link.
func (k *Keeper) treat(target netip.Addr, on *port.Port) (t treatment, masters []int) {
	link, err := k.kernel.LinkOf(target)
	if err != nil {
		return ignored, nil
	}
	for _, m := range k.ports.Load().Masters {
		if m.Index == 0 || m.Index == on.Index {
			continue
		}
		onLink := link == m.Index
		if !onLink {
			onLink, _ = k.kernel.OnLink(target, m.Index)
		}
		if onLink {
			masters = append(masters, m.Index)
		}
	}
	_, routedThere := k.leads(target, on)
	switch {
	case link == on.Index, routedThere:
		return located, masters
	case len(masters) > 0:
		return routed, masters
	}
	return ignored, nil
}

// masters returns the masters of an entry that exist.
func (k *Keeper) masters(e *entry) []*port.Port {
	return slices.DeleteFunc(slices.Clone(k.ports.Load().Masters), func(m *port.Port) bool { return !slices.Contains(e.masters, m.Index) })
}

// review updates an entry after interfaces, addresses or routes have changed.
func (k *Keeper) review(e *entry, now time.Time) {
	if e.claim {
		return
	}
	treatment, masters := k.treat(e.target, e.at.On)
	switch {
	case e.tunnel && !k.Tunnelled(e.target, e.at.On):
		k.leftTunnel(e)
		return
	case treatment == ignored:
		k.remove(e, "its prefix is on-link at no master any more")
		k.unrouted.add(&event{kind: targetFound, target: e.target, at: e.at}, now) // the prefix may come back
		return
	case treatment == located && !e.direct:
		k.failed("removing", e, k.uninstall(e))
	}
	k.change(func() { e.direct, e.masters = treatment != routed, masters })
	e.tunnel = k.Tunnelled(e.target, e.at.On)
	// The kernel removes routes when an interface goes down, which may be up again by now.
	k.assure(e, now)
}

func (k *Keeper) logAdded(e *entry) {
	if e.direct {
		k.log.Debug("the kernel itself looks for the target where it is", "target", e.target, "on", e.at.On.Name)
	} else {
		k.log.Debug("host route added", "target", e.target, "slave", e.at.On.Name, "ethernet", e.at.MAC, "route", k.cfg.Route, "proxy", k.cfg.Proxy)
	}
}

// move has an entry follow its target.
func (k *Keeper) move(e *entry, to port.Location, now time.Time) {
	from, claim := e.at.On, e.claim
	onLink, _ := k.kernel.OnLink(e.target, to.On.Index)
	if _, routed := k.leads(e.target, to.On); onLink || routed {
		k.failed("removing", e, k.uninstall(e)) // otherwise the new route replaces it
	}
	treatment, masters := k.treat(e.target, to.On)
	k.change(func() {
		e.at.On, e.at.Proxied, e.direct, e.masters, e.answered, e.searching, e.claim = to.On, to.Proxied, treatment != routed, masters, now, false, false
	})
	e.rival, e.placed, e.moved, e.idle, e.tunnel = nil, now, true, false, k.Tunnelled(e.target, to.On)
	k.setMAC(e, to.MAC)
	if err := k.install(e, now); err != nil {
		k.failed("adding", e, err)
		k.remove(e, "its host route cannot be added")
		return
	}
	k.resend(e, now)
	k.depart(e, from, now)
	k.settle(e)
	if claim {
		k.logAdded(e)
		return
	}
	k.metrics.moved.Inc()
	k.notices.Info("target moved", "target", e.target, "from", from.Name, "to", to.On.Name, "ethernet", to.MAC)
}

// remove removes an entry.
func (k *Keeper) remove(e *entry, why string) {
	e.follow(false)
	k.change(func() { delete(k.byTarget, e.target) })
	k.setMAC(e, nil)
	k.count()
	k.failed("removing", e, k.uninstall(e))
	if !e.direct {
		k.log.Debug("host route removed", "target", e.target, "slave", e.at.On.Name, "why", why)
	}
}

func (k *Keeper) removeAll() error {
	var errs []error
	for _, e := range k.byTarget {
		if err := k.uninstall(e); err != nil {
			errs = append(errs, fmt.Errorf("removing the host route to %v behind %s: %w", e.target, e.at.On.Name, err))
		}
	}
	return errors.Join(errs...)
}

// assure makes sure that the kernel's part of an entry is there.
func (k *Keeper) assure(e *entry, now time.Time) { k.failed("checking", e, k.install(e, now)) }

// failed logs what the kernel has refused, if err is not nil.
func (k *Keeper) failed(doing string, e *entry, err error) {
	if err != nil {
		k.log.Error(doing+" a host route", "target", e.target, "slave", e.at.On.Name, "error", err)
	}
}

// install makes the route of an entry, or makes sure that it is there.
func (k *Keeper) install(e *entry, now time.Time) error {
	e.assured = now
	if e.direct || !k.cfg.Route {
		return nil
	}
	return k.kernel.SetRoute(e.target, e.at.On.Index)
}

// resend has the packets routed again that wait on the masters' links for a target that has
// got a route elsewhere.
func (k *Keeper) resend(e *entry, now time.Time) {
	if e.direct || !k.cfg.Route {
		return
	}
	var from []*iface.Link
	for _, p := range k.ports.Load().All() {
		if p.ND && p.Link != nil {
			from = append(from, p.Link)
		}
	}
	if len(from) > maxResendPorts {
		return
	}
	for _, m := range k.masters(e) {
		if !m.ND || m.Why != "" || k.resent.Counted(now) == maxResent {
			continue
		}
		waiting, err := k.kernel.Resend(e.target, m.Index, from)
		if err != nil {
			k.log.Debug("the first packets for a target are lost", "target", e.target, "error", err)
		} else if waiting {
			k.metrics.resent.Inc()
		}
		if waiting {
			k.resent.Count(now)
		}
	}
}

// uninstall removes the route of an entry.
func (k *Keeper) uninstall(e *entry) error {
	if e.direct || !k.cfg.Route {
		return nil
	}
	return k.kernel.RemoveRoute(e.target, e.at.On.Index)
}

// setMAC sets the station that has a target; nil if unknown.
func (k *Keeper) setMAC(e *entry, mac *schemas.MAC) {
	if e.at.MAC != nil {
		if k.byMAC[*e.at.MAC]--; k.byMAC[*e.at.MAC] == 0 {
			delete(k.byMAC, *e.at.MAC)
		}
	}
	if mac != nil {
		k.byMAC[*mac]++
	}
	k.change(func() { e.at.MAC = mac })
}

func (k *Keeper) count() { k.metrics.routes.Set(float64(len(k.byTarget))) }

// change changes what Locate reads.
func (k *Keeper) change(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}
