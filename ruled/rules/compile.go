package rules

import (
	"fmt"
	"net/netip"

	"github.com/ndmon/ndmon/schemas"
)

// Program is a Set made ready to be asked. It does not change and may be shared.
//
// Each rule is filed under one of its conditions, the one that the fewest
// frames should meet: an event is looked up in the index of each such field,
// and only the rules that are found there are checked for their other
// conditions. So the time for an event hardly depends on the number of rules.
type Program struct {
	rules []Rule
	// checks has, for each rule, the conditions that remain to be checked once
	// the rule was found in an index.
	checks [][]check
	// fields are those that the rules ask for; a field's place is its slot.
	fields  []*schemas.Field
	indexes []index
	// unfiled are the rules that have negated conditions only.
	unfiled []int32
}

// check is a condition on the field in a slot.
type check struct {
	Condition
	slot int
}

// Compile makes a set ready. The set must not be changed afterwards.
func Compile(set *Set) *Program {
	p := &Program{rules: set.Rules, checks: make([][]check, len(set.Rules))}
	slots := map[*schemas.Field]int{}
	sharers := map[key]int{}
	for i := range set.Rules {
		for _, c := range withMessages(set.Rules[i].Conditions) {
			slot, ok := slots[c.Field]
			if !ok {
				slot = len(p.fields)
				slots[c.Field] = slot
				p.fields = append(p.fields, c.Field)
			}
			ch := check{c, slot}
			p.checks[i] = append(p.checks[i], ch)
			if !c.Negate {
				sharers[ch.key()]++
			}
		}
	}
	filed := make([]*index, len(p.fields))
	for i := range p.checks {
		checks := p.checks[i]
		best, least := -1, 0
		for j := range checks {
			if checks[j].Negate {
				continue
			}
			if cost := sharers[checks[j].key()] * checks[j].breadth(); best < 0 || cost < least {
				best, least = j, cost
			}
		}
		if best < 0 {
			p.unfiled = append(p.unfiled, int32(i))
			continue
		}
		ch := checks[best]
		if filed[ch.slot] == nil {
			filed[ch.slot] = &index{slot: ch.slot}
		}
		filed[ch.slot].add(&ch.Condition, int32(i))
		p.checks[i] = append(checks[:best:best], checks[best+1:]...)
	}
	for _, ix := range filed {
		if ix != nil {
			ix.prefixes.link()
			p.indexes = append(p.indexes, *ix)
		}
	}
	return p
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
