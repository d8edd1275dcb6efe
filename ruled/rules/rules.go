// Package rules reads rule files, finds the rules that an event matches, and
// says in a line what happened in an event.
//
// A file is read by Parse into a Set, a Set is made ready by Compile, and each
// goroutine asks the Program through an Evaluator of its own:
//
//	set, err := rules.Parse(name, data)
//	program := rules.Compile(set)
//	evaluator := program.NewEvaluator()
//	for _, rule := range evaluator.Evaluate(event) { … }
//
// The rule language is NDPMon's. A rule matches a frame when all its conditions
// hold. <match> holds when any value of the field in the frame is the one asked
// for, <no-match> when none is, and so also when the frame has no such field.
// A field inside one message type (nd.ra.lifetime) asked of another message
// makes the rule fail, under <match> and <no-match> alike.
package rules

import (
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
)

// Set is the rules of one file, in its order.
type Set struct {
	Rules []Rule
	// Notices is what the reader of the file should know although it is no
	// fault, by line.
	Notices []Remark
}

// Rule is one rule.
type Rule struct {
	// ID is unique in the set: the attribute id, or rule-N for the Nth rule.
	ID string
	// Description is the attribute, or empty.
	Description string
	// Line is where the rule begins in the file.
	Line int
	// Probe is the name of the <probe> that the rule stands under, or empty.
	Probe string
	// Conditions has at least one element.
	Conditions []Condition
	// Severity is that of the rule's alert; it is empty for a rule that does
	// not alert.
	Severity schemas.Severity
	// Relay is true for a rule that relays.
	Relay bool
}

// Condition is one condition of a rule: it holds when any value of the field
// matches, or, negated, when none does. What a value is compared with depends
// on the field's type; a field of type NoValue matches when it is present.
type Condition struct {
	Field *schemas.Field
	// Negate is true for <no-match>.
	Negate bool
	// Num is a number, or an Ethernet address as schemas.MAC.Uint64 gives it.
	Num uint64
	// Prefix holds the address of a field of type IPv6Address; its host bits
	// are zero.
	Prefix netip.Prefix
	// Str is compared with a string.
	Str string
}

// matches reports whether one value of the field is what the condition asks
// for.
func (c *Condition) matches(v schemas.Value) bool {
	switch c.Field.Type {
	case schemas.NoValue:
		return true
	case schemas.IPv6Address:
		return c.Prefix.Contains(v.Addr)
	case schemas.String:
		return c.Str == v.Str
	}
	return c.Num == v.Num
}

// holds reports whether the condition holds for a frame in which the field has
// these values.
func (c *Condition) holds(values []schemas.Value) bool {
	for i := range values {
		if c.matches(values[i]) {
			return !c.Negate
		}
	}
	return c.Negate
}
