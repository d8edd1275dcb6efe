package advert

import (
	"context"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// tickEvery is how often Run looks for what time has changed.
const tickEvery = time.Second

// Run does what is due until ctx ends, and then withdraws the router from all hosts.
func (r *Relayer) Run(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.stop()
			return
		case <-ticker.C:
			r.tick()
		}
	}
}

// Changed is called when the ports have changed. Those that cameUp have come into use.
func (r *Relayer) Changed(cameUp []*port.Port) {
	ports, now := r.Ports.Load(), r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checkMasters(ports, now)
	r.forgetSlaves(ports)
	for _, on := range cameUp {
		if isMaster(ports, on) {
			m := r.masters[on.Name]
			m.solicits, m.solicited = 0, time.Time{}
			r.solicit(on, now)
			continue
		}
		// The link of its hosts may just have come up.
		s := r.slave(on)
		clear(s.sent)
		for _, t := range r.sorted() {
			r.report("", schemas.AllNodes, on.Name, r.multicast(t, on, now))
		}
	}
}

// checkMasters notes which masters are usable.
func (r *Relayer) checkMasters(ports *port.Set, now time.Time) {
	usable := make(map[string]bool, len(ports.Masters))
	for _, on := range ports.Masters {
		usable[on.Name] = on.Why == ""
		if r.masters[on.Name] == nil {
			r.masters[on.Name] = &master{}
		}
	}
	for name, m := range r.masters {
		switch {
		case usable[name]:
			m.unusableSince = time.Time{}
		case m.unusableSince.IsZero():
			m.unusableSince = now
		}
	}
}

// forgetSlaves forgets the slaves that are gone.
func (r *Relayer) forgetSlaves(ports *port.Set) {
	for name := range r.slaves {
		if ports.Named(name) == nil {
			delete(r.slaves, name)
		}
	}
}

// tick does what is due.
func (r *Relayer) tick() {
	ports, now := r.Ports.Load(), r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.meeting.expire(now) {
		r.report(a.relay, schemas.AllNodes, "", notReceived)
	}
	for _, on := range ports.Masters {
		m, period := r.masters[on.Name], solicitPeriod
		if m == nil || m.solicits == 0 || m.solicits >= maxSolicits || r.hasAny(on.Name) {
			continue
		}
		if m.solicits == 1 {
			period = solicitEvery
		}
		if now.Sub(m.solicited) >= period {
			r.solicit(on, now)
		}
	}
	r.dropGone(ports, now)
	for _, on := range ports.Slaves {
		if s := r.slave(on); s.unsent {
			s.unsent = false
			for _, t := range r.sorted() {
				if s.sent[t.routerKey].version != t.version {
					r.report("", schemas.AllNodes, on.Name, r.multicast(t, on, now))
				}
			}
		}
	}
}

func (r *Relayer) hasAny(master string) bool {
	for k := range r.routers {
		if k.master == master {
			return true
		}
	}
	return false
}

// dropGone drops the routers whose advertisements are too old, and withdraws those whose
// master is gone.
func (r *Relayer) dropGone(ports *port.Set, now time.Time) {
	var last *router
	for _, t := range r.sorted() {
		m := r.masters[t.master]
		lost := m != nil && !m.unusableSince.IsZero() && now.Sub(m.unusableSince) >= gone
		if !lost && !t.expired(now) {
			continue
		}
		delete(r.routers, t.routerKey)
		for _, s := range r.slaves {
			delete(s.sent, t.routerKey)
		}
		if lost && t.left(now) > 0 {
			last = t
			r.Log.Info("router gone with its master", "master", t.master, "router", t.source)
		}
	}
	for name, m := range r.masters {
		if ports.Named(name) == nil && !r.hasAny(name) && now.Sub(m.unusableSince) >= gone {
			delete(r.masters, name)
		}
	}
	if last != nil {
		r.withdraw(ports, last, r.lifetime(now), now)
	}
}

// withdraw sends all hosts the lifetime that the router has without one that is gone.
// Their addresses keep their lifetimes: they still reach each other.
func (r *Relayer) withdraw(ports *port.Set, t *router, lifetime time.Duration, now time.Time) {
	for _, on := range ports.Slaves {
		message := t.latest.withdrawal(on.MAC)
		message.setLifetime(lifetime)
		r.report("", schemas.AllNodes, on.Name, r.send(on, r.slave(on), schemas.AllNodes, wire.GroupMAC(schemas.AllNodes), message, now))
	}
}

// stop withdraws the router from the hosts.
func (r *Relayer) stop() {
	ports, now := r.Ports.Load(), r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if list := r.sorted(); len(list) > 0 && r.lifetime(now) > 0 {
		r.withdraw(ports, list[0], 0, now)
	}
	clear(r.routers)
}
