package rules

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/schemas"
)

// Fails returns the first of the rule's conditions that does not hold for an event, and what
// the event has instead. It returns "" for an event that the rule matches.
func (r *Rule) Fails(e *schemas.Event) string {
	for _, c := range withMessages(r.Conditions) {
		has := c.Field.AppendValues(nil, e)
		ch := newCheck(c, 0)
		if !ch.holds(has) {
			return fmt.Sprintf("%v does not hold: %s", &c, found(c.Field.Type, has))
		}
	}
	return ""
}

// mostShown is how many values of a condition, or of an event, are shown.
const mostShown = 4

// String returns the condition as in a rule file, with the first of its values.
func (c *Condition) String() string {
	element := "match"
	if c.Negate {
		element = "no-match"
	}
	if len(c.Values) == 0 {
		return fmt.Sprintf("<%s field=%q/>", element, c.Field.Name)
	}
	if v := c.Values[0]; v.Min != v.Max {
		return fmt.Sprintf("<%s field=%q min=\"%d\" max=\"%d\"/>", element, c.Field.Name, v.Min, v.Max)
	}
	values := make([]string, 0, len(c.Values))
	for _, v := range c.Values {
		text := v.Str
		switch c.Field.Type {
		case schemas.String:
		case schemas.IPv6Address:
			text = v.Prefix.String()
		default:
			text = shown(c.Field.Type, schemas.Value{Num: v.Min})
		}
		values = append(values, text)
	}
	return fmt.Sprintf("<%s field=%q value=%s/>", element, c.Field.Name, printable.Quote(joinFew(values, ",")))
}

func found(t schemas.FieldType, has []schemas.Value) string {
	switch {
	case len(has) == 0:
		return "the frame has none"
	case t == schemas.NoValue:
		return "it is so"
	}
	return "it is " + joinFew(shownAll(t, has), ", ")
}

// shownAll returns the different values as text.
func shownAll(t schemas.FieldType, has []schemas.Value) []string {
	values := make([]string, 0, len(has))
	for _, v := range has {
		if text := shown(t, v); !slices.Contains(values, text) {
			values = append(values, text)
		}
	}
	return values
}

func shown(t schemas.FieldType, v schemas.Value) string {
	switch t {
	case schemas.EthernetAddress:
		return schemas.MACOf(v.Num).String()
	case schemas.IPv6Address:
		return v.Addr.String()
	case schemas.String:
		return printable.Quote(v.Str)
	}
	return strconv.FormatUint(v.Num, 10)
}

// Values lists the fields that an event has and their values, as name=value, and as name those without a value.
func Values(e *schemas.Event) []string {
	var list []string
	all := schemas.Fields()
	for i, f := range all {
		if i+1 < len(all) && strings.HasPrefix(all[i+1].Name, f.Name+".") {
			continue // the fields inside say that it is there
		}
		has := f.AppendValues(nil, e)
		switch {
		case len(has) == 0:
		case f.Type == schemas.NoValue:
			list = append(list, f.Name)
		default:
			list = append(list, f.Name+"="+joinFew(shownAll(f.Type, has), ","))
		}
	}
	return list
}

func joinFew(values []string, separator string) string {
	if len(values) > mostShown {
		values = append(slices.Clip(values[:mostShown]), "…")
	}
	return strings.Join(values, separator)
}

// WriteFieldTable writes a table of all fields that a rule can ask for: name, type, example of a value ("-"
// if the field has none) and meaning. The columns are aligned and at least two spaces apart.
func WriteFieldTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FIELD\tTYPE\tEXAMPLE\tMEANING")
	for _, f := range schemas.Fields() {
		example, meaning := f.Example, f.Doc
		if f.Type == schemas.NoValue {
			example = "-"
		}
		if len(f.Enum) > 0 && slices.ContainsFunc(f.Enum, func(word string) bool { return !slices.Contains(words(f.Doc), word) }) {
			meaning += ": " + strings.Join(f.Enum, ", ")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Name, f.Type, example, meaning)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the table of fields: %w", err)
	}
	return nil
}

func words(doc string) []string {
	return strings.FieldsFunc(doc, func(r rune) bool { return strings.ContainsRune(" ,:()", r) })
}
