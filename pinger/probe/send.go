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
			p.troubles.succeeded(outlet{list[i].On.Name, solicitations})
		}
	}
}

// echo sends an echo request, which makes the kernel look for the target.
func (p *Prober) echo(on *port.Port, target netip.Addr, seq uint16, cookie uint64) *failure {
	if why := p.room.take(p.deps.Now()); why != "" {
		f := &failure{on: on, reason: schemas.OverBudget, why: why, cause: "table", remedy: always(largerTable)}
		p.troubles.failed(outlet{on.Name, echoes}, f, p.deps.Now())
		return f
	}
	if err := on.Echo(target, seq, cookie); err != nil {
		return p.notSent(on, echoes, err)
	}
	on.Counters.Echoes.Inc()
	p.troubles.succeeded(outlet{on.Name, echoes})
	return nil
}

const largerTable = "sysctl net.ipv6.neigh.default.gc_thresh3=8192, in the initial network namespace"

func always(s string) func() string { return func() string { return s } }

// notSent says why the kernel did not accept a solicitation or an echo request, and logs
// it the first time.
func (p *Prober) notSent(on *port.Port, kind string, err error) *failure {
	f := p.explain(on, err)
	p.troubles.failed(outlet{on.Name, kind}, f, p.deps.Now())
	return f
}

func (p *Prober) explain(on *port.Port, err error) *failure {
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
		f.cause, f.mends, f.remedy = "route", true, func() string {
			return "give the rule that matches a priority after the pinger's: " + p.deps.Kernel.PrecedingRules()
		}
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
		f.why = fmt.Sprintf("the kernel refused the echo out of %s: its neighbour table is full (net.ipv6.neigh.default.gc_thresh3), or %v is no longer its address: %v", name, on.Source, err)
		f.cause, f.mends, f.remedy = "table", true, always(largerTable)
	case errors.Is(err, unix.EAGAIN):
		f.why = fmt.Sprintf("the send buffer of %s is full (net.core.wmem_max)", name)
		f.cause, f.remedy = "buffer", always("sysctl net.core.wmem_max=4194304, and start it again; or CAP_NET_ADMIN")
	case errors.Is(err, unix.EPERM):
		f.why = fmt.Sprintf("a firewall of this host drops the echo out of %s: %v", name, err)
		f.cause, f.remedy = "firewall", always("have the firewall accept ICMPv6 echo requests and Neighbor Discovery that leave "+name+" (nft list ruleset, ip6tables -S OUTPUT)")
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
