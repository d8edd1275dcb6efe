package router

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// Judge compares what frames say of routers with what is known of them, and learns. Its
// zero value, with its exported members set, is ready for use by one goroutine.
type Judge struct {
	// Learn has every router learned and none judged.
	Learn bool
	// Timeout is how long what a learned router said outlives the last time that it was heard.
	Timeout time.Duration

	router schemas.LinkRouter
	ra     schemas.LinkRA
	// Memory that is used again.
	offers     []offer
	comparison comparison
	nothing    Router // where nothing is configured
}

// Observe judges what a frame says as a router, or about one, and remembers it; now is the event's time in
// Unix nanoseconds. An own frame was sent by the host that captured it: its RAs are only remembered. The
// results are nil where there is nothing to report, and valid until the next call.
func (j *Judge) Observe(r *Routers, e *schemas.Event, now int64, own bool) (*schemas.LinkRouter, *schemas.LinkRA) {
	j.router, j.ra = schemas.LinkRouter{}, schemas.LinkRA{}
	switch {
	case e.ND.RA != nil:
		j.observeRA(r, e, now, own)
	case !r.hasRouter():
	case e.ND.RD != nil:
		j.sentBy(r, e)
		rd := e.ND.RD
		j.router.OffLink = rd.TargetAddress == rd.DestinationAddress && r.Bogon(rd.DestinationAddress)
		j.router.Target = rd.TargetAddress != rd.DestinationAddress && !r.IsAddress(rd.TargetAddress)
	case e.ND.NA != nil:
		na := e.ND.NA
		j.router.Flag = na.Flag.Router && !r.HasMAC(e.Ethernet.Source.Uint64())
		j.router.NoFlag = !na.Flag.Router && r.atWork(na.TargetAddress)
	}
	var router *schemas.LinkRouter
	var ra *schemas.LinkRA
	if j.router != (schemas.LinkRouter{}) {
		router = &j.router
	}
	if j.ra.Stops || len(j.ra.Change) > 0 {
		ra = &j.ra
	}
	return router, ra
}

// burst is how long after the first RA another one of the router may add to it: a
// router may spread its options over several (RFC 4861, section 6.2.3).
const burst = second

// sentBy judges the sender of an RA or Redirect, which must be a router, and returns that router or nil.
func (j *Judge) sentBy(r *Routers, e *schemas.Event) *Router {
	found, hasMAC, hasAddress := r.find(e.Ethernet.Source, e.Inet6.Source)
	if found == nil {
		j.router.WrongCouple = hasMAC && hasAddress
		j.router.WrongAddress = hasMAC && !hasAddress
		j.router.WrongMAC = !hasMAC && hasAddress
		j.router.Wrong = hasMAC || hasAddress
		j.router.Unknown = !j.router.Wrong
	}
	return found
}

// observeRA judges and remembers an RA.
func (j *Judge) observeRA(r *Routers, e *schemas.Event, now int64, own bool) {
	// Nothing is learned from a frame that is not complete, or that most receivers ignore (RFC 6980).
	whole := !e.ND.Truncated && e.Inet6.Fragment == nil
	i := r.indexLearned(e)
	switch {
	case j.Learn:
		if whole {
			r.learn(e, now, j.Timeout, true, r.isStub(e))
		}
	case own:
		r.learn(e, now, j.Timeout, false, r.isStub(e))
	case r.IsConfigured():
		j.observeConfigured(r, i, e, now, whole)
	case i >= 0:
		known := &r.learned[i]
		j.ra = j.compare(r, known, &j.nothing, e, now, whole)
		if known.stub && !r.isStub(e) {
			j.stranger(r, e) // it offers more than a stub router
		}
	default:
		j.observeUnknown(r, e, now, whole)
	}
}

// observeConfigured judges an RA on a link whose routers are configured. What the
// configuration does not say of a router is learned: i is its index there, or negative.
func (j *Judge) observeConfigured(r *Routers, i int, e *schemas.Event, now int64, whole bool) {
	router := j.sentBy(r, e)
	switch {
	case router == nil:
		if j.router.Unknown {
			j.stranger(r, e)
		}
		return
	case i >= 0:
		said := j.compare(r, &r.learned[i], router, e, now, whole)
		j.ra = j.differences(router, e)
		j.ra.PREF64, j.ra.Option = said.PREF64, said.Option
		j.ra.Unconfigured = len(said.Change) > 0
		j.ra.Change = append(j.ra.Change, said.Change...)
		j.ra.Change = j.ra.Change[:min(len(j.ra.Change), maxChanges)]
	default:
		j.ra = j.differences(router, e)
		if whole {
			r.learn(e, now, j.Timeout, false, r.isStub(e))
		}
	}
}

// differences returns how an RA differs from the configuration of its router.
func (j *Judge) differences(router *Router, e *schemas.Event) schemas.LinkRA {
	c := &j.comparison
	c.begin(router, &j.nothing, exactly, false)
	c.run(e)
	return c.d
}

// observeUnknown judges an RA of a router that was not learned, on a link without configured
// routers. The first router is accepted, whatever it says.
func (j *Judge) observeUnknown(r *Routers, e *schemas.Event, now int64, whole bool) {
	j.sentBy(r, e)
	switch first := !r.hasRouter(); {
	case j.router.Wrong:
	case r.isStub(e):
		j.router.Unknown, j.router.Stub = true, true
		if whole {
			r.learn(e, now, j.Timeout, false, r.isStub(e))
		}
	case first && whole:
		j.router = schemas.LinkRouter{New: true}
		r.learn(e, now, j.Timeout, false, r.isStub(e))
	case first:
		j.router.Unknown = false
	case whole && r.silent(now):
		j.router = schemas.LinkRouter{Next: true}
		r.learn(e, now, j.Timeout, false, r.isStub(e))
	default:
		j.stranger(r, e)
	}
}

// compare returns how an RA differs from what was learned of its router, except for what is
// configured, and updates what was learned.
func (j *Judge) compare(r *Routers, known *learned, configured *Router, e *schemas.Event, now int64, whole bool) schemas.LinkRA {
	c := &j.comparison
	c.begin(&known.Router, configured, max(now-known.heard, 0), known.heard == known.since && !known.stub)
	c.run(e)
	d := c.d
	switch {
	case len(d.Change) == 0:
		known.refresh(e, c.sent)
		known.last = now
	case whole && now >= known.since && now-known.since <= burst && !c.changed:
		known.merge(profile(e), e)
		r.gather()
		d = schemas.LinkRA{Stops: d.Stops}
	case whole && !d.Stops && (known.stopped || now-known.last > int64(j.Timeout)):
		// It started again, or has not said what was learned for the timeout: what it says
		// now is reported once, and learned.
		*known = known.relearned(e, now)
		r.gather()
	}
	known.hear(e, now, j.Timeout)
	known.stopped = d.Stops
	return d
}

// stranger reports what an unknown router offers.
func (j *Judge) stranger(r *Routers, e *schemas.Event) {
	j.router.Unknown = true
	if r.isStub(e) {
		j.router.Stub = true
		return
	}
	j.offers = appendOffers(j.offers[:0], e)
	j.router.Default = slices.ContainsFunc(j.offers, offer.isDefault)
	j.router.Rogue = j.router.Default || r.IsConfigured() || slices.ContainsFunc(j.offers, offer.namesDNS) ||
		slices.ContainsFunc(j.offers, func(o offer) bool {
			return slices.ContainsFunc(o.prefixes, func(p schemas.PrefixInfo) bool { return r.announced(&p, true) })
		})
}

// offer holds what an RA offers to all hosts or, in a provisioning domain, to those that support such domains.
type offer struct {
	ra       *schemas.RA // nil for the parameters of the RA around it
	prefixes []schemas.PrefixInfo
	routes   []schemas.RouteInfo
	rdnss    []schemas.RDNSS
	dnssl    []schemas.DNSSL
	dns      []schemas.EncryptedDNS
}

// appendOffers appends the offers of an RA.
func appendOffers(to []offer, e *schemas.Event) []offer {
	opt := e.ND.Opt
	if opt == nil {
		return append(to, offer{ra: e.ND.RA})
	}
	to = append(to, offer{e.ND.RA, opt.PrefixInfo, opt.RouteInfo, opt.RDNSS, opt.DNSSL, opt.EncryptedDNS})
	for i := range opt.PvD {
		domain := offer{ra: opt.PvD[i].RA}
		if inner := opt.PvD[i].Opt; inner != nil {
			domain = offer{domain.ra, inner.PrefixInfo, inner.RouteInfo, inner.RDNSS, inner.DNSSL, inner.EncryptedDNS}
		}
		to = append(to, domain)
	}
	return to
}

// isDefault reports whether the sender offers itself as a default router, or makes hosts
// look for the whole Internet on the link.
func (o offer) isDefault() bool {
	return o.ra != nil && o.ra.Lifetime > 0 || slices.ContainsFunc(o.routes, IsDefault) ||
		slices.ContainsFunc(o.prefixes, func(p schemas.PrefixInfo) bool {
			return p.Flag.OnLink && p.ValidLifetime > 0 && nearlyAll(prefixOf(p.Prefix, p.PrefixLength))
		})
}

// namesDNS reports whether the offer has DNS servers or search domains to use.
func (o offer) namesDNS() bool {
	return slices.ContainsFunc(o.rdnss, func(r schemas.RDNSS) bool { return r.Lifetime > 0 }) ||
		slices.ContainsFunc(o.dnssl, func(d schemas.DNSSL) bool { return d.Lifetime > 0 }) ||
		slices.ContainsFunc(o.dns, func(d schemas.EncryptedDNS) bool { return d.Lifetime > 0 })
}

// IsDefault reports whether a route is a default route: to ::/0 (RFC 4191, section
// 2.3) or, as one of several, to a large part of the Internet.
func IsDefault(r schemas.RouteInfo) bool {
	return r.Lifetime > 0 && nearlyAll(prefixOf(r.Prefix, r.PrefixLength))
}

// nearlyAll reports whether a prefix is shorter than 8 bits and has global unicast addresses in it (2000::/3;
// RFC 4291, section 2.4): no network has so many of its own.
func nearlyAll(p netip.Prefix) bool {
	return p.Bits() < 8 && p.Overlaps(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3))
}

// announced reports whether a prefix, whatever its lifetime, overlaps one that a router in
// force announces. Stub routers count if stubs is true.
func (r *Routers) announced(p *schemas.PrefixInfo, stubs bool) bool {
	prefix := prefixOf(p.Prefix, p.PrefixLength)
	overlaps := func(router *Router) bool {
		return slices.ContainsFunc(router.Prefixes, func(known Prefix) bool { return known.Prefix.Overlaps(prefix) })
	}
	if r.IsConfigured() {
		return slices.ContainsFunc(r.configured, func(c Router) bool { return overlaps(&c) })
	}
	return slices.ContainsFunc(r.learned, func(l learned) bool { return (stubs || !l.stub) && overlaps(&l.Router) })
}

// isStub reports whether an RA is that of a stub router, which connects only a network of its own
// (draft-ietf-snac-simple), such as a Thread border router. Such an RA has the SNAC flag and router lifetime
// 0, and only unique local prefixes and routes (RFC 4193), none of which is another router's prefix.
func (r *Routers) isStub(e *schemas.Event) bool {
	ra, opt := e.ND.RA, e.ND.Opt
	if ra.Lifetime != 0 || !ra.Flag.SNAC || e.ND.Truncated {
		return false
	}
	if opt == nil {
		return true
	}
	local := func(a netip.Addr, bits uint8) bool { return a.IsPrivate() && bits >= 7 }
	return len(opt.RDNSS)+len(opt.DNSSL)+len(opt.EncryptedDNS)+len(opt.PvD)+len(opt.PREF64)+len(opt.CaptivePortal) == 0 &&
		!slices.ContainsFunc(opt.PrefixInfo, func(p schemas.PrefixInfo) bool {
			return !local(p.Prefix, p.PrefixLength) || r.announced(&p, false)
		}) &&
		!slices.ContainsFunc(opt.RouteInfo, func(o schemas.RouteInfo) bool { return !local(o.Prefix, o.PrefixLength) })
}
