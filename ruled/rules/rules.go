// Package rules finds the rules that an event matches. It knows nothing of rule files (package rulefile).
//
// Compile turns rules into a Program, which each goroutine uses through an Evaluator:
//
//	program := rules.Compile(set.Rules)
//	evaluator := program.NewEvaluator()
//	for _, rule := range evaluator.Evaluate(event) { … }
//
// The rule language is NDPMon's. A rule matches a frame when all its conditions hold. <match> holds when any value of
// the field in the frame is one of those listed, <no-match> when none is, and so also when the frame has no such field.
// A field inside one message type (nd.ra.lifetime) makes the rule fail for another message, under <match> and
// <no-match> alike. docs/rules.md has the forms of conditions, thresholds (package threshold) and whole files.
package rules

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// The words for hosts in <relay to="…"/>.
const (
	// RelayOrigin is the host on which the solicitation was captured.
	RelayOrigin = "origin"
	// RelayAll is every host.
	RelayAll = "all"
)

// Rule is one rule.
type Rule struct {
	// ID is unique in the set: the attribute id, or rule-N for the Nth rule of the file.
	ID string
	// Description is the attribute, or empty.
	Description string
	// Line is where the rule begins in its file: the built-in one if Builtin.
	Line int
	// Builtin is true for a rule that <builtin/> brought in.
	Builtin bool
	// Conditions has at least one element. Those of the <probe> around the rule come first.
	Conditions []Condition
	// Severity is that of the rule's alert; it is empty for a rule that does not alert.
	Severity schemas.Severity
	// Relay has the names of the hosts that look for the target of a solicitation, with RelayOrigin for the
	// one that captured it; or RelayAll alone. It is empty for a rule that does not relay.
	Relay []string
	// Threshold limits how often the rule acts; nil does not.
	Threshold *threshold.Threshold
}

// Remembers reports whether what the rule does with a frame depends on earlier frames: it has
// a threshold, or a condition on the link.
func (r *Rule) Remembers() bool {
	return r.Threshold != nil || slices.ContainsFunc(r.Conditions, func(c Condition) bool {
		return strings.HasPrefix(c.Field.Name, "link.")
	})
}

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

// Value is compared by a condition with a value of its field. Which members
// count depends on the field's type; the others are zero.
type Value struct {
	// Min and Max bound a number, both included; they are equal for a single
	// one, and for an Ethernet address as schemas.MAC.Uint64 gives it.
	Min, Max uint64
	// Prefix holds the address of a field of type IPv6Address; its host bits are zero.
	Prefix netip.Prefix
	// Str is the string of a field of type String or, with Glob, a pattern that glob.Check accepts.
	Str  string
	Glob bool
}

// matches reports whether a value of a field of the type, which is not NoValue, is one that a accepts.
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

// holds reports whether the condition holds for a frame in which the field has these values.
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
