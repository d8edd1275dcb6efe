package rulefile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
)

// maxValues bounds the values of a condition.
const maxValues = 4096

// written is text of the file and its line.
type written struct {
	text string
	line int
}

func (p *parser) condition(r *rules.Rule, el markup.Element) {
	attrs := p.Attributes(el, "field", "value", "min", "max")
	values := p.values(el)
	name, ok := attrs["field"]
	if !ok {
		p.Faultf(el.Line, "<%s> has no attribute \"field\"", el.Name)
		return
	}
	c := rules.Condition{Field: p.field(el, name), Negate: el.Name != "match"}
	_, hasMin := attrs["min"]
	_, hasMax := attrs["max"]
	value, hasValue := attrs["value"]
	switch {
	case c.Field == nil:
		return
	case c.Field.Type == schemas.NoValue:
		ok = p.askPresence(&c, el, attrs, values)
	case !hasMin && !hasMax:
		ok = p.askValues(&c, el, value, hasValue, values)
	case hasValue || len(values) > 0:
		p.Faultf(el.Line, "field %s: a value and min or max; only one of them is allowed", c.Field.Name)
		return
	default:
		ok = p.askRange(&c, el, attrs)
	}
	if ok {
		r.Conditions = append(r.Conditions, c)
	}
}

// field returns the field with a name, nil if there is none.
func (p *parser) field(el markup.Element, name string) *schemas.Field {
	name = strings.TrimSpace(name)
	f, ok := schemas.FieldByName(name)
	if !ok {
		var names []string
		for _, f := range schemas.Fields() {
			names = append(names, f.Name)
		}
		p.Faultf(el.Line, "unknown field %s%s", printable.Quote(name), p.DidYouMean(name, names, "%q"))
	}
	return f
}

// values reads the <value> elements of a condition, no more than are too many.
func (p *parser) values(el markup.Element) []written {
	var values []written
	p.Elements(el, markup.Readers{"value": func(value markup.Element) {
		p.Attributes(value)
		if text := p.Text(value); len(values) <= maxValues {
			values = append(values, written{text, value.Line})
		}
	}})
	return values
}

// askPresence checks that a condition on a field without a value lists none.
func (p *parser) askPresence(c *rules.Condition, el markup.Element, attrs map[string]string, values []written) bool {
	for _, name := range []string{"value", "min", "max"} {
		text, given := attrs[name]
		switch {
		case !given:
		case name == "value" && c.Field.NDPMon && text == "UNKNOWN":
			p.wroteUnknown = true
		default:
			values = append(values, written{text, el.Line})
		}
	}
	if len(values) > 0 {
		p.Faultf(values[0].line, "field %s takes no value, but has %s", c.Field.Name, printable.Quote(values[0].text))
	}
	return len(values) == 0
}

func (p *parser) askRange(c *rules.Condition, el markup.Element, attrs map[string]string) bool {
	f := c.Field
	if f.Max == 0 {
		p.Faultf(el.Line, "field %s: min and max are for numbers; it takes a value of type %s, such as %s", f.Name, f.Type, f.Example)
		return false
	}
	bound := func(name string, otherwise uint64) (uint64, bool) {
		text, given := attrs[name]
		if !given {
			return otherwise, true
		}
		n, err := markup.ParseNumber(text, f.Max)
		if err != nil {
			p.Faultf(el.Line, "field %s: %s %s is not a %s from 0 to %d", f.Name, name, printable.Quote(text), f.Type, f.Max)
		}
		return n, err == nil
	}
	low, lowOK := bound("min", 0)
	high, highOK := bound("max", f.Max)
	if lowOK && highOK && low > high {
		p.Faultf(el.Line, "field %s: min %d is larger than max %d", f.Name, low, high)
	}
	c.Values = []rules.Value{{Min: low, Max: high}}
	return lowOK && highOK && low <= high
}

// askValues reads the values that a condition lists: those of the attribute and those of the elements in it.
func (p *parser) askValues(c *rules.Condition, el markup.Element, value string, given bool, inner []written) bool {
	f := c.Field
	var all []written
	if given {
		all = split(f, value, el.Line)
	}
	all = append(all, inner...)
	switch {
	case len(all) == 0:
		p.Faultf(el.Line, "field %s: no value; it takes a value of type %s, such as %s", f.Name, f.Type, f.Example)
		return false
	case len(all) > maxValues:
		p.Faultf(el.Line, "field %s: more than %d values", f.Name, maxValues)
		return false
	}
	known := map[rules.Value]bool{}
	good := true
	for _, w := range all {
		v, err := parseValue(f, w.text)
		switch {
		case err != nil:
			p.Faultf(w.line, "%v", err)
			good = false
		case !known[v]:
			known[v] = true
			c.Values = append(c.Values, v)
		}
	}
	c.Values = slices.Clip(c.Values)
	return good
}

// split returns the values of an attribute, no more than are too many: separated
// by commas unless they may hold one themselves.
func split(f *schemas.Field, value string, line int) []written {
	if f.Type == schemas.String && f.Enum == nil {
		return []written{{value, line}}
	}
	var all []written
	for text := range strings.SplitSeq(value, ",") {
		if len(all) > maxValues {
			break
		}
		all = append(all, written{strings.TrimSpace(text), line})
	}
	return all
}

// parseValue reads one value that a field is compared with. The error says what values the field has.
func parseValue(f *schemas.Field, value string) (rules.Value, error) {
	switch f.Type {
	case schemas.EthernetAddress:
		mac, err := markup.ParseMAC(value)
		if err != nil {
			return rules.Value{}, fmt.Errorf("field %s: %s is not an ethernet address such as %s", f.Name, printable.Quote(value), f.Example)
		}
		return exactly(mac.Uint64()), nil
	case schemas.IPv6Address:
		prefix, err := parsePrefix(value)
		if err != nil {
			return rules.Value{}, fmt.Errorf("field %s: %w", f.Name, err)
		}
		return rules.Value{Prefix: prefix}, nil
	case schemas.String:
		return parseString(f, value)
	}
	n, err := markup.ParseNumber(value, f.Max)
	if err != nil {
		return rules.Value{}, fmt.Errorf("field %s: %s is not a %s from 0 to %d", f.Name, printable.Quote(value), f.Type, f.Max)
	}
	return exactly(n), nil
}

// maxPattern is the longest string or pattern of a condition, in bytes.
const maxPattern = 1024

func parseString(f *schemas.Field, value string) (rules.Value, error) {
	switch {
	case f.Enum != nil && !slices.Contains(f.Enum, value):
		return rules.Value{}, fmt.Errorf("field %s: %s is not one of %s", f.Name, printable.Quote(value), strings.Join(f.Enum, ", "))
	case value == "":
		return rules.Value{}, fmt.Errorf("field %s: the value is empty", f.Name)
	case len(value) > maxPattern:
		return rules.Value{}, fmt.Errorf("field %s: the value has %d bytes; at most %d are taken", f.Name, len(value), maxPattern)
	}
	if f.Enum != nil || !glob.HasMeta(value) {
		return rules.Value{Str: value}, nil
	}
	if err := glob.Check(value); err != nil {
		return rules.Value{}, fmt.Errorf("field %s: %s %w", f.Name, printable.Quote(value), err)
	}
	return rules.Value{Str: value, Glob: true}, nil
}

// parsePrefix reads an IPv6 address or a prefix. Bits of a prefix behind its length are cleared.
func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	text, length, isPrefix := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	switch {
	case err == nil && addr.Zone() != "":
		return netip.Prefix{}, fmt.Errorf("%s has a zone; ask for the field interface instead", printable.Quote(s))
	case err != nil || !addr.Is6():
		return netip.Prefix{}, fmt.Errorf("%s is not an ipv6 address or prefix such as fe80::/10", printable.Quote(s))
	case !isPrefix:
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	bits, err := markup.ParseNumber(length, uint64(addr.BitLen()))
	if err != nil || strings.TrimSpace(length) != length {
		return netip.Prefix{}, fmt.Errorf("%s: the prefix length is not a number from 0 to 128", printable.Quote(s))
	}
	return netip.PrefixFrom(addr, int(bits)).Masked(), nil
}

// exactly returns the value that one number, or Ethernet address, matches.
func exactly(n uint64) rules.Value { return rules.Value{Min: n, Max: n} }
