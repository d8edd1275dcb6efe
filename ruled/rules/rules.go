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
// hold. <match> holds when any value of the field in the frame is one of those
// asked for, <no-match> when none is, and so also when the frame has no such
// field. A field inside one message type (nd.ra.lifetime) asked of another
// message makes the rule fail, under <match> and <no-match> alike. Conditions
// ask in these ways:
//
//	<match field="nd.ra"/>                                   presence
//	<match field="icmp6.type" value="133, 134"/>             one of several
//	<match field="inet6.source" value="fe80::/10,2001:db8::1"/>
//	<match field="inet6.hoplimit" min="1" max="254"/>        a range; either may be left out
//	<match field="interface" value="eth*"/>                  a pattern, * and ?
//	<match field="host"><value>r1</value><value>r2</value></match>
//
// The value attribute of a string that may be anything is not split at commas;
// <value> elements are for every type. A pattern cannot ask for * or ? itself.
//
// What a rule does may be held back, see Threshold and Thresholds:
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

// The words that stand for hosts in <relay to="…"/>.
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
	// Conditions has at least one element. Those that a <probe> puts on the
	// rules in it come first.
	Conditions []Condition
	// Severity is that of the rule's alert; it is empty for a rule that does
	// not alert.
	Severity schemas.Severity
	// Relay has the hosts that are to look for the target of a solicitation, by
	// name, with RelayOrigin for the one that saw it; or RelayAll alone. It is
	// empty for a rule that does not relay.
	Relay []string
	// Threshold holds back some of what the rule does; nil holds back nothing.
	Threshold *threshold.Threshold
}

// Remembers reports whether it depends on earlier frames what the rule makes of
// one: it has a threshold, or asks what is known of the link.
func (r *Rule) Remembers() bool {
	return r.Threshold != nil || slices.ContainsFunc(r.Conditions, func(c Condition) bool {
		return strings.HasPrefix(c.Field.Name, "link.")
	})
}
