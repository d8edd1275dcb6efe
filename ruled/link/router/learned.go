package router

import (
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// learned is a router that was learned. Times are in Unix nanoseconds.
type learned struct {
	Router
	// since is when the router was learned, heard when it was heard last, until when hosts
	// stop using it, last when it last said what was learned of it.
	since, heard, until, last int64
	// stopped is true after an RA with lifetime 0 of a router that had another.
	stopped bool
	// stub is true for a router that was learned as a stub router (see isStub). Where only
	// such are learned, another router is not unknown.
	stub bool
}

// Learned is a learned router as it is stored.
type Learned struct {
	Router
	// Since is when the router was learned, Heard when it was heard last, Until when hosts
	// stop using it, LastSeen when it last said what was learned of it.
	Since    time.Time `json:"since"`
	Heard    time.Time `json:"heard"`
	Until    time.Time `json:"until"`
	LastSeen time.Time `json:"lastseen"`
	// Stopped is true after an RA with lifetime 0 of a router that had another.
	Stopped bool `json:"stopped,omitempty"`
	// Stub is true for a stub router.
	Stub bool `json:"stub,omitempty"`
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// relearned returns the router as a new RA of it says.
func (l learned) relearned(e *schemas.Event, now int64) learned {
	return learned{Router: profile(e), since: now, last: now, heard: now, until: l.until, stub: l.stub}
}

// hear notes that the router was heard. A router that is no default router is expected to be
// present for the timeout.
func (l *learned) hear(e *schemas.Event, now int64, timeout time.Duration) {
	l.heard = now
	if lifetime := int64(e.ND.RA.Lifetime) * second; lifetime > 0 {
		l.until = now + lifetime
	} else if *l.Lifetime == 0 {
		l.until = now + int64(timeout)
	}
}

// refresh sets the lifetimes to those of an RA with these statements: some routers let them
// run down.
func (r *Router) refresh(e *schemas.Event, sent []schemas.Statement) {
	if e.ND.RA.Lifetime > 0 {
		update(&r.Lifetime, e.ND.RA.Lifetime)
	}
	opt := e.ND.Opt
	if opt == nil {
		return
	}
	for i := range opt.PrefixInfo {
		p := &opt.PrefixInfo[i]
		if prefixAgain(opt, i) {
			continue
		}
		if known := r.prefix(prefixOf(p.Prefix, p.PrefixLength)); known != nil {
			update(&known.Valid, p.ValidLifetime)
			update(&known.Preferred, p.PreferredLifetime)
		}
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			if known := r.dns(a); known != nil {
				update(&known.Lifetime, opt.RDNSS[i].Lifetime)
			}
		}
	}
	for i := range opt.DNSSL {
		for _, name := range opt.DNSSL[i].Domain {
			if known := r.domain(name); known != nil {
				update(&known.Lifetime, opt.DNSSL[i].Lifetime)
			}
		}
	}
	for i := range opt.RouteInfo {
		if routeAgain(opt, i) {
			continue
		}
		if known := r.route(prefixOf(opt.RouteInfo[i].Prefix, opt.RouteInfo[i].PrefixLength)); known != nil {
			update(&known.Lifetime, opt.RouteInfo[i].Lifetime)
		}
	}
	for i := range opt.PREF64 {
		if known := r.nat64(prefixOf(opt.PREF64[i].Prefix, opt.PREF64[i].PrefixLength)); known != nil {
			update(&known.Lifetime, opt.PREF64[i].Lifetime)
		}
	}
	for _, s := range sent {
		if known := r.other(s.Number, s.Text); known != nil {
			known.Lifetimes = s.Lifetimes
		}
	}
}

// update sets a value that may be shared with a copy of the router: not in place.
func update[T comparable](known **T, v T) {
	if *known == nil || **known != v {
		*known = new(v)
	}
}

// merge adds what another RA of the router says. A router whose RAs do not agree is volatile.
// The RA with which it stops adds nothing.
func (r *Router) merge(other Router, e *schemas.Event) {
	if *other.Lifetime == 0 && *r.Lifetime != 0 {
		return
	}
	stopped := *r.Lifetime == 0
	c := comparison{known: r, configured: new(Router), since: exactly}
	if c.run(e); !stopped && (c.d.Params || c.d.MTU || c.d.PrefixParams) {
		r.Volatile = true
	}
	r.CurHopLimit, r.Flags, r.Lifetime = other.CurHopLimit, other.Flags, other.Lifetime
	r.ReachableTimer, r.RetransTimer, r.MTU = other.ReachableTimer, other.RetransTimer, other.MTU
	for _, p := range other.Prefixes {
		known := r.prefix(p.Prefix)
		if known != nil {
			*known = p
		}
		enlist(&r.Prefixes, known != nil, p)
	}
	for _, d := range other.RDNSS {
		enlist(&r.RDNSS, r.dns(d.Address) != nil, d)
	}
	for _, d := range other.DNSSL {
		enlist(&r.DNSSL, r.domain(d.Domain) != nil, d)
	}
	for _, route := range other.Routes {
		enlist(&r.Routes, r.route(route.Prefix) != nil, route)
	}
	for _, n := range other.NAT64 {
		enlist(&r.NAT64, r.nat64(n.Prefix) != nil, n)
	}
	for _, o := range other.Others {
		enlist(&r.Others, r.other(o.Type, o.Text) != nil, o)
	}
}
