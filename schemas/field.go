package schemas

import (
	"net/netip"
	"reflect"
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

	path []*member
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
}

var fieldTable = sync.OnceValue(func() fields {
	t := fields{byName: map[string]*Field{}}
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
				NDPMon:  m.ndpmon,
				Index:   len(t.list),
				path:    path,
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
	return appendValues(dst, reflect.ValueOf(e).Elem(), f.path, f.Type)
}

func appendValues(dst []Value, v reflect.Value, path []*member, t FieldType) []Value {
	m := path[0]
	f := v.Field(m.index)
	if m.optional && absent(f, m) {
		return dst
	}
	if path = path[1:]; len(path) == 0 && t == NoValue {
		return append(dst, Value{})
	}
	switch {
	case m.list:
		for i := range f.Len() {
			dst = appendInside(dst, f.Index(i), m, path, t)
		}
		return dst
	case m.pointer:
		f = f.Elem()
	}
	return appendInside(dst, f, m, path, t)
}

func appendInside(dst []Value, f reflect.Value, m *member, path []*member, t FieldType) []Value {
	if len(path) > 0 {
		return appendValues(dst, f, path, t)
	}
	switch m.kind {
	case kindMAC:
		return append(dst, Value{Num: f.Addr().Interface().(*MAC).Uint64()})
	case kindAddr:
		return append(dst, Value{Addr: *f.Addr().Interface().(*netip.Addr)})
	case kindString:
		return append(dst, Value{Str: f.String()})
	}
	return append(dst, Value{Num: f.Uint()})
}
