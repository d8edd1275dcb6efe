package rules

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ndmon/ndmon/schemas"
)

// WriteFieldTable prints every field that a rule can ask for, aligned: its name,
// its type, an example of a value, and what it means.
func WriteFieldTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FIELD\tTYPE\tEXAMPLE\tMEANING")
	for _, r := range fieldRows() {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.name, r.typ, r.example, r.meaning)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the table of fields: %w", err)
	}
	return nil
}

// WriteFieldPage writes the table of WriteFieldTable as a page in Markdown, by
// what the fields are of.
func WriteFieldPage(w io.Writer) error {
	var page bytes.Buffer
	page.WriteString(`# Fields that a rule can ask for

A field is a path in the event, and this is the same table as ` + "`nd-ruled fields`" + ` prints. Fields of type "no value" are there or not, and a
condition on them has no value. Those with a • are NDPMon's own.
`)
	rows := fieldRows()
	group := "" // of the last row
	for _, r := range rows {
		if g := groupOf(r, rows); g != group {
			group = g
			fmt.Fprintf(&page, "\n## %s\n\n| field | | type | example | meaning |\n|---|---|---|---|---|\n", group)
		}
		mark, example := "", r.example
		if r.ndpmon {
			mark = "•"
		}
		if example != noExample {
			example = "`" + example + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", r.name, mark, r.typ, example, strings.ReplaceAll(r.meaning, "|", `\|`))
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("write the page of fields: %w", err)
	}
	return nil
}

// fieldRow is a field as it is shown.
type fieldRow struct {
	name, typ, example, meaning string
	ndpmon                      bool
}

// noExample stands for the value of a field that has none.
const noExample = "-"

// fieldRows returns the rows of the table of fields.
func fieldRows() []fieldRow {
	var rows []fieldRow
	for _, f := range schemas.Fields() {
		r := fieldRow{f.Name, f.Type.String(), f.Example, f.Doc, f.NDPMon}
		if f.Type == schemas.NoValue {
			r.example = noExample
		}
		if len(f.Enum) > 0 && !mentionsAll(f.Doc, f.Enum) {
			r.meaning += ": " + strings.Join(f.Enum, ", ")
		}
		rows = append(rows, r)
	}
	return rows
}

// groupOf returns the first element of a field's path, or "event" for a field
// that is alone with it.
func groupOf(r fieldRow, rows []fieldRow) string {
	first, _, _ := strings.Cut(r.name, ".")
	if slices.ContainsFunc(rows, func(other fieldRow) bool { return strings.HasPrefix(other.name, first+".") }) {
		return first
	}
	return "event"
}

func mentionsAll(doc string, words []string) bool {
	in := strings.FieldsFunc(doc, func(r rune) bool { return r == ' ' || r == ',' || r == ':' || r == '(' || r == ')' })
	for _, w := range words {
		if !slices.Contains(in, w) {
			return false
		}
	}
	return true
}
