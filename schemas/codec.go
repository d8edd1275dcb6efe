package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/netip"
	"reflect"
	"strconv"
	"time"
)

// AppendJSON appends the event as JSON, as encoding/json writes it when it is
// told not to escape HTML, but some three times faster: this runs once for every
// captured frame. It does not allocate when b has room.
func (e *Event) AppendJSON(b []byte) []byte {
	return appendObject(b, placeOf(e), eventShape)
}

// AppendJSON appends the command as JSON, fast: it is on the way of each
// solicitation that is relayed.
func (r *Relay) AppendJSON(b []byte) []byte {
	return appendObject(b, placeOf(r), relayShape)
}

// ParseJSON reads a command, as strictly as an event is read.
func (r *Relay) ParseJSON(data []byte) error {
	return parseJSON(data, placeOf(r), relayShape)
}

// AppendJSON appends the result as JSON, fast: there is one for each command at
// least, also for those of a flood that are suppressed.
func (r *Result) AppendJSON(b []byte) []byte {
	return appendObject(b, placeOf(r), resultShape)
}

func appendObject(b []byte, object place, s *shape) []byte {
	b = append(b, '{')
	empty := true
	for i := range s.members {
		m := &s.members[i]
		at := object.member(m)
		if m.optional && absent(at, m) {
			continue
		}
		if !empty {
			b = append(b, ',')
		}
		empty = false
		b = append(b, m.key...)
		switch {
		case m.list:
			b = append(b, '[')
			for i := range *at.elements() {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendValue(b, at.element(i, m), m)
			}
			b = append(b, ']')
		case m.pointer:
			target, _ := at.target()
			b = appendValue(b, target, m)
		default:
			b = appendValue(b, at, m)
		}
	}
	return append(b, '}')
}

// absent reports whether an optional member is left out.
func absent(at place, m *member) bool {
	if m.word {
		return at.zeroWord(m)
	}
	return absentValue(at, m)
}

func absentValue(at place, m *member) bool {
	if m.kind == kindBool {
		return !*in[bool](at)
	}
	return at.value(m).IsZero()
}

func appendValue(b []byte, at place, m *member) []byte {
	switch m.kind {
	case kindObject:
		return appendObject(b, at, m.object)
	case kindBool:
		return strconv.AppendBool(b, *in[bool](at))
	case kindUint:
		return strconv.AppendUint(b, at.uint(m), 10)
	case kindString:
		return appendString(b, *in[string](at))
	case kindMAC:
		b = append(b, '"')
		b = in[MAC](at).appendTo(b)
		return append(b, '"')
	case kindAddr:
		b = append(b, '"')
		b = appendAddr(b, *in[netip.Addr](at))
		return append(b, '"')
	case kindTime:
		b = append(b, '"')
		b = in[time.Time](at).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	case kindBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, *in[[]byte](at))
		return append(b, '"')
	}
	panic("schemas: an event has no member of this kind")
}

// appendString writes the plain strings that nearly all are itself and leaves
// the others to encoding/json.
func appendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	b = append(b, s...)
	if plain(b[start+1:]) == len(s) {
		return append(b, '"')
	}
	quoted, err := Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return append(b[:start], quoted...)
}

// appendAddr writes an address as netip does (RFC 5952), in half the time.
// It leaves to netip what no frame holds.
func appendAddr(b []byte, addr netip.Addr) []byte {
	if !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return addr.AppendTo(b)
	}
	octets := addr.As16()
	high, low := binary.BigEndian.Uint64(octets[:8]), binary.BigEndian.Uint64(octets[8:])
	var groups [8]uint16
	for i := range 4 {
		groups[i], groups[4+i] = uint16(high>>(48-16*i)), uint16(low>>(48-16*i))
	}
	// The first of the longest runs of zeros, if longer than one, becomes "::".
	start, end := 0, 0
	for i := 0; i < len(groups); i++ {
		first := i
		for i < len(groups) && groups[i] == 0 {
			i++
		}
		if n := i - first; n > 1 && n > end-start {
			start, end = first, i
		}
	}
	for i := 0; i < len(groups); i++ {
		switch {
		case i == start && end > 0:
			b = append(b, ':', ':')
			if i = end; i == len(groups) {
				return b
			}
		case i > 0:
			b = append(b, ':')
		}
		b = appendHex(b, groups[i])
	}
	return b
}

func appendHex(b []byte, n uint16) []byte {
	const digits = "0123456789abcdef"
	if n >= 0x1000 {
		b = append(b, digits[n>>12])
	}
	if n >= 0x100 {
		b = append(b, digits[n>>8&0xf])
	}
	if n >= 0x10 {
		b = append(b, digits[n>>4&0xf])
	}
	return append(b, digits[n&0xf])
}

// Marshal returns a message as JSON. Unlike json.Marshal it leaves the
// characters <, > and & alone: who tails the alerts reads them.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseJSON reads an event. It is strict where encoding/json is not: a member
// that every event has must be there, no member may come twice, names are
// compared exactly, and enumerated strings and numbers are checked against
// what the schema allows; unknown members are passed over.
//
// The event's former content is overwritten and its memory reused, so that a
// reader of many events need not allocate for each; what was taken from the
// event before must not be used after. It keeps no reference to data.
func (e *Event) ParseJSON(data []byte) error {
	return parseJSON(data, placeOf(e), eventShape)
}

func parseJSON(data []byte, message place, s *shape) error {
	p := parser{data: data}
	if err := p.object(message, s); err != nil {
		return err
	}
	p.space()
	if p.pos != len(p.data) {
		return p.errorf("something follows the object")
	}
	return nil
}

// member reads the value of a member.
func (p *parser) member(at place, m *member) error {
	switch {
	case m.list:
		return p.list(at, m)
	case m.pointer:
		target, ok := at.target()
		if !ok {
			at.value(m).Set(reflect.New(m.goType.Elem()))
			target, _ = at.target()
		}
		return p.value(target, m)
	}
	return p.value(at, m)
}

// object reads an object: a member that is absent becomes zero.
func (p *parser) object(object place, s *shape) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.expect('{'); err != nil {
		return err
	}
	var seen uint64
	next := 0 // members mostly come in their order
	for first := true; p.peek() != '}'; first = false {
		i := p.expected(s, next, first)
		if i < 0 {
			name, err := p.name(first)
			if err != nil {
				return err
			}
			if i = s.find(name); i < 0 {
				if err := p.skip(); err != nil {
					return err
				}
				continue
			}
		}
		m := &s.members[i]
		if seen&(1<<i) != 0 {
			return p.errorf("member %q comes twice", m.name)
		}
		seen |= 1 << i
		next = i + 1
		if err := p.member(object.member(m), m); err != nil {
			return err
		}
	}
	p.pos++
	if missing := s.required &^ seen; missing != 0 {
		for i := range s.members {
			if missing&(1<<i) != 0 {
				return p.errorf("%s has no member %q", s.name, s.members[i].name)
			}
		}
	}
	for absent := s.optional &^ seen; absent != 0; absent &= absent - 1 {
		m := &s.members[bits.TrailingZeros64(absent)]
		if at := object.member(m); !m.word || !at.zeroWord(m) {
			at.clear(m)
		}
	}
	p.depth--
	return nil
}

// expected passes over the key of the next member where that is one of those
// from next on, as AppendJSON writes it, and returns the member's index, or -1
// and stays where it is.
func (p *parser) expected(s *shape, next int, first bool) int {
	pos := p.pos
	if !first {
		if pos == len(p.data) || p.data[pos] != ',' {
			return -1
		}
		pos++
	}
	rest := p.data[pos:]
	if len(rest) < 8 {
		return -1
	}
	head := binary.LittleEndian.Uint64(rest)
	for i := next; i < len(s.members); i++ {
		m := &s.members[i]
		if head&m.mask != m.head {
			continue
		}
		if n := len(m.key); n <= 8 || n <= len(rest) && string(rest[8:n]) == m.key[8:] {
			p.pos = pos + n
			return i
		}
	}
	return -1
}

// find returns the index of the member with a name, or -1.
func (s *shape) find(name []byte) int {
	for i := range s.members {
		if s.members[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (p *parser) list(at place, m *member) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.expect('['); err != nil {
		return err
	}
	elements := at.elements()
	n := 0
	for ; ; n++ {
		more, err := p.element(n == 0)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if n == cap(*elements) {
			list := at.value(m)
			list.SetLen(n)
			list.Grow(1)
		}
		*elements = (*elements)[:n+1]
		if err := p.value(at.element(n, m), m); err != nil {
			return err
		}
	}
	if n == 0 && m.optional {
		return p.errorf("list %q is empty", m.name)
	}
	*elements = (*elements)[:n]
	p.depth--
	return nil
}

func (p *parser) value(at place, m *member) error {
	switch m.kind {
	case kindObject:
		return p.object(at, m.object)
	case kindBool:
		b, err := p.boolean()
		if err != nil {
			return err
		}
		*in[bool](at) = b
		return nil
	case kindUint:
		n, err := p.uint()
		if err != nil {
			return err
		}
		if n > m.max {
			return p.errorf("member %q: %d is more than %d", m.name, n, m.max)
		}
		at.setUint(m, n)
		return nil
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	switch m.kind {
	case kindString:
		return p.setString(in[string](at), m, text)
	case kindMAC:
		err = in[MAC](at).UnmarshalText(text)
	case kindAddr:
		err = parseAddr(in[netip.Addr](at), text)
	case kindTime:
		err = in[time.Time](at).UnmarshalText(text)
	case kindBytes:
		b := in[[]byte](at)
		*b, err = base64.StdEncoding.AppendDecode((*b)[:0], text)
	default:
		panic("schemas: an event has no member of this kind")
	}
	if err != nil {
		return p.errorf("member %q: %v", m.name, err)
	}
	return nil
}

// setString avoids a new string where the one from the event before, or one of
// the enumeration, will do.
func (p *parser) setString(s *string, m *member, text []byte) error {
	for _, allowed := range m.enum {
		if allowed == string(text) {
			*s = allowed
			return nil
		}
	}
	if m.enum != nil {
		return p.errorf("member %q: %q is none of %q", m.name, text, m.enum)
	}
	if *s != string(text) {
		*s = string(text)
	}
	return nil
}

// parseAddr reads an IPv6 address without copying the text: without a zone netip
// keeps none of it in the address, and the parser formats the error at once.
func parseAddr(addr *netip.Addr, text []byte) error {
	if bytes.IndexByte(text, '%') < 0 {
		parsed, err := netip.ParseAddr(view(text))
		if err != nil {
			return err
		}
		if parsed.Is6() {
			*addr = parsed
			return nil
		}
	}
	return fmt.Errorf("%q is not an IPv6 address without a zone", text)
}
