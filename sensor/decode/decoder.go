// Package decode reads Neighbor Discovery frames into events: the messages of RFC 4861 on
// Ethernet and IPv6, also after extension headers. It trusts nothing in a frame, and reports in
// the event what is wrong with a message. What depends on more than one frame is for ruled.
//
// A frame passes through the files decoder.go (Ethernet), inet6.go, message.go, the files of the
// options (router.go, other.go), and checks.go.
package decode

import (
	"encoding/binary"
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

const (
	etherTypeIPv6 = 0x86dd
	etherTypeVLAN = 0x8100 // IEEE 802.1Q
	etherTypeQinQ = 0x88a8 // IEEE 802.1ad
	ethernetSize  = 14     // with the EtherType
	vlanTagSize   = 4
	vlanMask      = 0x0fff // the identifier in a tag's control information
	priority      = 0      // the identifier of a tag that is only a priority, IEEE 802.1Q

	// maxLength is the greatest value in place of the EtherType that LLC and SNAP headers may
	// follow. A length is 1500 at most, and EtherTypes begin at 1536 (IEEE 802.3, section
	// 3.2.6). The values between are undefined, but some switches forward such a frame and
	// some hosts read a length (CVE-2021-27861).
	maxLength = 1535
	// snapIPv6 are LLC and SNAP headers before IPv6 (RFC 1042).
	snapIPv6 = "\xaa\xaa\x03\x00\x00\x00\x86\xdd"
)

// Decode decodes an Ethernet frame that had length bytes on the wire, of which len(frame) were
// captured. It returns false if the frame is not Neighbor Discovery: ICMPv6 of the types 133 to
// 137 after at most two VLAN tags and any number of priority tags, possibly LLC and SNAP
// headers, and any IPv6 extension headers. A packet whose header chain is cut short may be
// Neighbor Discovery, and is an event without ICMP6; so is a later fragment of a packet to one
// of the groups that Neighbor Discovery uses.
//
// The event has Ethernet, Inet6, ICMP6, ND, Fault and Frame; the caller adds the rest. It is
// valid until the next call and refers to frame.
func (d *Decoder) Decode(frame []byte, length int) (*schemas.Event, bool) {
	if d.table == nil {
		d.table = optionKinds()
	}
	d.reset()
	packet, ok := d.ethernetHeader(frame)
	if !ok || !d.packet(packet, max(length-len(frame), 0)) {
		return nil, false
	}
	d.check()
	if d.malformed.count > 0 {
		d.nd.Malformed = d.malformed.String()
	}
	d.event.Ethernet = &d.ethernet
	d.event.Inet6 = &d.inet6
	d.event.ND = &d.nd
	d.event.Frame = frame
	return &d.event, true
}

// SetVLAN adds a tag that the kernel has removed from the frame to the event that Decode
// returned last. Only the lower 12 bits of the tag's control information count. It becomes the
// outer tag, and those that Decode found in the frame move inwards. Of three tags the innermost
// one is omitted, unless one of them is only a priority.
func (d *Decoder) SetVLAN(tag uint16) { d.addTag(0, tag) }

// addTag inserts a VLAN tag among those found so far, at 0 for the outermost. It returns false
// for the third of three tags none of which is only a priority.
//
// A tag that is only a priority is useless next to another tag, which has a priority itself. Hosts
// skip any number of them, but filters expect the EtherType after the first (CVE-2021-27853).
func (d *Decoder) addTag(at int, tag uint16) (ok bool) {
	tags := slices.Insert(d.vlan[:d.tags], at, tag&vlanMask)
	d.found(&d.fault.Encapsulation, len(tags) > 1 && slices.Contains(tags, priority))
	ok = true
	for i := maxTags; len(tags) > maxTags; i-- {
		switch {
		case i < 0:
			tags, ok = tags[:maxTags], false
		case tags[i] == priority:
			tags = slices.Delete(tags, i, i+1)
		}
	}
	d.tags = len(tags)
	e := &d.ethernet
	e.VLAN = &d.vlan[0]
	if len(tags) > 1 {
		e.InnerVLAN = &d.vlan[1]
	}
	return ok
}

func (d *Decoder) ethernetHeader(frame []byte) ([]byte, bool) {
	if len(frame) < ethernetSize {
		return nil, false
	}
	d.ethernet.Destination = schemas.MAC(frame[0:6])
	d.ethernet.Source = schemas.MAC(frame[6:12])
	d.ethernet.SourceMulticast = d.ethernet.Source.IsMulticast()
	etherType, rest := binary.BigEndian.Uint16(frame[12:]), frame[ethernetSize:]
	if etherType == etherTypeIPv6 {
		return rest, true
	}
	return d.unwrap(etherType, rest)
}

// unwrap returns the IPv6 packet after VLAN tags, LLC and SNAP headers, or both.
//
// A filter that compares the EtherType does not recognise IPv6 there (CVE-2021-27853,
// CVE-2021-27854), and IPv6 on Ethernet is sent without LLC and SNAP (RFC 2464). The length
// before those headers is not checked, because receivers do not check it (CVE-2021-27861).
func (d *Decoder) unwrap(etherType uint16, rest []byte) ([]byte, bool) {
	for etherType == etherTypeVLAN || etherType == etherTypeQinQ {
		if len(rest) < vlanTagSize || !d.addTag(d.tags, binary.BigEndian.Uint16(rest)) {
			return nil, false
		}
		etherType, rest = binary.BigEndian.Uint16(rest[2:]), rest[vlanTagSize:]
	}
	if etherType <= maxLength && len(rest) >= len(snapIPv6) && string(rest[:len(snapIPv6)]) == snapIPv6 {
		d.found(&d.fault.Encapsulation, true)
		return rest[len(snapIPv6):], true
	}
	return rest, etherType == etherTypeIPv6
}
