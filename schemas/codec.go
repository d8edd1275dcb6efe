package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the event as JSON, as encoding/json writes it when it is
// told not to escape HTML, but some three times faster: this runs once for every
// captured frame. It does not allocate when b has room.
func (e *Event) AppendJSON(b []byte) []byte {
	return appendObject(b, reflect.ValueOf(e).Elem(), eventShape)
}

// AppendJSON appends the command as JSON, fast: it is on the way of each
// solicitation that is relayed.
func (r *Relay) AppendJSON(b []byte) []byte {
	return appendObject(b, reflect.ValueOf(r).Elem(), relayShape)
}

// ParseJSON reads a command, as strictly as an event is read.
func (r *Relay) ParseJSON(data []byte) error {
	return parseJSON(data, reflect.ValueOf(r).Elem(), relayShape)
}

func appendObject(b []byte, v reflect.Value, s *shape) []byte {
	b = append(b, '{')
	empty := true
	for i := range s.members {
		m := &s.members[i]
		f := v.Field(m.index)
		if m.optional && absent(f, m) {
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
			for i := range f.Len() {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendValue(b, f.Index(i), m)
			}
			b = append(b, ']')
		case m.pointer:
			b = appendValue(b, f.Elem(), m)
		default:
			b = appendValue(b, f, m)
		}
	}
	return append(b, '}')
}

// absent reports whether an optional member is left out.
func absent(f reflect.Value, m *member) bool {
	switch {
	case m.pointer:
		return f.IsNil()
	case m.list, m.kind == kindBytes, m.kind == kindString:
		return f.Len() == 0
	case m.kind == kindBool:
		return !f.Bool()
	}
	return f.IsZero()
}

func appendValue(b []byte, f reflect.Value, m *member) []byte {
	switch m.kind {
	case kindObject:
		return appendObject(b, f, m.object)
	case kindBool:
		return strconv.AppendBool(b, f.Bool())
	case kindUint:
		return strconv.AppendUint(b, f.Uint(), 10)
	case kindString:
		return appendString(b, f.String())
	case kindMAC:
		b = append(b, '"')
		b = f.Addr().Interface().(*MAC).appendTo(b)
		return append(b, '"')
	case kindAddr:
		b = append(b, '"')
		b = f.Addr().Interface().(*netip.Addr).AppendTo(b)
		return append(b, '"')
	case kindTime:
		b = append(b, '"')
		b = f.Addr().Interface().(*time.Time).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	case kindBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, f.Bytes())
		return append(b, '"')
	}
	panic("schemas: an event has no member of this kind")
}

// appendString writes the plain strings that nearly all are itself and leaves
// the others to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := Marshal(s)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
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
	return parseJSON(data, reflect.ValueOf(e).Elem(), eventShape)
}

func parseJSON(data []byte, v reflect.Value, s *shape) error {
	p := parser{data: data}
	if err := p.object(v, s); err != nil {
		return err
	}
	p.space()
	if p.pos != len(p.data) {
		return p.errorf("something follows the object")
	}
	return nil
}

// member reads the value of a member into f.
func (p *parser) member(f reflect.Value, m *member) error {
	switch {
	case m.list:
		return p.list(f, m)
	case m.pointer:
		if f.IsNil() {
			f.Set(reflect.New(f.Type().Elem()))
		}
		return p.value(f.Elem(), m)
	}
	return p.value(f, m)
}

// object reads an object into v: a member that is absent becomes zero.
func (p *parser) object(v reflect.Value, s *shape) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.expect('{'); err != nil {
		return err
	}
	var seen uint64
	next := 0 // members mostly come in their order
	for first := true; ; first = false {
		i := p.expected(s, next, first)
		if i < 0 {
			name, err := p.name(first)
			if err != nil {
				return err
			}
			if name == nil {
				break
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
		if err := p.member(v.Field(m.index), m); err != nil {
			return err
		}
	}
	if missing := s.required &^ seen; missing != 0 {
		for i := range s.members {
			if missing&(1<<i) != 0 {
				return p.errorf("%s has no member %q", s.name, s.members[i].name)
			}
		}
	}
	for i := range s.members {
		if seen&(1<<i) == 0 {
			v.Field(s.members[i].index).SetZero()
		}
	}
	p.depth--
	return nil
}

// expected passes over the key of the next member where that is one of those
// from next on, as AppendJSON writes it, and returns the member's index, or -1
// and stays where it is.
func (p *parser) expected(s *shape, next int, first bool) int {
	rest := p.data[p.pos:]
	if !first {
		if len(rest) == 0 || rest[0] != ',' {
			return -1
		}
		rest = rest[1:]
	}
	for i := next; i < len(s.members); i++ {
		if key := s.members[i].key; len(rest) >= len(key) && string(rest[:len(key)]) == key {
			p.pos = len(p.data) - len(rest) + len(key)
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

func (p *parser) list(f reflect.Value, m *member) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.expect('['); err != nil {
		return err
	}
	n := 0
	for ; ; n++ {
		more, err := p.element(n == 0)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if n == f.Cap() {
			f.SetLen(n)
			f.Grow(1)
		}
		f.SetLen(n + 1)
		if err := p.value(f.Index(n), m); err != nil {
			return err
		}
	}
	if n == 0 && m.optional {
		return p.errorf("list %q is empty", m.name)
	}
	f.SetLen(n)
	p.depth--
	return nil
}

func (p *parser) value(f reflect.Value, m *member) error {
	switch m.kind {
	case kindObject:
		return p.object(f, m.object)
	case kindBool:
		b, err := p.boolean()
		if err != nil {
			return err
		}
		f.SetBool(b)
		return nil
	case kindUint:
		n, err := p.uint()
		if err != nil {
			return err
		}
		if n > m.max {
			return p.errorf("member %q: %d is more than %d", m.name, n, m.max)
		}
		f.SetUint(n)
		return nil
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	switch m.kind {
	case kindString:
		return p.setString(f, m, text)
	case kindMAC:
		err = f.Addr().Interface().(*MAC).UnmarshalText(text)
	case kindAddr:
		addr := f.Addr().Interface().(*netip.Addr)
		if err = addr.UnmarshalText(text); err == nil && (!addr.Is6() || addr.Zone() != "") {
			err = fmt.Errorf("%q is not an IPv6 address without a zone", text)
		}
	case kindTime:
		err = f.Addr().Interface().(*time.Time).UnmarshalText(text)
	case kindBytes:
		var decoded []byte
		decoded, err = base64.StdEncoding.AppendDecode(f.Bytes()[:0], text)
		f.SetBytes(decoded)
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
func (p *parser) setString(f reflect.Value, m *member, text []byte) error {
	for _, s := range m.enum {
		if s == string(text) {
			f.SetString(s)
			return nil
		}
	}
	if m.enum != nil {
		return p.errorf("member %q: %q is none of %q", m.name, text, m.enum)
	}
	if f.String() != string(text) {
		f.SetString(string(text))
	}
	return nil
}
