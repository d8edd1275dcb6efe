package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// comparison compares an RA with what is known of its router.
type comparison struct {
	known *Router
	// configured is the router as it is configured, empty if it is not. Only what the
	// configuration does not say is compared with known.
	configured *Router
	// once is true if the router was heard only once before.
	once bool
	// since is how many nanoseconds ago the router was heard last, or the constant exactly.
	since int64

	// changed is true if the RA contradicts what the router said before, and does not only add to it.
	changed bool
	// sent are the statements of the RA, if they were compared.
	sent []schemas.Statement
	d    schemas.LinkRA
}

// begin prepares the comparison of another RA.
func (c *comparison) begin(known, configured *Router, since int64, once bool) {
	// One by one: writing all of it costs the garbage collector's write barriers.
	c.known, c.configured, c.since, c.once = known, configured, since, once
	c.changed, c.sent, c.d = false, nil, schemas.LinkRA{}
}

const (
	// exactly, as since, compares lifetimes with configured ones, which do not run down.
	exactly = -1
	// slack is how much more than the time that passed a lifetime may have run down, in seconds.
	slack = 10
	// maxChanges is how many differences are described.
	maxChanges = 8
	infinity   = 1<<32 - 1
)

// says sets the flag of a difference and describes it.
func (c *comparison) says(flag *bool, format string, args ...any) {
	*flag = true
	if len(c.d.Change) < maxChanges {
		c.d.Change = append(c.d.Change, fmt.Sprintf(format, args...))
	}
}

// contradicts reports whether a lifetime contradicts the known one. A learned lifetime may have
// grown, or run down with the time as those of a delegated prefix do, but not jumped.
func (c *comparison) contradicts(known *uint32, sent uint32) bool {
	// A router that stops withdraws what it announced (RFC 4861, section 6.2.5).
	if c.since == exactly {
		return differ(known, sent) && !(c.d.Stops && sent == 0)
	}
	return known != nil && c.jumps(uint64(*known), uint64(sent))
}

// jumps reports whether a known lifetime was cut short or made infinite, except by a router that stops.
func (c *comparison) jumps(known, sent uint64) bool {
	left := int64(known) - c.since/second
	switch {
	case c.d.Stops:
		return false
	case sent == 0:
		return left > 1
	case sent == infinity:
		return left < infinity-infinity/2
	}
	return int64(sent) < left-slack
}

// run sets d to how an RA differs from what is known of its router. If it does not differ, d.Change is empty.
func (c *comparison) run(e *schemas.Event) {
	c.d.Stops = e.ND.RA.Lifetime == 0 && (c.known.Lifetime == nil || *c.known.Lifetime != 0)
	if !c.known.Volatile && !c.configured.Volatile {
		c.parameters(e.ND.RA)
	}
	opt := e.ND.Opt
	if opt == nil {
		return
	}
	fromLearned := c.since != exactly // a learned router: see statements for what an RA repeats
	for i := range opt.MTU {
		if sent := opt.MTU[i].MTU; (i == 0 || !fromLearned) && !c.known.Volatile && !c.configured.Volatile && c.configured.MTU == nil && differ(c.known.MTU, sent) {
			c.changed = true
			c.says(&c.d.MTU, "MTU was %s, is %d", orNone(*c.known.MTU), sent)
		}
	}
	for i := range opt.PrefixInfo {
		if !fromLearned || !prefixAgain(opt, i) {
			c.comparePrefix(&opt.PrefixInfo[i])
		}
	}
	for i := range opt.RDNSS {
		for _, a := range opt.RDNSS[i].Address {
			c.compareDNS(a, opt.RDNSS[i].Lifetime)
		}
	}
	for i := range opt.DNSSL {
		for _, name := range opt.DNSSL[i].Domain {
			c.compareDomain(name, opt.DNSSL[i].Lifetime)
		}
	}
	for i := range opt.RouteInfo {
		if !fromLearned || !routeAgain(opt, i) {
			c.compareRoute(&opt.RouteInfo[i])
		}
	}
	if fromLearned { // a configuration does not list the rest
		for i := range opt.PREF64 {
			c.compareNAT64(&opt.PREF64[i])
		}
		c.sent = statements(e)
		c.compareOptions(c.sent)
	}
}

func (c *comparison) parameters(ra *schemas.RA) {
	r, configured, d := c.known, c.configured, &c.d
	if configured.CurHopLimit == nil && differ(r.CurHopLimit, ra.CurHopLimit) {
		c.says(&d.CurHopLimit, "cur hop limit was %d, is %d", *r.CurHopLimit, ra.CurHopLimit)
	}
	if configured.Flags == nil && r.Flags != nil {
		// Decode is an array access, Encode a map access.
		if known := *r.Flags; schemas.AllFlags().RA.Decode(known) != ra.Flag {
			c.says(&d.Flags, "flags were %s, are %s", raFlagNames(known), raFlagNames(raFlags(ra)))
		}
		if known := *r.Flags & schemas.PreferenceMask; known != schemas.EncodePreference(ra.Preference) {
			c.says(&d.Preference, "preference was %s, is %s", schemas.DecodePreference(known), ra.Preference)
		}
	}
	if configured.Lifetime == nil && r.Lifetime != nil {
		known := uint32(*r.Lifetime)
		differs := differ(r.Lifetime, ra.Lifetime)
		if c.since != exactly {
			// One that was heard once with lifetime 0 has maybe just stopped.
			differs = known == 0 && ra.Lifetime != 0 && !c.once || c.contradicts(&known, uint32(ra.Lifetime))
		}
		if differs {
			c.says(&d.Lifetime, "router lifetime was %d s, is %d s", known, ra.Lifetime)
		}
	}
	if configured.ReachableTimer == nil && differ(r.ReachableTimer, ra.ReachableTimer) {
		c.says(&d.ReachableTimer, "reachable time was %d ms, is %d ms", *r.ReachableTimer, ra.ReachableTimer)
	}
	if configured.RetransTimer == nil && differ(r.RetransTimer, ra.RetransTimer) {
		c.says(&d.RetransTimer, "retransmission timer was %d ms, is %d ms", *r.RetransTimer, ra.RetransTimer)
	}
	d.Params = d.CurHopLimit || d.Flags || d.Preference || d.Lifetime && !d.Stops || d.ReachableTimer || d.RetransTimer
	c.changed = d.Params || d.Lifetime
}

func (c *comparison) comparePrefix(p *schemas.PrefixInfo) {
	prefix := prefixOf(p.Prefix, p.PrefixLength)
	known, configured := c.known.prefix(prefix), c.configured.prefix(prefix)
	if known == nil {
		if !c.rest() {
			c.says(&c.d.Prefix, "prefix %v is new, %s", prefix, before(c.known.Prefixes, func(p *Prefix) any { return p.Prefix }))
		}
		return
	}
	if c.known.Volatile {
		return
	}
	if configured == nil {
		configured = &Prefix{}
	}
	already := len(c.d.Change)
	if configured.Flags == nil && known.Flags != nil && schemas.AllFlags().PrefixInfo.Decode(*known.Flags) != p.Flag {
		c.says(&c.d.PrefixParams, "flags of prefix %v were %s, are %s", prefix, prefixFlagNames(*known.Flags), prefixFlagNames(prefixFlags(p)))
	}
	if configured.Valid == nil && c.contradicts(known.Valid, p.ValidLifetime) {
		c.says(&c.d.PrefixParams, "valid lifetime of prefix %v was %s, is %s", prefix, seconds(*known.Valid), seconds(p.ValidLifetime))
	}
	if configured.Preferred == nil && c.contradicts(known.Preferred, p.PreferredLifetime) {
		c.says(&c.d.PrefixParams, "preferred lifetime of prefix %v was %s, is %s", prefix, seconds(*known.Preferred), seconds(p.PreferredLifetime))
	}
	c.changed = c.changed || len(c.d.Change) > already
}

// rest reports whether the router is configured, so that its lists are not compared with known.
func (c *comparison) rest() bool { return c.configured.LinkLocal.IsValid() }

func (c *comparison) compareDNS(a netip.Addr, lifetime uint32) {
	known, configured := c.known.dns(a), c.configured.dns(a)
	switch {
	case known == nil && c.rest():
	case known == nil:
		c.says(&c.d.RDNSS, "DNS server %v is new, %s", a, before(c.known.RDNSS, func(d *DNS) any { return d.Address }))
	case configured != nil && configured.Lifetime != nil:
	case c.contradicts(known.Lifetime, lifetime):
		c.changed = true
		c.says(&c.d.RDNSS, "lifetime of DNS server %v was %s, is %s", a, seconds(*known.Lifetime), seconds(lifetime))
	}
}

func (c *comparison) compareDomain(name string, lifetime uint32) {
	known, configured := c.known.domain(name), c.configured.domain(name)
	switch {
	case known == nil && c.rest():
	case known == nil:
		c.says(&c.d.DNSSL, "search domain %s is new, %s", name, before(c.known.DNSSL, func(d *Domain) any { return d.Domain }))
	case configured != nil && configured.Lifetime != nil:
	case c.contradicts(known.Lifetime, lifetime):
		c.changed = true
		c.says(&c.d.DNSSL, "lifetime of search domain %s was %s, is %s", name, seconds(*known.Lifetime), seconds(lifetime))
	}
}

func (c *comparison) compareRoute(o *schemas.RouteInfo) {
	prefix, flags := prefixOf(o.Prefix, o.PrefixLength), routeFlags(o)
	known, configured := c.known.route(prefix), c.configured.route(prefix)
	if known == nil {
		if !c.rest() {
			c.says(&c.d.Route, "route %v is new, %s", prefix, before(c.known.Routes, func(r *Route) any { return r.Prefix }))
		}
		return
	}
	if configured == nil {
		configured = &Route{}
	}
	if configured.Lifetime == nil && c.contradicts(known.Lifetime, o.Lifetime) {
		c.changed = true
		c.says(&c.d.RouteLifetime, "lifetime of route %v was %s, is %s", prefix, seconds(*known.Lifetime), seconds(o.Lifetime))
	}
	if configured.Flags == nil && differ(known.Flags, flags) {
		c.changed = true
		c.says(&c.d.RoutePreference, "preference of route %v was %s (flags %#x), is %s (%#x)", prefix, schemas.DecodePreference(*known.Flags), *known.Flags, o.Preference, flags)
	}
}

func (c *comparison) compareNAT64(o *schemas.PREF64) {
	prefix := prefixOf(o.Prefix, o.PrefixLength)
	switch known := c.known.nat64(prefix); {
	case known == nil:
		c.says(&c.d.PREF64, "NAT64 prefix %v is new, %s", prefix, before(c.known.NAT64, func(n *NAT64) any { return n.Prefix }))
	case known.Lifetime != nil && c.jumps(uint64(*known.Lifetime), uint64(o.Lifetime)):
		c.changed = true
		c.says(&c.d.PREF64, "lifetime of NAT64 prefix %v was %d s, is %d s", prefix, *known.Lifetime, o.Lifetime)
	}
}

// compareOptions compares the options that have no list of their own in Router.
func (c *comparison) compareOptions(sent []schemas.Statement) {
	for i := range sent {
		s := &sent[i]
		if known := c.known.other(s.Number, s.Text); known != nil {
			c.optionLifetimes(known, s)
			continue
		}
		was := one(c.known.Others, func(known *Option) bool {
			return known.Type == s.Number && !slices.ContainsFunc(sent, func(s schemas.Statement) bool { return s.Number == known.Type && s.Text == known.Text })
		})
		if was == nil {
			c.says(&c.d.Option, "%s is new: %s", s.Name(), s.Text)
			continue
		}
		c.changed = true
		c.says(&c.d.Option, "%s was %s, is %s", s.Name(), was.Text, s.Text)
	}
}

func (c *comparison) optionLifetimes(known *Option, s *schemas.Statement) {
	for i := range min(len(known.Lifetimes), len(s.Lifetimes)) {
		if was, is := known.Lifetimes[i], s.Lifetimes[i]; c.jumps(was, is) {
			c.changed = true
			c.says(&c.d.Option, "lifetime of %s (%s) was %d, is %d", s.Name(), s.Text, was, is)
		}
	}
}

// before lists what was known before something new.
func before[T any](list []T, name func(*T) any) string {
	if len(list) == 0 {
		return "before none"
	}
	const most = 4
	var b strings.Builder
	b.WriteString("before")
	for i := range list[:min(most, len(list))] {
		fmt.Fprintf(&b, " %v", name(&list[i]))
	}
	if n := len(list) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

func seconds(n uint32) string {
	if n == infinity {
		return "infinity"
	}
	return fmt.Sprintf("%d s", n)
}

func orNone(n uint32) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}
