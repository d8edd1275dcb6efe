package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
	"github.com/ndmon/ndmon/schemas"
	"golang.org/x/sys/unix"
)

// solicit sends solicitations, and counts those that the kernel accepted.
func (p *Prober) solicit(list []wire.Solicitation) {
	if len(list) == 0 {
		return
	}
	p.deps.ND.Solicit(list)
	for i := range list {
		if list[i].Err == nil {
			list[i].On.Counters.Solicitations.Inc()
		}
	}
}

// echo sends an echo request, which makes the kernel look for the target.
func (p *Prober) echo(on *port.Port, target netip.Addr, seq uint16, cookie uint64) *failure {
	if why := p.room.take(p.deps.Now()); why != "" {
		return &failure{on, schemas.OverBudget, why}
	}
	if err := on.Echo(target, seq, cookie); err != nil {
		return p.notSent(on, err)
	}
	on.Counters.Echoes.Inc()
	return nil
}

// notSent says why the kernel did not accept a frame or an echo request.
func (p *Prober) notSent(on *port.Port, err error) *failure {
	name := on.Name
	f := &failure{on: on, reason: schemas.NotSent}
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		f.reason = schemas.NoRoute
		if p.deps.NoTables != "" {
			f.why = fmt.Sprintf("no route to the target leads through %s, and the pinger cannot make one: %s", name, p.deps.NoTables)
			break
		}
		p.deps.Repair()
		f.why = fmt.Sprintf("the route through %s was gone, or a routing rule that precedes the pinger's hides it (ip -6 rule); checking it (%v)", name, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
		f.why = fmt.Sprintf("the kernel refused the echo out of %s: its neighbour table is full (net.ipv6.neigh.default.gc_thresh3), or %v is no longer its address: %v", name, on.Source, err)
	case errors.Is(err, unix.EAGAIN):
		f.why = fmt.Sprintf("the send buffer of %s is full (net.core.wmem_max)", name)
	case errors.Is(err, unix.EPERM):
		f.why = fmt.Sprintf("a firewall of this host drops the echo out of %s: %v", name, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		f.reason, f.why = schemas.SlaveDown, name+" has just gone"
	case errors.Is(err, net.ErrClosed):
		p.deps.Repair()
		f.reason, f.why = schemas.SlaveDown, name+" is being checked again"
	case errors.Is(err, unix.ENETDOWN):
		f.reason, f.why = schemas.SlaveDown, name+" has just gone down"
	default:
		f.why = fmt.Sprintf("sending out of %s: %v", name, err)
	}
	return f
}
