package wire

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema describes a JSON object: the members of a struct type.
type Schema struct {
	Members []Member

	name     string // of the Go type
	required uint64 // a bit for each member that is always present
	optional uint64 // the others
}

// Member is one member of a JSON object. The fields that the codec reads for
// each member come first, so that they share a cache line.
type Member struct {
	Kind Kind // of the elements, if List or Pointer is set
	// A list that is empty and a pointer that is nil are absent if Optional.
	List, Pointer bool
	Optional      bool // the member is absent if it has its zero value

	// hasWord: the member has its zero value when the word at wordOffset, counted
	// from the beginning of the member, is zero. That is a pointer, or the length
	// in the header of a slice or string.
	hasWord    bool
	wordOffset uint8
	offset     uintptr // in the Go struct
	size       uintptr // of the value, or of one element of a list
	key        string  // as it is written: "name":
	// start holds the first 8 bytes of key, or all of it, in the bits of startMask.
	start, startMask uint64
	// Object is the schema of a member of kind Object.
	Object *Schema

	Max    uint64   // of a Uint
	Enum   []string // the values of a String, nil for any
	Name   string
	Tag    reflect.StructTag
	goType reflect.Type // of the field
}

// Kind is the type of a value in JSON.
type Kind uint8

// The kinds, and the Go types that have them.
const (
	Object   Kind = iota // struct
	Bool                 // bool
	Uint                 // uint8, uint16, uint32, uint64
	String               // string
	Ethernet             // [6]byte: six octets in hexadecimal, with colons
	IPv6                 // netip.Addr
	Time                 // time.Time
	Bytes                // []byte: base64
	Raw                  // json.RawMessage: JSON
)

// SchemaOf returns the schema of a struct type. It panics on a type that has no
// kind, or has more than 64 members.
func SchemaOf(t reflect.Type) *Schema {
	if t.NumField() > 64 {
		panic(fmt.Sprintf("wire: %v has more than 64 members", t))
	}
	s := &Schema{name: t.Name()}
	for i := range t.NumField() {
		m := memberOf(t.Field(i))
		if m.Optional {
			s.optional |= 1 << i
		} else {
			s.required |= 1 << i
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func memberOf(f reflect.StructField) Member {
	name, flags, _ := strings.Cut(f.Tag.Get("json"), ",")
	m := Member{
		Name:     name,
		Tag:      f.Tag,
		Optional: flags == "omitempty",
		key:      strconv.Quote(name) + ":",
		offset:   f.Offset,
		goType:   f.Type,
	}
	t := f.Type
	switch {
	case t.Kind() == reflect.Pointer:
		m.Pointer, t = true, t.Elem()
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		m.List, t = true, t.Elem()
	}
	m.Kind, m.size = kindOf(t), t.Size()
	switch {
	case m.Pointer:
		m.hasWord = true
	case m.List, m.Kind == Bytes, m.Kind == Raw, m.Kind == String:
		m.hasWord, m.wordOffset = true, uint8(reflect.TypeFor[uintptr]().Size()) // behind the pointer
	}
	for i := range min(len(m.key), 8) {
		m.start |= uint64(m.key[i]) << (8 * i)
		m.startMask |= 0xff << (8 * i)
	}
	switch m.Kind {
	case Object:
		m.Object = SchemaOf(t)
	case Uint:
		m.Max = 1<<(t.Bits()-1)<<1 - 1
		if tag := f.Tag.Get("max"); tag != "" {
			limit, err := strconv.ParseUint(tag, 10, 64)
			if err != nil {
				panic(fmt.Sprintf("wire: member %s: max tag: %v", name, err))
			}
			m.Max = limit
		}
	case String:
		if tag := f.Tag.Get("enum"); tag != "" {
			m.Enum = strings.Split(tag, ",")
		}
	}
	return m
}

func kindOf(t reflect.Type) Kind {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return IPv6
	case reflect.TypeFor[time.Time]():
		return Time
	case reflect.TypeFor[json.RawMessage]():
		return Raw
	case reflect.TypeFor[[]byte]():
		return Bytes
	}
	switch t.Kind() {
	case reflect.Struct:
		return Object
	case reflect.Bool:
		return Bool
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Uint
	case reflect.String:
		return String
	case reflect.Array:
		if t.Len() == 6 && t.Elem().Kind() == reflect.Uint8 {
			return Ethernet
		}
	}
	panic(fmt.Sprintf("wire: type %v has no kind", t))
}

func (s *Schema) find(name []byte) int {
	for i := range s.Members {
		if s.Members[i].Name == string(name) {
			return i
		}
	}
	return -1
}
