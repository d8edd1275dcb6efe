package schemas

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// FieldType is what a rule's value for a field looks like.
type FieldType uint8

// The types of fields, NDPMon's and String.
const (
	NoValue FieldType = iota
	EthernetAddress
	IPv6Address
	Uint8
	Uint16
	Uint32
	String
)

// String returns the type's name as the documentation writes it.
func (t FieldType) String() string {
	switch t {
	case NoValue:
		return "no value"
	case EthernetAddress:
		return "ethernet address"
	case IPv6Address:
		return "ipv6 address"
	case Uint8:
		return "uint8"
	case Uint16:
		return "uint16"
	case Uint32:
		return "uint32"
	case String:
		return "string"
	}
	return "unknown"
}

// Field is something that a rule can ask of an event: a path in it.
type Field struct {
	// Name is the path, such as nd.ra.lifetime.
	Name string
	Type FieldType
	// Doc says what the field means, Example what a value looks like; a field
	// of type NoValue has none.
	Doc, Example string
	// Max is the largest value of a number.
	Max uint64
	// Enum lists the values that a String may have, nil if any.
	Enum []string
	// Message is nd.rs, nd.ra, nd.ns, nd.na or nd.rd for a field inside that
	// message, which only such an event can be asked for; it is empty for the
	// others.
	Message string
	// NDPMon tells whether NDPMon's rules have the field too.
	NDPMon bool
	// Index is the field's place in Fields.
	Index int
	// Gate is what the field stands in and what may be absent: most of what an
	// event could have it has not. It is nil for a field that is always there.
	// Fields that stand in the same have the same.
	Gate *Gate

	path []*member
	// inside is the path from where Gate leads.
	inside []*member
}

// Gate is an object or list of an event that is optional.
type Gate struct{ path []*member }

// Inside is where a gate of one event leads. It is good as long as the event does
// not change.
type Inside struct{ at place }

// Enter reports whether the event has it, and where it leads. Where not, the
// event has no value of the fields in it either.
func (g *Gate) Enter(e *Event) (inside Inside, open bool) {
	at := placeOf(e)
	for _, m := range g.path {
		inside = Inside{at}
		at = at.member(m)
		if m.optional && absent(at, m) {
			return Inside{}, false
		}
		switch {
		case m.list:
			return inside, true // what its elements have is another matter
		case m.pointer:
			at, _ = at.target()
		}
	}
	return Inside{at}, true
}

// IsFlag reports whether the field is true or false where its Gate leads.
func (f *Field) IsFlag() bool {
	return len(f.inside) == 1 && f.inside[0].kind == kindBool && !f.inside[0].list
}

// FlagIn reports whether a field that IsFlag is true, in an event whose Gate was
// entered.
func (f *Field) FlagIn(inside Inside) bool { return *in[bool](inside.at.member(f.inside[0])) }

// AppendValuesIn is AppendValues for an event whose Gate was entered, in less
// time.
func (f *Field) AppendValuesIn(dst []Value, inside Inside) []Value {
	return appendValues(dst, inside.at, f.inside, f.Type)
}

// Value is one value of a field in an event, and comparable: a number or an
// Ethernet address (MAC.Uint64) in Num, an IPv6 address in Addr, a string in
// Str. The others are zero.
type Value struct {
	Num  uint64
	Addr netip.Addr
	Str  string
}

// Fields returns the table of fields, in the order of the event's members. It
// must not be changed.
func Fields() []*Field { return fieldTable().list }

// FieldByName returns the field with a name.
func FieldByName(name string) (*Field, bool) {
	f, ok := fieldTable().byName[name]
	return f, ok
}

type fields struct {
	list   []*Field
	byName map[string]*Field
	gates  map[string]*Gate // by name
}

var fieldTable = sync.OnceValue(func() fields {
	t := fields{byName: map[string]*Field{}, gates: map[string]*Gate{}}
	t.add(eventShape, nil, nil)
	return t
})

func (t *fields) add(s *shape, names []string, path []*member) {
	for i := range s.members {
		m := &s.members[i]
		names := append(names[:len(names):len(names)], m.name)
		path := append(path[:len(path):len(path)], m)
		if m.doc != "" {
			f := &Field{
				Name:    strings.Join(names, "."),
				Type:    m.fieldType(),
				Doc:     m.doc,
				Example: m.example,
				Max:     m.max,
				Enum:    m.enum,
				// NDPMon does not look into a provisioning domain.
				NDPMon: m.ndpmon && !slices.Contains(names[:len(names)-1], "pvd"),
				Index:  len(t.list),
				Gate:   t.gate(names, path),
				path:   path,
			}
			if f.Gate != nil {
				// A gate leads no further than to the object that its first list is in.
				n := slices.IndexFunc(f.Gate.path, func(m *member) bool { return m.list })
				if n < 0 {
					n = len(f.Gate.path)
				}
				f.inside = path[n:]
			}
			if f.Example == "" {
				f.Example = f.Type.example()
			}
			if len(names) > 2 && names[0] == "nd" && names[1] != "opt" {
				f.Message = names[0] + "." + names[1]
			}
			t.list = append(t.list, f)
			t.byName[f.Name] = f
		}
		if m.kind == kindObject {
			t.add(m.object, names, path)
		}
	}
}

// gate returns the innermost optional object or list around the end of a path.
func (t *fields) gate(names []string, path []*member) *Gate {
	n := len(path) - 1
	for n > 0 && !path[n-1].pointer && !path[n-1].list {
		n--
	}
	if n == 0 {
		return nil
	}
	name := strings.Join(names[:n], ".")
	g, ok := t.gates[name]
	if !ok {
		g = &Gate{path[:n:n]}
		t.gates[name] = g
	}
	return g
}

func (m *member) fieldType() FieldType {
	switch {
	case m.presence:
		return NoValue
	case m.kind == kindMAC:
		return EthernetAddress
	case m.kind == kindAddr:
		return IPv6Address
	case m.kind == kindString:
		return String
	case m.kind != kindUint:
		return NoValue
	case m.max <= 0xff:
		return Uint8
	case m.max <= 0xffff:
		return Uint16
	}
	return Uint32
}

// example is a value for a field whose type has no example of its own.
func (t FieldType) example() string {
	switch t {
	case EthernetAddress:
		return "02:00:00:00:00:01"
	case IPv6Address:
		return "fe80::/10"
	case Uint8, Uint16, Uint32:
		return "1"
	}
	return ""
}

// AppendValues appends every value that the field has in the event: none when
// it is absent, several for an option that was repeated, one zero Value for a
// field of type NoValue that is present.
func (f *Field) AppendValues(dst []Value, e *Event) []Value {
	return appendValues(dst, placeOf(e), f.path, f.Type)
}

func appendValues(dst []Value, at place, path []*member, t FieldType) []Value {
	var m *member
	for len(path) > 0 {
		m, path = path[0], path[1:]
		at = at.member(m)
		if m.optional && absent(at, m) {
			return dst
		}
		switch {
		case t == NoValue && len(path) == 0:
			return append(dst, Value{})
		case m.list:
			for i := range *at.elements() {
				if element := at.element(i, m); len(path) > 0 {
					dst = appendValues(dst, element, path, t)
				} else {
					dst = append(dst, valueOf(element, m))
				}
			}
			return dst
		case m.pointer:
			at, _ = at.target()
		}
	}
	return append(dst, valueOf(at, m))
}

func valueOf(at place, m *member) Value {
	switch m.kind {
	case kindMAC:
		return Value{Num: in[MAC](at).Uint64()}
	case kindAddr:
		return Value{Addr: *in[netip.Addr](at)}
	case kindString:
		return Value{Str: *in[string](at)}
	}
	return Value{Num: at.uint(m)}
}
