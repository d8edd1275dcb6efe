package router

import (
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// Judge compares what frames say of routers with what is known of them, and learns. Its
// zero value, with its exported members set, is ready for use by one goroutine.
type Judge struct {
	// Learn has every router learned and none judged.
	Learn bool
	// Timeout is how long what a learned router said outlives the last time that it was
	// heard.
	Timeout time.Duration

	router schemas.LinkRouter
	ra     schemas.LinkRA
	// Memory that is used again.
	offers     []offer
	comparison comparison
	nothing    Router // where nothing is configured
}

// Observe judges what a frame says as a router, or about one, and remembers it; now is the
// event's time in Unix nanoseconds. An own frame was sent by the host that captured it: its
// RAs are only remembered. The results are nil where there is nothing to report, and valid
// until the next call.
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
	// Nothing is learned from a frame that is not complete, or that most receivers ignore
	// (RFC 6980).
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
