package hostroute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/schemas"
)

// maxEntries bounds the entries. A station may have as many as it leaves free.
const maxEntries = 4096

// treatment says which entries a target gets that was found behind a port.
type treatment uint8

const (
	ignored treatment = iota // nothing: no master's link has its prefix
	located                  // an entry without route: the kernel looks for it there by itself
	routed                   // a route and proxy entries: the kernel would look on a master's link
)

// treatment ignores addresses that are on-link at no master: whatever address a host
// claims, it attracts only traffic that could go to a master's link.
func (k *Keeper) treatment(target netip.Addr, on *port.Port) treatment {
	link, err := k.kernel.LinkOf(target)
	switch {
	case err != nil:
		return ignored
	case link == on.Index:
		return located
	}
	for _, m := range k.masters(on) {
		if link == m.Index {
			return routed
		}
		if onLink, err := k.kernel.OnLink(target, m.Index); err == nil && onLink {
			return routed
		}
	}
	return ignored
}

// masters returns the masters that exist, except for the port itself.
func (k *Keeper) masters(except *port.Port) []*port.Port {
	return slices.DeleteFunc(slices.Clone(k.ports.Load().Masters), func(m *port.Port) bool { return m.Index == 0 || m.Index == except.Index })
}

// add makes an entry for a target that was found; nil if it gets none.
func (k *Keeper) add(target netip.Addr, at port.Location, now time.Time) *entry {
	if free := maxEntries - len(k.byTarget); free <= 0 || at.MAC != nil && k.byMAC[*at.MAC] >= free {
		k.metrics.refused.Inc()
		k.log.Debug("no host route for a target: there are too many, or too many to its Ethernet address", "target", target, "host_routes", len(k.byTarget), "ethernet", at.MAC)
		return nil
	}
	treatment := k.treatment(target, at.On)
	if treatment == ignored {
		k.log.Debug("no host route for a target: its prefix is on-link at no master", "target", target, "slave", at.On.Name)
		return nil
	}
	e := &entry{target: target, at: port.Location{On: at.On}, direct: treatment == located, answered: now}
	if err := k.install(e, now); err != nil {
		k.failed("adding", e, err)
		return nil
	}
	k.setMAC(e, at.MAC)
	k.change(func() { k.byTarget[target] = e })
	k.count()
	return e
}

func (k *Keeper) logAdded(e *entry, now time.Time) {
	if e.direct {
		k.log.Debug("the kernel itself looks for the target where it is", "target", e.target, "on", e.at.On.Name)
	} else {
		k.info(now, "host route added", "target", e.target, "slave", e.at.On.Name, "ethernet", e.at.MAC, "route", k.cfg.Route, "proxy", k.cfg.Proxy)
	}
}

// mostLines is how many lines per second are logged at level info: any host can claim as
// many addresses as it likes.
const mostLines = 20

// info logs a change of a host route.
func (k *Keeper) info(now time.Time, message string, args ...any) {
	if now.Sub(k.linesSince) >= time.Second {
		k.linesSince, k.lines = now, 0
	}
	level := slog.LevelInfo
	if k.lines++; k.lines > mostLines {
		level = slog.LevelDebug
	}
	if k.lines == mostLines+1 {
		k.log.Info("many host routes change in this second; the others are logged at level debug")
	}
	k.log.Log(context.Background(), level, message, args...)
}

// move has an entry follow its target.
func (k *Keeper) move(e *entry, to port.Location, now time.Time) {
	from := e.at.On
	direct, err := k.leave(e, to.On)
	k.failed("removing", e, err)
	k.change(func() {
		e.at.On, e.direct, e.answered, e.searching, e.rival = to.On, direct, now, false, nil
	})
	k.setMAC(e, to.MAC)
	if err := k.install(e, now); err != nil {
		k.failed("adding", e, err)
		k.remove(e, "its host route cannot be added")
		return
	}
	k.metrics.moved.Inc()
	k.info(now, "target moved", "target", e.target, "from", from.Name, "to", to.On.Name, "ethernet", to.MAC)
}

// leave removes what would be wrong when the target is behind another port, and reports
// whether the kernel itself looks for it there. A route that will be replaced stays.
func (k *Keeper) leave(e *entry, to *port.Port) (direct bool, err error) {
	if onLink, _ := k.kernel.OnLink(e.target, to.Index); onLink {
		err = k.uninstall(e)
		return k.treatment(e.target, to) == located, err
	}
	if k.cfg.Proxy {
		err = k.kernel.RemoveProxy(e.target, to.Index) // with several masters
	}
	return false, err
}

// remove removes an entry.
func (k *Keeper) remove(e *entry, why string) {
	k.change(func() { delete(k.byTarget, e.target) })
	k.setMAC(e, nil)
	k.count()
	k.failed("removing", e, k.uninstall(e))
	if !e.direct {
		k.info(time.Now(), "host route removed", "target", e.target, "slave", e.at.On.Name, "why", why)
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

// install makes the kernel's part of an entry: first the route, so that a host that
// learns of the target reaches it.
func (k *Keeper) install(e *entry, now time.Time) error {
	e.assured = now
	if e.direct {
		return nil
	}
	if k.cfg.Route {
		if err := k.kernel.SetRoute(e.target, e.at.On.Index); err != nil {
			return err
		}
	}
	return k.proxies(e, k.kernel.SetProxy)
}

// uninstall removes the kernel's part of an entry: first the proxy entries, so that no
// more hosts learn of the target.
func (k *Keeper) uninstall(e *entry) error {
	if e.direct {
		return nil
	}
	err := k.proxies(e, k.kernel.RemoveProxy)
	if k.cfg.Route {
		err = errors.Join(err, k.kernel.RemoveRoute(e.target, e.at.On.Index))
	}
	return err
}

// proxies changes the proxy entries for a target on all masters.
func (k *Keeper) proxies(e *entry, change func(target netip.Addr, index int) error) error {
	if !k.cfg.Proxy {
		return nil
	}
	var errs []error
	for _, m := range k.masters(e.at.On) {
		errs = append(errs, change(e.target, m.Index))
	}
	return errors.Join(errs...)
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
