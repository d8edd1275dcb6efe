package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// Program is a Set made ready to be asked. It does not change and may be shared.
//
// Each rule is filed under one of its conditions, the one that the fewest
// frames should meet, in an index of that condition's field. Where many rules
// are filed under the same condition they are filed again under another. An
// event is looked up in the indexes, and only the few rules that are found are
// checked for their other conditions, so the time for an event hardly depends
// on the number of rules.
type Program struct {
	rules []Rule
	// checks has, for each rule, the conditions that remain to be checked once
	// the rule was found in the indexes.
	checks [][]check
	// fields are those that the rules ask for; a field's place is its slot.
	fields []*schemas.Field
	top    *level
	levels int
}

// check is a condition on the field in a slot.
type check struct {
	Condition
	slot int
}

// level is where rules are filed: all of them, or those under one condition.
type level struct {
	number  int
	indexes []*index
	// unfiled are the rules that have no condition to be filed under.
	unfiled []int32
}

const (
	// fewRules is how many rules are rather checked one by one than filed again.
	fewRules = 16
	// maxLevels bounds how often rules are filed again.
	maxLevels = 8
)

// Compile makes a set ready. The set must not be changed afterwards.
func Compile(set *Set) *Program {
	p := &Program{rules: set.Rules, checks: make([][]check, len(set.Rules))}
	slots := map[*schemas.Field]int{}
	all := make([]int32, len(set.Rules))
	for i := range set.Rules {
		all[i] = int32(i)
		for _, c := range withMessages(set.Rules[i].Conditions) {
			slot, ok := slots[c.Field]
			if !ok {
				slot = len(p.fields)
				slots[c.Field] = slot
				p.fields = append(p.fields, c.Field)
			}
			p.checks[i] = append(p.checks[i], check{c, slot})
		}
	}
	p.top = p.level(all, 1)
	return p
}

// level files rules by their remaining conditions. The depth of the top level
// is 1.
func (p *Program) level(rules []int32, depth int) *level {
	sharers := map[key]int{}
	for _, rule := range rules {
		for i := range p.checks[rule] {
			if c := &p.checks[rule][i]; !c.Negate {
				sharers[c.key()]++
			}
		}
	}
	l := &level{number: p.levels}
	p.levels++
	indexes := make([]*index, len(p.fields))
	for _, rule := range rules {
		checks := p.checks[rule]
		best, least := -1, 0
		for i := range checks {
			if checks[i].Negate {
				continue
			}
			if cost := sharers[checks[i].key()] * checks[i].breadth(); best < 0 || cost < least {
				best, least = i, cost
			}
		}
		if best < 0 {
			l.unfiled = append(l.unfiled, rule)
			continue
		}
		c := checks[best]
		if indexes[c.slot] == nil {
			indexes[c.slot] = &index{slot: c.slot}
			l.indexes = append(l.indexes, indexes[c.slot])
		}
		indexes[c.slot].add(&c.Condition, rule)
		p.checks[rule] = slices.Delete(checks, best, best+1)
	}
	for _, ix := range l.indexes {
		for _, b := range ix.buckets() {
			p.divide(b, depth+1)
		}
		ix.prefixes.link()
	}
	return l
}

// divide files the rules of a bucket again if they are many.
func (p *Program) divide(b *bucket, depth int) {
	fileable := func(rule int32) bool {
		return slices.ContainsFunc(p.checks[rule], func(c check) bool { return !c.Negate })
	}
	if len(b.rules) > fewRules && depth <= maxLevels && slices.ContainsFunc(b.rules, fileable) {
		b.level, b.rules = p.level(b.rules, depth), nil
	}
}

// Len returns the number of rules.
func (p *Program) Len() int { return len(p.rules) }

// withMessages returns the conditions, preceded by one for each message that
// they ask about and that none of them asserts: a field of a message fails
// without the message even when it is negated.
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

// neverMatches says why no frame can match the rule, or "".
func (r *Rule) neverMatches() string {
	message := ""
	for _, c := range withMessages(r.Conditions) {
		m := c.Field.Message
		if m == "" && isMessage(c.Field.Name) && !c.Negate {
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

func isMessage(field string) bool {
	switch field {
	case "nd.rs", "nd.ra", "nd.ns", "nd.na", "nd.rd":
		return true
	}
	return false
}

// key identifies the conditions that hold for the same frames.
type key struct {
	slot   int
	num    uint64
	prefix netip.Prefix
	str    string
}

func (c *check) key() key { return key{c.slot, c.Num, c.Prefix, c.Str} }

// breadth guesses how large a share of all frames meets such a condition, from
// 1 for an address to 64.
func (c *Condition) breadth() int {
	switch c.Field.Type {
	case schemas.EthernetAddress:
		return 1
	case schemas.IPv6Address:
		return 1 + (128-c.Prefix.Bits())/8
	case schemas.Uint32:
		return 2
	case schemas.Uint16:
		return 4
	case schemas.Uint8:
		return 16
	case schemas.String:
		if c.Field.Enum == nil {
			return 16
		}
	}
	return 64
}
