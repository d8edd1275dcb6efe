package schemas

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/ndmon/ndmon/schemas/internal/wire"
)

// FieldType is the type of the value that a rule compares a field with.
type FieldType uint8

// The types of fields: those of NDPMon, and String.
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
	return [...]string{"no value", "ethernet address", "ipv6 address", "uint8", "uint16", "uint32", "string"}[t]
}

// Field is a path in an event, which a rule can have a condition on.
type Field struct {
	// Name is the path, such as nd.ra.lifetime.
	Name string
	Type FieldType
	// Doc describes the field, and Example is a value of it. A field of type
	// NoValue has no example.
	Doc, Example string
	// Max is the largest value of a number.
	Max uint64
	// Enum lists the values that a String may have, nil if any.
	Enum []string
	// Message is nd.rs, nd.ra, nd.ns, nd.na or nd.rd for a field inside that
	// message, conflict for one inside that, and empty for all others. An event
	// has at most one of these.
	Message string
	// NDPMon reports whether NDPMon's rules have the field too.
	NDPMon bool
	// Index is the field's position in Fields.
	Index int
	// Gate is the innermost object or list around the field that may be absent, nil if there is
	// none. Most events have only few of them. Fields in the same object have the same Gate.
	Gate *Gate

	path []*wire.Member
	// inside is the rest of the path, from the object that Gate leads to.
	inside []*wire.Member
}

// Gate is an optional object or list of an event.
type Gate struct{ path []*wire.Member }

// Inside is the object in an event that a gate leads to. It is valid as long as
// the event does not change.
type Inside struct{ object wire.Value }

// Enter returns the object that the gate leads to. It reports false if that is
// absent: then the event has no value of the fields in it.
func (g *Gate) Enter(e *Event) (inside Inside, open bool) {
	v := wire.ValueOf(e)
	for _, m := range g.path {
		inside = Inside{v}
		v = v.Member(m)
		if m.Optional && v.Absent(m) {
			return Inside{}, false
		}
		switch {
		case m.List:
			return inside, true // the gate does not look at the elements
		case m.Pointer:
			v = v.Elem()
		}
	}
	return Inside{v}, true
}

// IsFlag reports whether the field is a bool in the object that its Gate leads to.
func (f *Field) IsFlag() bool {
	return len(f.inside) == 1 && f.inside[0].Kind == wire.Bool && !f.inside[0].List
}

// FlagIn returns the value of a field that IsFlag.
func (f *Field) FlagIn(inside Inside) bool { return inside.object.Member(f.inside[0]).Bool() }

// AppendValuesIn is AppendValues for an event whose Gate was entered, and faster.
func (f *Field) AppendValuesIn(dst []Value, inside Inside) []Value {
	return appendValues(dst, inside.object, f.inside, f.Type)
}

// Value is one value of a field in an event. It is comparable: a number or an Ethernet address
// (MAC.Uint64) is in Num, an IPv6 address in Addr, a string in Str, and the others are zero.
type Value struct {
	Num  uint64
	Addr netip.Addr
	Str  string
}

// Fields returns all fields, in the order of the event's members. The slice must not be changed.
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
	t.add(eventCodec.Schema(), nil, nil)
	return t
})

// add adds the members of an object, whose path is given by its names and its members.
func (t *fields) add(s *wire.Schema, names []string, path []*wire.Member) {
	for i := range s.Members {
		m := &s.Members[i]
		names := append(names[:len(names):len(names)], m.Name)
		path := append(path[:len(path):len(path)], m)
		if m.Tag.Get("doc") != "" {
			f := t.field(names, path)
			t.list = append(t.list, f)
			t.byName[f.Name] = f
		}
		if m.Kind == wire.Object {
			t.add(m.Object, names, path)
		}
	}
}

func (t *fields) field(names []string, path []*wire.Member) *Field {
	m := path[len(path)-1]
	f := &Field{
		Name:    strings.Join(names, "."),
		Type:    fieldType(m),
		Doc:     m.Tag.Get("doc"),
		Example: m.Tag.Get("example"),
		Max:     m.Max,
		Enum:    m.Enum,
		// NDPMon does not read provisioning domains.
		NDPMon: m.Tag.Get("ndpmon") == "true" && !slices.Contains(names[:len(names)-1], "pvd"),
		Index:  len(t.list),
		Gate:   t.gate(names, path),
		path:   path,
	}
	if f.Gate != nil {
		// A gate leads no further than to the object that its first list is in.
		n := slices.IndexFunc(f.Gate.path, func(m *wire.Member) bool { return m.List })
		if n < 0 {
			n = len(f.Gate.path)
		}
		f.inside = path[n:]
	}
	if f.Example == "" {
		f.Example = f.Type.example()
	}
	switch {
	case len(names) > 2 && names[0] == "nd" && names[1] != "opt":
		f.Message = names[0] + "." + names[1]
	case len(names) > 1 && names[0] == "conflict":
		f.Message = names[0]
	}
	return f
}

// gate returns the innermost optional object or list around the end of a path.
func (t *fields) gate(names []string, path []*wire.Member) *Gate {
	n := len(path) - 1
	for n > 0 && !path[n-1].Pointer && !path[n-1].List {
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

func fieldType(m *wire.Member) FieldType {
	switch {
	case m.Tag.Get("field") == "presence":
		return NoValue
	case m.Kind == wire.Ethernet:
		return EthernetAddress
	case m.Kind == wire.IPv6:
		return IPv6Address
	case m.Kind == wire.String:
		return String
	case m.Kind != wire.Uint:
		return NoValue
	case m.Max <= 0xff:
		return Uint8
	case m.Max <= 0xffff:
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

// AppendValues appends every value that the field has in the event: none if it is absent, several
// for an option that is repeated, one zero Value for a field of type NoValue that is present.
func (f *Field) AppendValues(dst []Value, e *Event) []Value {
	return appendValues(dst, wire.ValueOf(e), f.path, f.Type)
}

func appendValues(dst []Value, v wire.Value, path []*wire.Member, t FieldType) []Value {
	var m *wire.Member
	for len(path) > 0 {
		m, path = path[0], path[1:]
		v = v.Member(m)
		if m.Optional && v.Absent(m) {
			return dst
		}
		switch {
		case t == NoValue && len(path) == 0:
			return append(dst, Value{})
		case m.List:
			for i := range v.Len() {
				if element := v.Index(i, m); len(path) > 0 {
					dst = appendValues(dst, element, path, t)
				} else {
					dst = append(dst, valueOf(element, m))
				}
			}
			return dst
		case m.Pointer:
			v = v.Elem()
		}
	}
	return append(dst, valueOf(v, m))
}

func valueOf(v wire.Value, m *wire.Member) Value {
	switch m.Kind {
	case wire.Ethernet:
		return Value{Num: MAC(v.Ethernet()).Uint64()}
	case wire.IPv6:
		return Value{Addr: v.Addr()}
	case wire.String:
		return Value{Str: v.Text()}
	}
	return Value{Num: v.Uint(m)}
}
