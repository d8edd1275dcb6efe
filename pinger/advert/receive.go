package advert

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
)

// Received processes a Router Advertisement that came in on a port.
func (r *Relayer) Received(on *port.Port, a wire.RouterAdvertisement) {
	ports := r.Ports.Load()
	on = ports.At(on.Index)
	if on == nil || own(ports, a.Source, a.Ethernet) {
		return
	}
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !isMaster(ports, on) {
		r.heardOnSlave(on, a, now)
		return
	}
	k := newKey(on.Name, a.Source, a.Ethernet, binary.BigEndian.Uint16(a.Message[2:]))
	relay, approved, dropped := r.meeting.received(held{k, a.Message, now, r.routers[k.routerKey] != nil})
	if dropped {
		r.Metrics.dropped.Inc()
	}
	if approved {
		r.advertise(ports, k, bytes.Clone(a.Message), relay, now)
	}
}

// heardOnSlave processes an advertisement of another router on the link of a slave.
func (r *Relayer) heardOnSlave(on *port.Port, a wire.RouterAdvertisement, now time.Time) {
	const maxWarned = 64
	s, message := r.slave(on), advertisement(a.Message)
	if message.proxied() {
		if !s.looping(now) {
			r.Log.Warn("another proxy sends Router Advertisements to the hosts behind a slave: none are relayed there for 60 minutes after its last; "+
				"use one relay for these links, or connect this slave to other hosts",
				"slave", on.Name, "router", a.Source, "mac", a.Ethernet)
		}
		s.loop = now
		return
	}
	if _, warned := s.warned[a.Source]; warned || message.lifetime() == 0 || len(s.warned) >= maxWarned {
		return
	}
	s.warned[a.Source] = struct{}{}
	r.Log.Warn("another router advertises itself to the hosts behind a slave, so they have two: "+
		"stop its Router Advertisements (radvd, dnsmasq), or do not relay there (--ra, PINGER_RA)",
		"slave", on.Name, "router", a.Source, "mac", a.Ethernet)
}

// Relay carries out a command with a router message that has not expired.
func (r *Relayer) Relay(cmd *schemas.Relay) {
	ports, m, now := r.Ports.Load(), cmd.Router, r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	on := ports.Named(m.Interface)
	switch advertised := m.Message == schemas.RouterAdvertisement; {
	case m.Host != r.Host || on == nil || isMaster(ports, on) != advertised:
		r.report(cmd.ID, m.Group(), "", otherLink)
	case !advertised:
		r.solicited(ports, on, cmd, now)
	default:
		k := newKey(on.Name, m.Source, m.Ethernet, m.Checksum) // which outlives the command
		message, unclear, dropped := r.meeting.approve(approval{k, cmd.ID, cmd.Expires}, now)
		if dropped {
			r.Metrics.dropped.Inc()
		}
		if unclear {
			r.report(cmd.ID, m.Group(), "", ambiguous)
		} else if message != nil {
			r.advertise(ports, k, message, cmd.ID, now)
		}
	}
}

// advertise relays an approved advertisement to all slaves.
func (r *Relayer) advertise(ports *port.Set, k key, message advertisement, relay string, now time.Time) {
	t := r.routers[k.routerKey]
	switch {
	case message.proxied() && r.hasRouter(k.master, now):
		r.report(relay, schemas.AllNodes, "", proxied)
		return
	case t == nil && len(r.routers) >= maxRouters:
		r.report(relay, schemas.AllNodes, "", overBudget)
		return
	case t == nil:
		t = &router{routerKey: k.routerKey}
		r.routers[k.routerKey] = t
		r.Log.Info("relaying the Router Advertisements of a router", "master", k.master, "router", k.source, "mac", k.ethernet, "lifetime", message.lifetime())
	case t.left(now) > 0 && message.lifetime() == 0:
		r.Log.Info("router withdrawn", "master", k.master, "router", k.source)
	}
	const contentAt = 4 // after type, code and checksum
	if t.latest == nil || !bytes.Equal(t.latest[contentAt:], message[contentAt:]) {
		t.version++
	}
	t.latest, t.at = message, now
	if !message.proxied() {
		r.dropProxied(k.master)
	}
	for _, on := range ports.Slaves {
		if on.Name != k.master {
			r.report(relay, schemas.AllNodes, on.Name, r.multicast(t, on, now))
		}
	}
}

// hasRouter reports whether a router that is no proxy is on the link of a master.
func (r *Relayer) hasRouter(master string, now time.Time) bool {
	for k, t := range r.routers {
		if k.master == master && !t.latest.proxied() && t.left(now) > 0 {
			return true
		}
	}
	return false
}

// dropProxied forgets the routers that a proxy on the link of a master has relayed, because
// the link has a router of its own.
func (r *Relayer) dropProxied(master string) {
	for k, t := range r.routers {
		if k.master == master && t.latest.proxied() {
			delete(r.routers, k)
		}
	}
}
