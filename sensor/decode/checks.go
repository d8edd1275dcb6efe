package decode

import (
	"encoding/binary"

	"github.com/ndmon/ndmon/schemas"
)

const (
	maxReachable = 3_600_000 // ms of an RA's reachable time, RFC 4861, section 6.2.1
	minMTU       = 1280      // bytes, RFC 8200, section 5
	slaacBits    = 64        // the length of a prefix for autoconfiguration, RFC 4862, section 5.5.3
)

// The link-local groups that messages go to (RFC 4291, section 2.7.1), each the
// lower half of its address.
const (
	allNodes      = 1
	allRouters    = 2
	solicitedNode = 0x1_ff00_0000 // and the last 24 bits of the target
)

// checked is what the checks need to know of a message beside its event.
type checked struct {
	// from and to are the packet's addresses; target and destination those in an
	// NS, NA or Redirect.
	from, to, target, destination ip
	// snapped is set when the packet is cut short in the capture alone.
	snapped bool
	// rerouted is set when the packet has more stops ahead, so that nobody
	// knows its last destination.
	rerouted bool
	// complete is set when no option of the message is elsewhere or unreadable,
	// so that one that was not seen is not there.
	complete bool
	// seen has the types of the options, those with bad content too.
	seen optionSet
	// first is where the first one of a type that a message has once stands, in
	// bytes from the message's start.
	first [256]uint16
}

// reset forgets the last message. The rest is not read before it is set.
func (c *checked) reset() { c.rerouted, c.complete, c.seen = false, false, optionSet{} }

// toGroup reports whether the message is known to go to a multicast group.
func (c *checked) toGroup() bool { return c.to.isMulticast() && !c.rerouted }

// found notes a fault, one of the members of d.fault, if it is there.
func (d *Decoder) found(fault *bool, is bool) {
	if is {
		*fault = true
		d.event.Fault = &d.fault
	}
}

// refused is found for a fault for which receivers discard the message.
func (d *Decoder) refused(fault *bool, is bool) {
	if is {
		*fault = true
		d.fault.Discarded = true
		d.event.Fault = &d.fault
	}
}

// foundInRA is found for a fault of an option in an RA.
func (d *Decoder) foundInRA(fault *bool, is bool) { d.found(fault, is && d.nd.RA != nil) }

// cut notes that the packet or the message is cut short, if it was sent so.
func (d *Decoder) cut() { d.refused(&d.fault.Length, !d.checked.snapped) }

// check finds the faults of what was decoded, beside those that decoding came
// across: what hinders it, and those of single options. What is not known of a
// message that is cut short or goes on in another fragment is no fault.
func (d *Decoder) check() {
	c, f := &d.checked, &d.fault
	d.found(&f.EthernetDestination, !carries(d.ethernet.Destination, c.to))
	if own := eui64(d.ethernet.Source); c.from.isEUI64() && c.from.low != own {
		d.found(&f.EUI64, true)
		d.found(&f.EUI64Bit, c.from.low == own^1<<57)
	}
	if d.event.ICMP6 == nil {
		return // it may be anything
	}
	d.refused(&f.HopLimit, d.inet6.HopLimit != 255)
	d.refused(&f.Source, c.from.isMulticast() || c.from.isLoopback())
	d.found(&f.NotAllowed, c.seen.meets(&d.table.notAllowed[d.icmp6.Type-routerSolicitation]))
	switch d.icmp6.Type {
	case routerSolicitation:
		d.checkRS()
	case routerAdvertisement:
		d.checkRA()
	case neighborSolicitation:
		d.checkNS()
	case neighborAdvertisement:
		d.checkNA()
	case redirect:
		d.checkRD()
	}
}

// checkRS checks a Router Solicitation (RFC 4861, section 6.1.1).
func (d *Decoder) checkRS() {
	c, f := &d.checked, &d.fault
	d.refused(&f.Unspecified, c.from.isUnspecified() && c.seen.has(optSourceLinkLayer))
	d.found(&f.Destination, c.toGroup() && !c.to.isGroup(allRouters))
}

// checkRA checks a Router Advertisement (RFC 4861, section 6.1.2).
func (d *Decoder) checkRA() {
	c, f, ra := &d.checked, &d.fault, d.nd.RA
	d.refused(&f.Source, !c.from.isLinkLocal())
	d.found(&f.Destination, c.toGroup() && !c.to.isGroup(allNodes))
	if ra == nil {
		return
	}
	d.found(&f.Preference, ra.Preference == schemas.PreferenceReserved || ra.Lifetime == 0 && ra.Preference != schemas.PreferenceMedium)
	d.found(&f.ReachableTimer, ra.ReachableTimer > maxReachable)
}

// checkNS checks a Neighbor Solicitation (RFC 4861, section 7.1.1).
func (d *Decoder) checkNS() {
	c, f := &d.checked, &d.fault
	unspecified := c.from.isUnspecified()
	d.refused(&f.Unspecified, unspecified && c.seen.has(optSourceLinkLayer))
	if d.nd.NS == nil {
		return
	}
	d.checkTarget()
	if c.rerouted {
		return
	}
	// From ::, any solicited-node group will do for receivers.
	nowhere := unspecified && !c.to.isSolicitedNode()
	solicited := c.to.isGroup(solicitedNode | c.target.low&0xff_ffff)
	d.refused(&f.Unspecified, nowhere)
	d.found(&f.SolicitedNode, !nowhere && !solicited && c.to.isMulticast())
	// To a router, a host sends one to register its address (RFC 8505, section 5.6).
	d.found(&f.Destination, !c.to.isMulticast() && c.to != c.target && c.complete && !c.seen.has(optRegistration))
}

// checkTarget checks the target of an NS or NA (RFC 4861, sections 7.1.1 and
// 7.1.2). Receivers have no use for :: and loopback, but no condition forbids
// them.
func (d *Decoder) checkTarget() {
	target := d.checked.target
	d.refused(&d.fault.Target, target.isMulticast())
	d.found(&d.fault.Target, target.isNoHost())
}

// checkNA checks a Neighbor Advertisement (RFC 4861, section 7.1.2).
func (d *Decoder) checkNA() {
	c, f, flag := &d.checked, &d.fault, d.na.Flag
	d.found(&f.Source, c.from.isUnspecified())
	// To all routers, a host sends one when it has a new address (RFC 9131).
	d.found(&f.Destination, c.toGroup() && !c.to.isGroup(allNodes) && !c.to.isGroup(allRouters))
	if d.nd.NA == nil {
		return
	}
	d.checkTarget()
	d.refused(&f.Solicited, flag.Solicited && c.toGroup())
	d.found(&f.Override, flag.Override && c.complete && !c.seen.has(optTargetLinkLayer))
	d.found(&f.ProxyOverride, flag.Override && c.from != c.target)
	d.found(&f.TargetMismatch, c.from != c.target && c.from.isLinkLocal() && c.target.isLinkLocal())
}

// checkRD checks a Redirect (RFC 4861, section 8.1).
func (d *Decoder) checkRD() {
	c, f := &d.checked, &d.fault
	d.refused(&f.Source, !c.from.isLinkLocal())
	d.found(&f.Destination, c.toGroup())
	if d.nd.RD == nil {
		return
	}
	d.refused(&f.Target, c.destination.isMulticast() || c.target != c.destination && !c.target.isLinkLocal())
}

// checkLinkLayer checks a link-layer address option of a type, in which the
// sender gives its own address or that of somebody else.
func (d *Decoder) checkLinkLayer(option uint8, address schemas.MAC) {
	own := d.icmp6.Type <= neighborSolicitation
	if option == optTargetLinkLayer {
		own = d.icmp6.Type == neighborAdvertisement
	}
	d.found(&d.fault.EthernetMismatch, own && address != d.ethernet.Source)
	d.found(&d.fault.LinkLayer, address == schemas.MAC{} || address.IsMulticast())
}

// checkRedirected checks the addresses of the packet in a Redirected Header
// option, which the receiver must have sent (RFC 4861, section 8.2).
func (d *Decoder) checkRedirected(from, to ip) {
	c := &d.checked
	d.found(&d.fault.RedirectedHeader, d.nd.RD != nil && (to != c.destination || from != c.to && !c.rerouted))
}

// checkPrefix checks a Prefix Information option of an RA, with its prefix (RFC
// 4861, section 4.6.2; RFC 4862, section 5.5.3).
func (d *Decoder) checkPrefix(o *schemas.PrefixInfo, address ip) {
	f, prefix := &d.fault, address.masked(o.PrefixLength)
	d.foundInRA(&f.Prefix, prefix.isLinkLocal() || prefix.isMulticast() || prefix != address && !o.Flag.Router)
	d.foundInRA(&f.PrefixLength, o.Flag.Autoconf && o.PrefixLength != slaacBits)
	d.foundInRA(&f.PrefixLifetime, o.PreferredLifetime > o.ValidLifetime)
}

// checkRoute checks a Route Information option of an RA, with its prefix (RFC
// 4191, section 2.3).
func (d *Decoder) checkRoute(o *schemas.RouteInfo, address ip) {
	prefix := address.masked(o.PrefixLength)
	d.foundInRA(&d.fault.Route, prefix.isLinkLocal() || prefix.isMulticast())
	d.foundInRA(&d.fault.Preference, o.Preference == schemas.PreferenceReserved)
}

// carries reports whether a frame to an Ethernet address may hold a packet to an
// IPv6 address: a group's frame only one to that group (RFC 2464, section 7), a
// station's frame any (RFC 6085).
func carries(frame schemas.MAC, packet ip) bool {
	return !frame.IsMulticast() ||
		packet.isMulticast() && frame.Uint64() == 0x3333_0000_0000|packet.low&0xffff_ffff
}

// eui64 returns the interface identifier that is made of an Ethernet address
// (RFC 4291, appendix A).
func eui64(m schemas.MAC) uint64 {
	n := m.Uint64() ^ 0x0200_0000_0000 // the U/L bit
	return n>>24<<40 | 0xfffe<<24 | n&0xff_ffff
}

// ip is an IPv6 address as a number. It is quicker to ask than a netip.Addr,
// whose methods also take an IPv4-mapped address for the IPv4 address in it, as
// no receiver does.
type ip struct{ high, low uint64 }

// number reads an IPv6 address of 16 bytes.
func number(b []byte) ip { return ip{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])} }

func (a ip) isUnspecified() bool { return a == ip{} }
func (a ip) isLoopback() bool    { return a == ip{0, 1} }
func (a ip) isMulticast() bool   { return a.high>>56 == 0xff }      // ff00::/8
func (a ip) isLinkLocal() bool   { return a.high>>54 == 0xfe80>>6 } // fe80::/10
func (a ip) isEUI64() bool       { return a.low>>24&0xffff == 0xfffe && !a.isMulticast() }

// isNoHost reports whether no other host can have the address.
func (a ip) isNoHost() bool { return a.isMulticast() || a.isUnspecified() || a.isLoopback() }

// isGroup reports whether the address is that of a link-local group.
func (a ip) isGroup(low uint64) bool { return a == ip{0xff02 << 48, low} }

// isSolicitedNode reports whether the address is the solicited-node group of any
// target.
func (a ip) isSolicitedNode() bool { return a.isGroup(solicitedNode | a.low&0xff_ffff) }

// groupOfND names the group if it is one that ND messages go to, and is "" for
// any other address.
func (a ip) groupOfND() string {
	switch {
	case a.isGroup(allNodes):
		return "all nodes"
	case a.isGroup(allRouters):
		return "all routers"
	case a.isSolicitedNode():
		return "a solicited-node group"
	}
	return ""
}

// bytes is the inverse of number.
func (a ip) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return b
}

// masked clears the bits behind a prefix.
func (a ip) masked(bits uint8) ip {
	if bits <= 64 {
		return ip{a.high >> (64 - bits) << (64 - bits), 0}
	}
	return ip{a.high, a.low >> (128 - bits) << (128 - bits)}
}
