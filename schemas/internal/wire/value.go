package wire

import (
	"net/netip"
	"reflect"
	"unsafe"
)

// This file holds all that the module does with package unsafe. The codec and the
// rule fields run for every frame in several processes, and were slow when they
// walked a message by reflect.Value: ParseJSON of an event went from 1.3 µs to
// 0.75, AppendJSON from 0.8 to 0.5, and all fields from 2.0 to 0.8.
//
// It is safe because a member's offset, size and kind come from reflection on the type that the
// memory has, a schema is only applied to a pointer to its own type or to memory that reflection
// made, and only members and elements that exist are accessed. Pointers are never kept as numbers,
// so the garbage collector sees them all, and go test -race checks the arithmetic (checkptr).

// Value is the address of a message, or of a value in one. Its methods do not
// check types: the Member that describes a value says which of them apply.
type Value struct{ p unsafe.Pointer }

// ValueOf returns the value of a message.
func ValueOf[T any](message *T) Value { return Value{unsafe.Pointer(message)} }

// as returns a pointer to the value. Its type must be T, or have the layout of T.
func as[T any](v Value) *T { return (*T)(v.p) }

// Member returns a member of an object.
func (v Value) Member(m *Member) Value { return Value{unsafe.Add(v.p, m.offset)} }

// Absent reports whether an optional member has its zero value.
func (v Value) Absent(m *Member) bool {
	if m.hasWord {
		return v.zeroWord(m)
	}
	return v.zeroValue(m)
}

func (v Value) zeroWord(m *Member) bool { return *(*uintptr)(unsafe.Add(v.p, m.wordOffset)) == 0 }

// zeroValue is not part of Absent so that the compiler can inline that.
func (v Value) zeroValue(m *Member) bool {
	if m.Kind == Bool {
		return !v.Bool()
	}
	return v.reflect(m).IsZero()
}

// Elem returns the value that a pointer, which is not nil, points to.
func (v Value) Elem() Value { return Value{*as[unsafe.Pointer](v)} }

// Len returns the length of a list.
func (v Value) Len() int { return len(*v.list()) }

// Index returns an element of a list, which must have it.
func (v Value) Index(i int, m *Member) Value {
	return Value{unsafe.Add(unsafe.Pointer(unsafe.SliceData(*v.list())), uintptr(i)*m.size)}
}

// list returns a list for its length and capacity. The layout of all lists is the
// same; the bytes stand for the elements and must not be accessed.
func (v Value) list() *[]byte { return as[[]byte](v) }

// Bool returns the value of a Bool.
func (v Value) Bool() bool { return *as[bool](v) }

// Text returns the value of a String.
func (v Value) Text() string { return *as[string](v) }

// Ethernet returns the value of an Ethernet address.
func (v Value) Ethernet() [6]byte { return *as[[6]byte](v) }

// Addr returns the value of an IPv6 address.
func (v Value) Addr() netip.Addr { return *as[netip.Addr](v) }

// Uint returns the value of a Uint of any size.
func (v Value) Uint(m *Member) uint64 {
	switch m.size {
	case 1:
		return uint64(*as[uint8](v))
	case 2:
		return uint64(*as[uint16](v))
	case 4:
		return uint64(*as[uint32](v))
	}
	return *as[uint64](v)
}

// setUint sets a number that is not larger than the member's type holds.
func (v Value) setUint(m *Member, n uint64) {
	switch m.size {
	case 1:
		*as[uint8](v) = uint8(n)
	case 2:
		*as[uint16](v) = uint16(n)
	case 4:
		*as[uint32](v) = uint32(n)
	default:
		*as[uint64](v) = n
	}
}

// reflect returns a member for what only reflection can do: to make new memory.
func (v Value) reflect(m *Member) reflect.Value { return reflect.NewAt(m.goType, v.p).Elem() }

func (v Value) clear(m *Member) {
	switch {
	case m.Pointer:
		*as[unsafe.Pointer](v) = nil
	case m.List, m.Kind == Bytes, m.Kind == Raw:
		*v.list() = nil
	case m.Kind == Bool:
		*as[bool](v) = false
	case m.Kind == String:
		*as[string](v) = ""
	default:
		v.reflect(m).SetZero()
	}
}

// View returns text as a string without a copy. The string changes with text and
// must not be used after that.
func View(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }
