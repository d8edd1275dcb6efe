package rules

import (
	"github.com/gaissmai/bart"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// check is a condition on the field in a slot.
type check struct {
	Condition
	slot int
	// many is nil for a condition with few values.
	many *values
}

// fewValues is how many values are rather compared one by one than looked up.
const fewValues = 8

func newCheck(c Condition, slot int) check {
	ch := check{Condition: c, slot: slot}
	if len(c.Values) > fewValues {
		ch.many = newValues(&c)
	}
	return ch
}

// holds reports whether the condition holds for a frame in which the field has
// these values.
func (c *check) holds(has []schemas.Value) bool {
	for i := range has {
		if c.many != nil && c.many.has(&has[i]) || c.many == nil && c.matches(&has[i]) {
			return !c.Negate
		}
	}
	return c.Negate
}

// values are the many values of a condition, to look one up in.
type values struct {
	prefixes bart.Lite
	exact    map[schemas.Value]struct{}
	globs    []string
}

func newValues(c *Condition) *values {
	many := &values{exact: map[schemas.Value]struct{}{}}
	for i := range c.Values {
		v := &c.Values[i]
		switch {
		case c.Field.Type == schemas.IPv6Address:
			many.prefixes.Insert(v.Prefix)
		case v.Glob:
			many.globs = append(many.globs, v.Str)
		default:
			many.exact[schemas.Value{Num: v.Min, Str: v.Str}] = struct{}{}
		}
	}
	return many
}

func (m *values) has(v *schemas.Value) bool {
	if v.Addr.IsValid() {
		return m.prefixes.Contains(v.Addr)
	}
	if _, ok := m.exact[*v]; ok {
		return true
	}
	for _, pattern := range m.globs {
		if glob.Match(pattern, v.Str) {
			return true
		}
	}
	return false
}
