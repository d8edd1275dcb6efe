package schemas

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// shape is what the types say of a message, read once by reflection: the codec,
// the table of fields and the JSON Schemas are made from it.
type shape struct {
	name    string // of the Go type
	members []member
	// required has a bit for each member that is always there.
	required uint64
	optional uint64 // the others
}

// member is one member of a JSON object. What the codec needs of each comes
// first, to stand in one cache line.
type member struct {
	kind kind
	// list and pointer say that kind is that of the elements; a pointer is
	// absent when nil, a list when empty.
	list, pointer bool
	optional      bool // absent when it has its zero value
	// word says that it has its zero value when the word at probe, from its
	// beginning, is zero: a pointer, or the length of a list or a text.
	word   bool
	probe  uint8
	offset uintptr // of the field in the Go struct
	size   uintptr // of the value, of one element in a list
	key    string  // ready to be written: "name":
	// head is the key's first 8 bytes, or all of it, as a number, where the bits
	// of mask are set.
	head, mask uint64
	object     *shape // of a kindObject

	max          uint64 // of a kindUint
	enum         []string
	name         string
	goType       reflect.Type // of the field
	doc, example string
	presence     bool // the field asks whether the member is there, not for its value
	ndpmon       bool
	lifetime     bool // a number that may run down from message to message
}

type kind uint8

const (
	kindObject kind = iota
	kindBool
	kindUint
	kindString
	kindMAC
	kindAddr
	kindTime
	kindBytes
	kindRaw
)

// newShape reads a struct type. It panics on a type that the messages do not
// use, which the tests see.
func newShape(t reflect.Type) *shape {
	s := &shape{name: t.Name()}
	for i := range t.NumField() {
		f := t.Field(i)
		name, flags, _ := strings.Cut(f.Tag.Get("json"), ",")
		m := member{
			name:     name,
			key:      strconv.Quote(name) + ":",
			offset:   f.Offset,
			goType:   f.Type,
			optional: flags == "omitempty",
			doc:      f.Tag.Get("doc"),
			example:  f.Tag.Get("example"),
			presence: f.Tag.Get("field") == "presence",
			ndpmon:   f.Tag.Get("ndpmon") == "true",
			lifetime: f.Tag.Get("lifetime") == "true",
		}
		ft := f.Type
		switch {
		case ft.Kind() == reflect.Pointer:
			m.pointer, ft = true, ft.Elem()
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() != reflect.Uint8:
			m.list, ft = true, ft.Elem()
		}
		m.kind, m.size = kindOf(ft), ft.Size()
		switch {
		case m.pointer:
			m.word = true
		case m.list, m.kind == kindBytes, m.kind == kindString:
			m.word, m.probe = true, wordSize
		}
		for i := range min(len(m.key), 8) {
			m.head |= uint64(m.key[i]) << (8 * i)
			m.mask |= 0xff << (8 * i)
		}
		switch m.kind {
		case kindObject:
			m.object = newShape(ft)
		case kindUint:
			m.max = 1<<(ft.Bits()-1)<<1 - 1
			if tag := f.Tag.Get("max"); tag != "" {
				limit, err := strconv.ParseUint(tag, 10, 64)
				if err != nil {
					panic(fmt.Sprintf("schemas: %s.%s: max tag: %v", t, f.Name, err))
				}
				m.max = limit
			}
		case kindString:
			if tag := f.Tag.Get("enum"); tag != "" {
				m.enum = strings.Split(tag, ",")
			}
		}
		if name == "type" && m.kind == kindString {
			m.enum = []string{messageTypes[t]}
		}
		if m.optional {
			s.optional |= 1 << i
		} else {
			s.required |= 1 << i
		}
		s.members = append(s.members, m)
	}
	if len(s.members) > 64 {
		panic(fmt.Sprintf("schemas: %s has more than 64 members", t))
	}
	return s
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[MAC]():
		return kindMAC
	case reflect.TypeFor[netip.Addr]():
		return kindAddr
	case reflect.TypeFor[time.Time]():
		return kindTime
	case reflect.TypeFor[json.RawMessage]():
		return kindRaw
	case reflect.TypeFor[[]byte]():
		return kindBytes
	}
	switch t.Kind() {
	case reflect.Struct:
		return kindObject
	case reflect.Bool:
		return kindBool
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return kindUint
	case reflect.String:
		return kindString
	}
	panic(fmt.Sprintf("schemas: no message has a member of type %s", t))
}

// messageTypes gives each message its member "type".
var messageTypes = map[reflect.Type]string{
	reflect.TypeFor[Event]():  TypeEvent,
	reflect.TypeFor[Alert]():  TypeAlert,
	reflect.TypeFor[Relay]():  TypeRelay,
	reflect.TypeFor[Result](): TypeResult,
}

var (
	eventShape  = newShape(reflect.TypeFor[Event]())
	relayShape  = newShape(reflect.TypeFor[Relay]())
	resultShape = newShape(reflect.TypeFor[Result]())
)
