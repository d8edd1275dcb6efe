package decode

import (
	"bytes"
	"encoding/hex"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// maxTags is how many VLAN tags of a frame an event has. If a frame has more, those that
// are only a priority are omitted.
const maxTags = 2

// Decoder decodes frames one after the other. It owns the events that it
// returns and uses their memory again, so it needs no allocation for most
// frames. The zero value is ready; it is not for concurrent use.
type Decoder struct {
	event    schemas.Event
	ethernet schemas.Ethernet
	vlan     [maxTags + 1]uint16 // the tags, and room for one more
	tags     int                 // how many there are
	inet6    schemas.Inet6
	fragment schemas.Fragment
	icmp6    schemas.ICMP6
	nd       schemas.ND
	rs       schemas.RS
	ra       schemas.RA
	ns       schemas.NS
	na       schemas.NA
	rd       schemas.RD
	// options has the lists of all options. Those that the message does not have
	// are empty, with the memory of an earlier one.
	options schemas.Options
	used    []list          // the lists of options that are not empty
	inner   schemas.Options // those of the PvD option that is being decoded

	memory    memory
	table     *optionTable // nil before the first frame
	fault     schemas.Fault
	malformed malformed
	checked   checked
}

// reset forgets the last frame but not the memory.
func (d *Decoder) reset() {
	if d.event.Fault != nil {
		d.fault = schemas.Fault{}
	}
	d.event = schemas.Event{}
	d.ethernet.VLAN, d.ethernet.InnerVLAN, d.tags = nil, nil, 0
	d.inet6.Extension = nil
	d.inet6.Fragment = nil
	for _, list := range d.used {
		list.empty()
	}
	d.used = d.used[:0]
	d.nd = schemas.ND{}
	d.memory.reset()
	d.malformed = malformed{}
	d.checked.reset()
}

// list is a list of options whose memory is used again.
type list interface{ empty() }

type listOf[T any] []T

func (l *listOf[T]) empty() { *l = (*l)[:0] }

// addTo appends to a list of options of the event. It returns the new element.
func addTo[T any](d *Decoder, options *[]T, option T) *T {
	if len(*options) == 0 {
		d.used = append(d.used, (*listOf[T])(options))
		d.nd.Opt = &d.options
	}
	*options = append(*options, option)
	return &(*options)[len(*options)-1]
}

// memory is what the lists in an event's options and headers are made of.
type memory struct {
	extensions []schemas.Extension
	addresses  []netip.Addr
	echoes     []schemas.Echo
	texts      []string
	text       []byte
}

func (m *memory) reset() {
	m.extensions = m.extensions[:0]
	m.addresses = m.addresses[:0]
	m.echoes = m.echoes[:0]
	m.texts = m.texts[:0]
}

func (d *Decoder) hex(b []byte) string {
	d.memory.text = hex.AppendEncode(d.memory.text[:0], b)
	return string(d.memory.text)
}

// address reads an IPv6 address of 16 bytes.
func address(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }

// checked is what the checks need to know of a message beside its event.
type checked struct {
	// from and to are the packet's addresses; target and destination those in an
	// NS, NA or Redirect.
	from, to, target, destination addr.IP
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
func (c *checked) toGroup() bool { return c.to.IsMulticast() && !c.rerouted }

// repeats notes an option that a message has once. It reports whether it is
// there again and not the same.
func (c *checked) repeats(m []byte, at, size int) bool {
	kind := m[at]
	if !c.seen.has(kind) {
		c.first[kind] = uint16(at)
		return false
	}
	first := m[c.first[kind]:]
	return !bytes.Equal(first[:8*int(first[1])], m[at:at+size])
}

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
