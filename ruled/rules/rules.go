// Package rules finds the rules that an event matches. It knows nothing of rule files
// (package rulefile).
//
// Compile turns rules into a Program, which each goroutine uses through an Evaluator:
//
//	program := rules.Compile(set.Rules)
//	evaluator := program.NewEvaluator()
//	for _, rule := range evaluator.Evaluate(event) { … }
//
// The rule language is NDPMon's. A rule matches a frame when all its conditions hold.
// <match> holds when any value of the field in the frame is one of those listed, <no-match>
// when none is, and so also when the frame has no such field. A field inside one message type
// (nd.ra.lifetime) makes the rule fail for another message, under <match> and <no-match>
// alike. The forms of a condition are:
//
//	<match field="nd.ra"/>                                   presence
//	<match field="icmp6.type" value="133, 134"/>             one of several
//	<match field="inet6.source" value="fe80::/10,2001:db8::1"/>
//	<match field="inet6.hoplimit" min="1" max="254"/>        a range; one bound may be left out
//	<match field="interface" value="eth*"/>                  a pattern, * and ?
//	<match field="host"><value>r1</value><value>r2</value></match>
//
// The value attribute of a string that may be anything is not split at commas;
// <value> elements are for every type. A pattern cannot ask for * or ? itself.
//
// A threshold limits how often a rule acts, see package threshold:
//
//	<threshold type="limit" track="host,inet6.source" count="1" seconds="60"/>
//	<threshold type="limit" track="host,inet6.source" count="1" seconds="60" cap="20"/>
//
// <builtin except="id id"/> includes the built-in rules. A file may be a whole
// configuration of NDPMon: a probe narrows the rules in it to its link, and the
// routers are in Set.Links.
package rules

import (
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
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
	// ID is unique in the set: the attribute id, or rule-N for the Nth rule of
	// the file.
	ID string
	// Description is the attribute, or empty.
	Description string
	// Line is where the rule begins in its file: the built-in one if Builtin.
	Line int
	// Builtin is true for a rule that <builtin/> brought in.
	Builtin bool
	// Conditions has at least one element. Those of the <probe> around the rule come first.
	Conditions []Condition
	// Severity is that of the rule's alert; it is empty for a rule that does
	// not alert.
	Severity schemas.Severity
	// Relay has the names of the hosts that look for the target of a solicitation, with
	// RelayOrigin for the one that captured it; or RelayAll alone. It is empty for a rule
	// that does not relay.
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
