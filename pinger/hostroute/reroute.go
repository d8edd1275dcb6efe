package hostroute

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
)

const (
	// maxUnrouted bounds the targets that wait for their prefix, and unroutedFor is how
	// long they do.
	maxUnrouted = 256
	unroutedFor = time.Minute
	// maxPrefixes bounds the prefixes whose absence was logged.
	maxPrefixes = 64
	// lostEvery is how often at most it is logged that another program removes host routes.
	lostEvery = time.Minute
)

// Reroute describes a change of the kernel's routes.
type Reroute struct {
	// Prefixes may be on-link at other interfaces than before, or have lost host routes;
	// nil for all.
	Prefixes []netip.Prefix
	// Lost counts the host routes that a program has removed, whose name is empty if it is
	// unknown.
	Lost    int
	Program string
}

// Rerouted has the entries updated, and waits until Run begins with that or ctx ends.
func (k *Keeper) Rerouted(ctx context.Context, r Reroute) {
	select {
	case k.rerouted <- r:
	case <-ctx.Done():
	}
}

// reroute updates the entries after routes have changed.
func (k *Keeper) reroute(r Reroute, now time.Time) {
	concerns := func(target netip.Addr) bool {
		return r.Prefixes == nil || slices.ContainsFunc(r.Prefixes, func(p netip.Prefix) bool { return p.Contains(target) })
	}
	ports := k.ports.Load()
	for _, e := range k.byTarget {
		if on := ports.At(e.at.On.Index); concerns(e.target) && on != nil && on.Why == "" {
			k.review(e, now)
		}
	}
	if r.Lost > 0 {
		k.metrics.lost.Add(float64(r.Lost))
		if now.Sub(k.lostLogged) >= lostEvery {
			k.log.Warn("another program has removed host routes; made them again", "routes", r.Lost, "program", r.Program,
				"remedy", "ManageForeignRoutes=no in networkd.conf, unmanaged-devices in NetworkManager.conf")
		}
		k.lostLogged = now
	}
	k.unrouted.release(r.Prefixes)
	for _, n := range k.unrouted.take(concerns, now) {
		if n.kind == targetFound {
			k.found(k.byTarget[n.target], &n, now)
		} else {
			k.hint(k.byTarget[n.target], n.target, n.at.On, now)
		}
	}
}

// noPrefix notes a target whose prefix is on-link at no master. It gets its entry when the
// prefix comes within a minute.
func (k *Keeper) noPrefix(n *event, now time.Time) {
	k.unrouted.add(n, now)
	k.log.Debug("no host route for a target: its prefix is on-link at no master", "target", n.target, "on", n.at.On.Name)
	master := k.masterFor(n)
	if n.kind != targetFound || n.at.On.Master || master == "" {
		return
	}
	prefix := netip.PrefixFrom(n.target, 64).Masked()
	if k.unrouted.report(prefix) {
		k.log.Warn("no host route: the prefix of a host behind a slave is on-link at no master", "target", n.target, "slave", n.at.On.Name,
			"prefix", prefix, "remedy", "ip -6 route add "+prefix.String()+" dev "+master)
	}
}

// masterFor returns the master at whose link a target's prefix may be: that of a requester
// first. It is empty if there is none.
func (k *Keeper) masterFor(n *event) string {
	for _, r := range n.requesters {
		if r.On.Master {
			return r.On.Name
		}
	}
	i := slices.IndexFunc(k.ports.Load().Masters, func(m *port.Port) bool { return m.Index != 0 && m.Index != n.at.On.Index })
	if i < 0 {
		return ""
	}
	return k.ports.Load().Masters[i].Name
}

// unrouted holds targets whose prefix is on-link at no master.
type unrouted struct {
	targets map[netip.Addr]since
	// reported are the prefixes whose absence was logged.
	reported map[netip.Prefix]bool
}

type since struct {
	event
	at time.Time
}

// add adds the target of an event, or what is newer of it.
func (u *unrouted) add(n *event, now time.Time) {
	if old, ok := u.targets[n.target]; ok && old.kind == targetFound && n.kind != targetFound {
		return
	}
	if len(u.targets) >= maxUnrouted {
		u.forgetOldest()
	}
	if u.targets == nil {
		u.targets = make(map[netip.Addr]since)
	}
	s := since{*n, now}
	s.then = nil // it is called now
	u.targets[n.target] = s
}

func (u *unrouted) forgetOldest() {
	var oldest netip.Addr
	for target, s := range u.targets {
		if !oldest.IsValid() || s.at.Before(u.targets[oldest].at) {
			oldest = target
		}
	}
	delete(u.targets, oldest)
}

// take removes and returns the targets that a change concerns, and forgets old ones.
func (u *unrouted) take(concerns func(netip.Addr) bool, now time.Time) (list []event) {
	for target, s := range u.targets {
		old := now.Sub(s.at) > unroutedFor
		if old || concerns(target) {
			delete(u.targets, target)
		}
		if !old && concerns(target) {
			list = append(list, s.event)
		}
	}
	return list
}

// report reports whether to log the absence of a prefix.
func (u *unrouted) report(prefix netip.Prefix) bool {
	if u.reported[prefix] || len(u.reported) >= maxPrefixes {
		return false
	}
	if u.reported == nil {
		u.reported = make(map[netip.Prefix]bool)
	}
	u.reported[prefix] = true
	return true
}

// release has the absence of prefixes logged again that have changed.
func (u *unrouted) release(changed []netip.Prefix) {
	for prefix := range u.reported {
		if slices.ContainsFunc(changed, prefix.Overlaps) {
			delete(u.reported, prefix)
		}
	}
}
