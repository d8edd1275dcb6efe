package decode

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode/internal/addr"
)

// maxTags is how many VLAN tags of a frame an event has. If a frame has more, those that
// are only a priority are omitted.
const maxTags = 2

// Decoder decodes frames one after the other. It owns the events that it returns and reuses
// their memory, so most frames need no allocation. The zero value is ready to use. A Decoder
// must not be used concurrently.
type Decoder struct {
	event    schemas.Event
	ethernet schemas.Ethernet
	vlan     [maxTags + 1]uint16 // the tags, and space for one more
	tags     int                 // how many of vlan are used
	inet6    schemas.Inet6
	fragment schemas.Fragment
	icmp6    schemas.ICMP6
	nd       schemas.ND
	rs       schemas.RS
	ra       schemas.RA
	ns       schemas.NS
	na       schemas.NA
	rd       schemas.RD
	// options has a list of each option. The lists of options that the message does not have
	// are empty and keep the memory of an earlier message.
	options schemas.Options
	used    []list          // the lists that are not empty
	inner   schemas.Options // the options in the PvD option that is being decoded

	memory    memory
	table     *optionTable // nil before the first frame
	fault     schemas.Fault
	malformed malformed
	checked   checked
}

// reset clears the state of the last frame and keeps its memory.
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

// list is a list of options whose memory is reused.
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

// memory backs the lists in the options and headers of an event.
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

func address(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }

// checked holds facts about a message that the checks need and its event lacks.
type checked struct {
	// from and to are the addresses of the packet; target and destination are those in an NS,
	// NA or Redirect.
	from, to, target, destination addr.IP
	// snapped says that the packet is cut short only in the capture.
	snapped bool
	// rerouted says that a routing header has segments left, so that the final destination is
	// not known.
	rerouted bool
	// complete says that all options of the message were read: one that was not seen does not
	// exist.
	complete bool
	// seen has the types of the options, also of those with bad content.
	seen optionSet
	// first is the position in the message, in bytes, of the first option of each type that a
	// message has at most once.
	first [256]uint16
}

// reset clears what is read before it is set.
func (c *checked) reset() { c.rerouted, c.complete, c.seen = false, false, optionSet{} }

// toGroup reports whether the final destination of the message is a multicast group.
func (c *checked) toGroup() bool { return c.to.IsMulticast() && !c.rerouted }

// repeats records an option that a message has at most once. It reports whether the message
// has another one with other content.
func (c *checked) repeats(m []byte, at, size int) bool {
	kind := m[at]
	if !c.seen.has(kind) {
		c.first[kind] = uint16(at)
		return false
	}
	first := m[c.first[kind]:]
	return !bytes.Equal(first[:8*int(first[1])], m[at:at+size])
}

// found sets a fault, a member of d.fault, if a condition holds.
func (d *Decoder) found(fault *bool, is bool) {
	if is {
		*fault = true
		d.event.Fault = &d.fault
	}
}

// refused is found for a fault that makes receivers discard the message.
func (d *Decoder) refused(fault *bool, is bool) {
	if is {
		*fault = true
		d.fault.Discarded = true
		d.event.Fault = &d.fault
	}
}

// foundInRA is found for a fault of an option in an RA; in other messages it does nothing.
func (d *Decoder) foundInRA(fault *bool, is bool) { d.found(fault, is && d.nd.RA != nil) }

// cut sets the fault of a packet or message that is cut short, unless only the capture cut it.
func (d *Decoder) cut() { d.refused(&d.fault.Length, !d.checked.snapped) }

const maxFaults = 3

type malformed struct {
	text  string
	count int
	// pvd is the position of the PvD option whose options are being decoded, or 0.
	pvd int
}

func (m *malformed) add(format string, args ...any) {
	m.count++
	if m.count > maxFaults {
		return
	}
	if m.count > 1 {
		m.text += "; "
	}
	if m.pvd > 0 {
		m.text += fmt.Sprintf("in the PvD option at byte %d, ", m.pvd)
	}
	m.text += fmt.Sprintf(format, args...)
}

// addOption adds a fault of an option. A message may have thousands of bad options, so those
// that are not described are only counted.
func (m *malformed) addOption(option uint8, at, size int, fault string) {
	if m.count >= maxFaults {
		m.count++
		return
	}
	m.add("option %d%s at byte %d, %d bytes long: %s", option, optionName(option), at, size, fault)
}

// String returns the first faults and the number of all others.
func (m *malformed) String() string {
	if m.count <= maxFaults {
		return m.text
	}
	return fmt.Sprintf("%s; and %d more", m.text, m.count-maxFaults)
}
