package rules

import (
	"fmt"
	"iter"
	"slices"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// Program is compiled rules. It does not change and may be shared.
//
// Each rule is filed under one of its conditions, the one that the fewest frames should meet, in an index of that
// condition's field: under each of the listed values. Where many rules are filed under the same condition, they are
// filed again under another. An event is looked up in the indexes, and only the few rules that are found are checked
// for their other conditions, so the time for an event hardly depends on the number of rules.
//
// A rule whose conditions are all negated is checked for every event.
type Program struct {
	rules []Rule
	// checks has, for each rule, the conditions that remain to be checked once the rule was found in the indexes.
	checks [][]check
	// conflicts is true for each rule that only conflicts match. They match no other rule.
	conflicts []bool
	// fields are those of all conditions; the index of a field is its slot.
	fields []*schemas.Field
	// gates are those of the fields, the index of a gate is its number; gate has the number of the gate of each field.
	gates  []*schemas.Gate
	gate   []int
	top    *level
	levels int
}

const noGate = -1

const (
	// fewRules is how many rules are checked one by one instead of filed again.
	fewRules = 16
	// maxLevels bounds how often rules are filed again.
	maxLevels = 8
)

type compiler struct {
	*Program
	// settled is true for each rule that is filed several times, or for more frames than it
	// is about. It keeps all its checks, and is not filed again, which would multiply it.
	settled []bool
}

// conflict is the field that only events without a frame have.
const conflict = "conflict"

// Compile prepares rules for evaluation. They must not be changed afterwards.
func Compile(all []Rule) *Program {
	p := &Program{rules: all, checks: make([][]check, len(all)), conflicts: make([]bool, len(all))}
	slots := map[*schemas.Field]int{}
	numbers := make([]int32, len(all))
	for i := range all {
		numbers[i] = int32(i)
		for _, c := range withMessages(all[i].Conditions) {
			if !c.Negate && (c.Field.Name == conflict || c.Field.Message == conflict) {
				p.conflicts[i] = true
			}
			slot, ok := slots[c.Field]
			if !ok {
				slot = len(p.fields)
				slots[c.Field] = slot
				p.fields = append(p.fields, c.Field)
				p.gate = append(p.gate, p.gateNumber(c.Field.Gate))
			}
			p.checks[i] = append(p.checks[i], newCheck(c, slot))
		}
	}
	c := compiler{p, make([]bool, len(all))}
	p.top = c.level(numbers, 1)
	return p
}

// level files rules by their remaining conditions. The depth of the top level is 1.
func (p *compiler) level(rules []int32, depth int) *level {
	l := &level{number: p.levels}
	p.levels++
	sharers := p.sharers(rules)
	indexes := make([]*index, len(p.fields))
	for _, rule := range rules {
		best := p.best(rule, sharers)
		if best < 0 {
			l.unfiled = append(l.unfiled, rule)
			continue
		}
		c := p.checks[rule][best]
		if indexes[c.slot] == nil {
			indexes[c.slot] = &index{slot: c.slot}
			if c.Field.IsFlag() {
				indexes[c.slot].flag = c.Field
			}
			g := l.group(p.gate[c.slot])
			g.indexes = append(g.indexes, indexes[c.slot])
		}
		indexes[c.slot].add(&c.Condition, rule)
		if c.exact() {
			p.checks[rule] = slices.Delete(p.checks[rule], best, best+1)
		} else {
			p.settled[rule] = true
		}
	}
	for _, g := range l.groups {
		for _, ix := range g.indexes {
			for _, b := range ix.buckets() {
				p.divide(b, depth+1)
			}
			ix.prefixes.link()
		}
	}
	return l
}

// gateNumber returns the number of a gate, noGate for nil.
func (p *Program) gateNumber(gate *schemas.Gate) int {
	if gate == nil {
		return noGate
	}
	number := slices.Index(p.gates, gate)
	if number < 0 {
		number = len(p.gates)
		p.gates = append(p.gates, gate)
	}
	return number
}

func (l *level) group(gate int) *group {
	i := slices.IndexFunc(l.groups, func(g group) bool { return g.gate == gate })
	if i < 0 {
		i = len(l.groups)
		l.groups = append(l.groups, group{gate: gate})
	}
	return &l.groups[i]
}

// sharers counts the rules that may be filed under each key.
func (p *compiler) sharers(rules []int32) map[key]int {
	sharers := map[key]int{}
	for _, rule := range rules {
		for i := range p.checks[rule] {
			if c := &p.checks[rule][i]; !c.Negate {
				for k := range c.keys() {
					sharers[k]++
				}
			}
		}
	}
	return sharers
}

// best returns the index of the condition that a rule is best filed under, -1 for none.
func (p *compiler) best(rule int32, sharers map[key]int) int {
	best, least := -1, 0
	for i := range p.checks[rule] {
		c := &p.checks[rule][i]
		if c.Negate {
			continue
		}
		cost := 0
		for k := range c.keys() {
			cost += sharers[k] * breadth(c.Field, &k.value)
		}
		if best < 0 || cost < least {
			best, least = i, cost
		}
	}
	return best
}

// divide files the rules of a bucket again if they are many.
func (p *compiler) divide(b *bucket, depth int) {
	if depth > maxLevels || len(b.rules) <= fewRules {
		return
	}
	var settled, others []int32
	fileable := false
	for _, rule := range b.rules {
		if p.settled[rule] {
			settled = append(settled, rule)
			continue
		}
		others = append(others, rule)
		fileable = fileable || slices.ContainsFunc(p.checks[rule], func(c check) bool { return !c.Negate })
	}
	if len(others) > fewRules && fileable {
		b.level, b.rules = p.level(others, depth), settled
	}
}

// Len returns the number of rules.
func (p *Program) Len() int { return len(p.rules) }

// withMessages returns the conditions, preceded by one for each message whose fields they use and that none
// of them asserts: a field of a message fails without the message even when it is negated.
func withMessages(conditions []Condition) []Condition {
	asserted := map[string]bool{}
	for i := range conditions {
		if c := &conditions[i]; !c.Negate {
			asserted[c.Field.Name] = true
			asserted[c.Field.Message] = true
		}
	}
	var all []Condition
	for i := range conditions {
		message := conditions[i].Field.Message
		if message == "" || asserted[message] {
			continue
		}
		asserted[message] = true
		if f, ok := schemas.FieldByName(message); ok {
			all = append(all, Condition{Field: f})
		}
	}
	return append(all, conditions...)
}

// NeverMatches returns why no frame can match the rule, or "".
func (r *Rule) NeverMatches() string {
	message := ""
	for _, c := range withMessages(r.Conditions) {
		m := c.Field.Message
		if m == "" && slices.Contains([]string{"nd.rs", "nd.ra", "nd.ns", "nd.na", "nd.rd", conflict}, c.Field.Name) && !c.Negate {
			m = c.Field.Name
		}
		switch {
		case m == "":
		case message == "":
			message = m
		case m != message:
			return fmt.Sprintf("a frame that has %s does not have %s", message, m)
		}
	}
	for _, c := range r.Conditions {
		if c.Negate && c.Field.Name == message {
			return fmt.Sprintf("it asks for %s and for its absence", message)
		}
	}
	return ""
}

// key is a value of the field in a slot or, if zero, its presence.
type key struct {
	slot  int
	value Value
}

// keys yields the values that the condition lists.
func (c *check) keys() iter.Seq[key] {
	return func(yield func(key) bool) {
		if len(c.Values) == 0 {
			yield(key{slot: c.slot})
		}
		for i := range c.Values {
			if !yield(key{c.slot, c.Values[i]}) {
				return
			}
		}
	}
}

// breadth guesses how large a share of all frames has such a value in a field, from 1 for an address to 64.
func breadth(f *schemas.Field, v *Value) int {
	const all = 64
	number := func(one int) int { return one + int((all-uint64(one))*(v.Max-v.Min)/f.Max) }
	switch f.Type {
	case schemas.EthernetAddress:
		return 1
	case schemas.IPv6Address:
		return 1 + (128-v.Prefix.Bits())/8
	case schemas.Uint32:
		return number(2)
	case schemas.Uint16:
		return number(4)
	case schemas.Uint8:
		return number(16)
	case schemas.String:
		if f.Enum == nil && glob.LiteralPrefix(v.Str) != "" {
			return 16
		}
	}
	return all
}
