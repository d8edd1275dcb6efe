package rules

import (
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// Condition is one condition of a rule: it holds when any value of the field in
// the frame matches any of Values, or, negated, when none does.
type Condition struct {
	Field *schemas.Field
	// Negate is true for <no-match>.
	Negate bool
	// Values are those listed, each once, at most 4096. A field of type
	// NoValue has none: it matches when it is present.
	Values []Value
}

// Value is what a condition compares a value of its field with. Which members
// count depends on the field's type; the others are zero.
type Value struct {
	// Min and Max bound a number, both included; they are equal for a single
	// one, and for an Ethernet address as schemas.MAC.Uint64 gives it.
	Min, Max uint64
	// Prefix holds the address of a field of type IPv6Address; its host bits
	// are zero.
	Prefix netip.Prefix
	// Str is the string of a field of type String or, with Glob, a
	// pattern that glob.Check accepts.
	Str  string
	Glob bool
}

// matches reports whether a value of a field of the type, which is not NoValue, is one that a
// accepts.
func (a *Value) matches(t schemas.FieldType, v *schemas.Value) bool {
	switch t {
	case schemas.IPv6Address:
		return a.Prefix.Contains(v.Addr)
	case schemas.String:
		if a.Glob {
			return glob.Match(a.Str, v.Str)
		}
		return a.Str == v.Str
	}
	return a.Min <= v.Num && v.Num <= a.Max
}

// matches reports whether one value of the field is among those listed.
func (c *Condition) matches(v *schemas.Value) bool {
	for i := range c.Values {
		if c.Values[i].matches(c.Field.Type, v) {
			return true
		}
	}
	return c.Field.Type == schemas.NoValue
}

// exact reports whether the condition is for presence, an address, a prefix or one value, for
// which an index decides without a further check.
func (c *Condition) exact() bool {
	switch len(c.Values) {
	case 0:
		return true
	case 1:
		return c.Values[0].Min == c.Values[0].Max && !c.Values[0].Glob
	}
	return false
}
