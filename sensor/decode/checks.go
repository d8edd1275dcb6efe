package decode

import (
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

const (
	maxReachable = 3_600_000 // ms of an RA's reachable time, RFC 4861, section 6.2.1
	minMTU       = 1280      // bytes, RFC 8200, section 5
	slaacBits    = 64        // the length of a prefix for autoconfiguration, RFC 4862, section 5.5.3
)

// check finds the faults of the decoded message. Faults that hinder decoding, and those of
// single options, were found before. What is unknown because the message is cut short or
// continues in another fragment is no fault.
func (d *Decoder) check() {
	c, f := &d.checked, &d.fault
	d.found(&f.EthernetDestination, !carries(d.ethernet.Destination, c.to))
	if own := addr.EUI64(d.ethernet.Source); c.from.IsEUI64() && c.from.Low != own {
		d.found(&f.EUI64, true)
		d.found(&f.EUI64Bit, c.from.Low == own^1<<57)
	}
	if d.event.ICMP6 == nil {
		return // it may be anything
	}
	d.refused(&f.HopLimit, d.inet6.HopLimit != 255)
	d.refused(&f.Source, c.from.IsMulticast() || c.from.IsLoopback())
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
	d.refused(&f.Unspecified, c.from.IsUnspecified() && c.seen.has(optSourceLinkLayer))
	d.found(&f.Destination, c.toGroup() && !c.to.IsGroup(addr.AllRouters))
}

// checkRA checks a Router Advertisement (RFC 4861, section 6.1.2).
func (d *Decoder) checkRA() {
	c, f, ra := &d.checked, &d.fault, d.nd.RA
	d.refused(&f.Source, !c.from.IsLinkLocal())
	d.found(&f.Destination, c.toGroup() && !c.to.IsGroup(addr.AllNodes))
	if ra == nil {
		return
	}
	d.found(&f.Preference, ra.Preference == schemas.PreferenceReserved || ra.Lifetime == 0 && ra.Preference != schemas.PreferenceMedium)
	d.found(&f.ReachableTimer, ra.ReachableTimer > maxReachable)
}

// checkNS checks a Neighbor Solicitation (RFC 4861, section 7.1.1).
func (d *Decoder) checkNS() {
	c, f := &d.checked, &d.fault
	unspecified := c.from.IsUnspecified()
	d.refused(&f.Unspecified, unspecified && c.seen.has(optSourceLinkLayer))
	if d.nd.NS == nil {
		return
	}
	d.checkTarget()
	if c.rerouted {
		return
	}
	// From ::, receivers accept any solicited-node group.
	nowhere := unspecified && !c.to.IsSolicitedNode()
	solicited := c.to.IsGroup(addr.SolicitedNode | c.target.Low&0xff_ffff)
	d.refused(&f.Unspecified, nowhere)
	d.found(&f.SolicitedNode, !nowhere && !solicited && c.to.IsMulticast())
	// A host sends an NS to a router to register its address (RFC 8505, section 5.6).
	d.found(&f.Destination, !c.to.IsMulticast() && c.to != c.target && c.complete && !c.seen.has(optRegistration))
}

// checkTarget checks the target of an NS or NA (RFC 4861, sections 7.1.1 and 7.1.2). :: and
// loopback addresses are useless, but those sections do not forbid them.
func (d *Decoder) checkTarget() {
	target := d.checked.target
	d.refused(&d.fault.Target, target.IsMulticast())
	d.found(&d.fault.Target, target.IsNoHost())
}

// checkNA checks a Neighbor Advertisement (RFC 4861, section 7.1.2).
func (d *Decoder) checkNA() {
	c, f, flag := &d.checked, &d.fault, d.na.Flag
	d.found(&f.Source, c.from.IsUnspecified())
	// A host sends an NA to all routers when it has a new address (RFC 9131).
	d.found(&f.Destination, c.toGroup() && !c.to.IsGroup(addr.AllNodes) && !c.to.IsGroup(addr.AllRouters))
	if d.nd.NA == nil {
		return
	}
	d.checkTarget()
	d.refused(&f.Solicited, flag.Solicited && c.toGroup())
	d.found(&f.Override, flag.Override && c.complete && !c.seen.has(optTargetLinkLayer))
	d.found(&f.ProxyOverride, flag.Override && c.from != c.target)
	d.found(&f.TargetMismatch, c.from != c.target && c.from.IsLinkLocal() && c.target.IsLinkLocal())
}

// checkRD checks a Redirect (RFC 4861, section 8.1).
func (d *Decoder) checkRD() {
	c, f := &d.checked, &d.fault
	d.refused(&f.Source, !c.from.IsLinkLocal())
	d.found(&f.Destination, c.toGroup())
	if d.nd.RD == nil {
		return
	}
	d.refused(&f.Target, c.destination.IsMulticast() || c.target != c.destination && !c.target.IsLinkLocal())
}

// checkLinkLayer checks a link-layer address option, which has the sender's own address or
// that of another station.
func (d *Decoder) checkLinkLayer(option uint8, address schemas.MAC) {
	own := d.icmp6.Type <= neighborSolicitation
	if option == optTargetLinkLayer {
		own = d.icmp6.Type == neighborAdvertisement
	}
	d.found(&d.fault.EthernetMismatch, own && address != d.ethernet.Source)
	d.found(&d.fault.LinkLayer, address == schemas.MAC{} || address.IsMulticast())
}

// checkRedirected checks the addresses of the packet in a Redirected Header option, which the
// receiver of the Redirect must have sent (RFC 4861, section 8.2).
func (d *Decoder) checkRedirected(from, to addr.IP) {
	c := &d.checked
	d.found(&d.fault.RedirectedHeader, d.nd.RD != nil && (to != c.destination || from != c.to && !c.rerouted))
}

// checkPrefix checks a Prefix Information option of an RA and its prefix (RFC 4861, section
// 4.6.2; RFC 4862, section 5.5.3).
func (d *Decoder) checkPrefix(o *schemas.PrefixInfo, address addr.IP) {
	f, prefix := &d.fault, address.Masked(o.PrefixLength)
	d.foundInRA(&f.Prefix, prefix.IsLinkLocal() || prefix.IsMulticast() || prefix != address && !o.Flag.Router)
	d.foundInRA(&f.PrefixLength, o.Flag.Autoconf && o.PrefixLength != slaacBits)
	d.foundInRA(&f.PrefixLifetime, o.PreferredLifetime > o.ValidLifetime)
}

// checkRoute checks a Route Information option of an RA and its prefix (RFC 4191, section 2.3).
func (d *Decoder) checkRoute(o *schemas.RouteInfo, address addr.IP) {
	prefix := address.Masked(o.PrefixLength)
	d.foundInRA(&d.fault.Route, prefix.IsLinkLocal() || prefix.IsMulticast())
	d.foundInRA(&d.fault.Preference, o.Preference == schemas.PreferenceReserved)
}

// carries reports whether a frame to an Ethernet address may contain a packet to an IPv6 address:
// to a group only a packet to that group (RFC 2464, section 7), to a station any packet (RFC 6085).
func carries(frame schemas.MAC, packet addr.IP) bool {
	return !frame.IsMulticast() ||
		packet.IsMulticast() && frame.Uint64() == 0x3333_0000_0000|packet.Low&0xffff_ffff
}
