package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"net/netip"
	"reflect"
	"time"
)

type parser struct{ scanner }

func (p *parser) member(v Value, m *Member) error {
	switch {
	case m.List:
		return p.list(v, m)
	case m.Pointer:
		if v.zeroWord(m) {
			v.reflect(m).Set(reflect.New(m.goType.Elem()))
		}
		return p.value(v.Elem(), m)
	}
	return p.value(v, m)
}

// object reads an object. A member that is absent becomes zero.
func (p *parser) object(object Value, s *Schema) error {
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
		m := &s.Members[i]
		if seen&(1<<i) != 0 {
			return p.errorf("member %q comes twice", m.Name)
		}
		seen |= 1 << i
		next = i + 1
		if err := p.member(object.Member(m), m); err != nil {
			return err
		}
	}
	p.pos++
	if missing := s.required &^ seen; missing != 0 {
		for i := range s.Members {
			if missing&(1<<i) != 0 {
				return p.errorf("%s has no member %q", s.name, s.Members[i].Name)
			}
		}
	}
	for absent := s.optional &^ seen; absent != 0; absent &= absent - 1 {
		m := &s.Members[bits.TrailingZeros64(absent)]
		if v := object.Member(m); !m.hasWord || !v.zeroWord(m) {
			v.clear(m)
		}
	}
	p.depth--
	return nil
}

// expected reads the key of the next member if it is that of member next or a later one, written as
// Append writes it. It returns the member's index; if -1, it has read nothing.
func (p *parser) expected(s *Schema, next int, first bool) int {
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
	for i := next; i < len(s.Members); i++ {
		m := &s.Members[i]
		if head&m.startMask != m.start {
			continue
		}
		if n := len(m.key); n <= 8 || n <= len(rest) && string(rest[8:n]) == m.key[8:] {
			p.pos = pos + n
			return i
		}
	}
	return -1
}

func (p *parser) list(v Value, m *Member) error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.expect('['); err != nil {
		return err
	}
	elements := v.list()
	n := 0
	for ; p.peek() != ']'; n++ {
		if n > 0 {
			if err := p.expect(','); err != nil {
				return err
			}
		}
		if n == cap(*elements) {
			list := v.reflect(m)
			list.SetLen(n)
			list.Grow(1)
		}
		*elements = (*elements)[:n+1]
		if err := p.value(v.Index(n, m), m); err != nil {
			return err
		}
	}
	p.pos++
	if n == 0 && m.Optional {
		return p.errorf("list %q is empty", m.Name)
	}
	*elements = (*elements)[:n]
	p.depth--
	return nil
}

func (p *parser) value(v Value, m *Member) error {
	switch m.Kind {
	case Object:
		return p.object(v, m.Object)
	case Bool:
		b, err := p.boolean()
		if err != nil {
			return err
		}
		*as[bool](v) = b
		return nil
	case Uint:
		n, err := p.uint()
		if err != nil {
			return err
		}
		if n > m.Max {
			return p.errorf("member %q: %d is more than %d", m.Name, n, m.Max)
		}
		v.setUint(m, n)
		return nil
	case Raw:
		p.space()
		start := p.pos
		if err := p.skip(); err != nil {
			return err
		}
		raw := as[json.RawMessage](v)
		*raw = append((*raw)[:0], p.data[start:p.pos]...)
		return nil
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	switch m.Kind {
	case String:
		return p.setString(as[string](v), m, text)
	case Ethernet:
		*as[[6]byte](v), err = ParseEthernet(text)
	case IPv6:
		*as[netip.Addr](v), err = parseAddr(text)
	case Time:
		err = as[time.Time](v).UnmarshalText(text)
	case Bytes:
		b := as[[]byte](v)
		*b, err = base64.StdEncoding.AppendDecode((*b)[:0], text)
	}
	if err != nil {
		return p.errorf("member %q: %v", m.Name, err)
	}
	return nil
}

// setString makes no new string if the former value, or one of the enumeration, is the same.
func (p *parser) setString(s *string, m *Member, text []byte) error {
	for _, allowed := range m.Enum {
		if allowed == string(text) {
			*s = allowed
			return nil
		}
	}
	if m.Enum != nil {
		return p.errorf("member %q: %q is none of %q", m.Name, text, m.Enum)
	}
	if *s != string(text) {
		*s = string(text)
	}
	return nil
}
