package advert

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// report counts what came of a router message, and publishes it if a command asked for it.
func (r *Relayer) report(relay string, target netip.Addr, on string, o outcome) {
	r.Metrics.messages[o].Inc()
	n := &names[o]
	r.Log.Debug("router message", "outcome", n.label, "to", target, "slave", on, "relay", relay)
	if relay != "" {
		r.Report(schemas.Result{Relay: relay, Target: target, Slave: on, Status: n.status, Reason: n.reason, Error: n.why})
	}
}

// multicast sends the latest advertisement of a router to all hosts behind a slave.
func (r *Relayer) multicast(t *router, on *port.Port, now time.Time) outcome {
	s := r.slave(on)
	if last, ok := s.sent[t.routerKey]; ok && last.version == t.version && now.Sub(last.at) < minDelay {
		return heldDown
	}
	o := r.send(on, s, schemas.AllNodes, wire.GroupMAC(schemas.AllNodes), r.message(t, on, now), now)
	switch o {
	case relayed:
		s.sent[t.routerKey] = sending{now, t.version}
	case overBudget:
		s.unsent = true
	}
	return o
}

// send sends an advertisement out of a slave.
func (r *Relayer) send(on *port.Port, s *slave, to netip.Addr, toMAC schemas.MAC, message advertisement, now time.Time) outcome {
	switch {
	case on.Why != "":
		return slaveDown
	case !on.ND || !on.Source.IsLinkLocalUnicast():
		return unusable
	case s.looping(now):
		return loop
	case s.used.Count(now) > perSecond:
		return overBudget
	}
	switch err := r.Send(on, to, toMAC, message); {
	case errors.Is(err, unix.EMSGSIZE):
		return tooBig
	case err != nil:
		r.Log.Debug("sending a router message", "slave", on.Name, "error", err)
		return notSent
	}
	on.Counters.RouterAdvertisements.Inc()
	return relayed
}

// solicited answers the Router Solicitation of a host behind a slave, and passes it on.
func (r *Relayer) solicited(ports *port.Set, on *port.Port, cmd *schemas.Relay, now time.Time) {
	m, to := cmd.Router, cmd.Router.Source
	if to.IsUnspecified() {
		to = schemas.AllNodes // in a frame to the host alone (RFC 6085)
	} else if !to.Is6() || to.IsMulticast() || to.IsLoopback() || ports.Owns(to) {
		r.report(cmd.ID, m.Group(), on.Name, otherLink)
		return
	}
	if m.Ethernet[0]&1 != 0 || m.Ethernet == (schemas.MAC{}) {
		r.report(cmd.ID, m.Group(), on.Name, otherLink)
		return
	}
	o, s := solicited, r.slave(on)
	for _, t := range r.sorted() {
		if o = r.send(on, s, to, m.Ethernet, r.message(t, on, now), now); o != relayed {
			break
		}
		o = answered
	}
	r.report(cmd.ID, m.Group(), on.Name, o)
	if o == answered || o == solicited {
		r.solicitMasters(ports, now)
	}
}

// sorted returns the routers in an order that does not change.
func (r *Relayer) sorted() []*router {
	list := make([]*router, 0, len(r.routers))
	for _, t := range r.routers {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *router) int {
		if c := a.source.Compare(b.source); c != 0 {
			return c
		}
		return slices.Compare([]byte(a.master), []byte(b.master))
	})
	return list
}

// solicitMasters solicits the routers of all masters, each at most once a second.
func (r *Relayer) solicitMasters(ports *port.Set, now time.Time) {
	for _, on := range ports.Masters {
		r.solicit(on, now)
	}
}

func (r *Relayer) solicit(on *port.Port, now time.Time) {
	m := r.masters[on.Name]
	if m == nil || on.Why != "" || !on.ND || !on.Source.IsLinkLocalUnicast() || now.Sub(m.solicited) < solicitEvery {
		return
	}
	m.solicited = now
	m.solicits++
	if err := r.Send(on, schemas.AllRouters, wire.GroupMAC(schemas.AllRouters), solicitation(on.MAC)); err != nil {
		r.Log.Debug("sending a Router Solicitation", "master", on.Name, "error", err)
		return
	}
	on.Counters.RouterSolicitations.Inc()
}
