package rules

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ndmon/ndmon/schemas"
)

// WriteFieldTable prints every field that a rule can ask for, aligned: its name,
// its type, what it means, and an example of a value.
func WriteFieldTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FIELD\tTYPE\tEXAMPLE\tMEANING")
	for _, f := range schemas.Fields() {
		example := f.Example
		if f.Type == schemas.NoValue {
			example = "-"
		}
		doc := f.Doc
		if len(f.Enum) > 0 && !mentionsAll(doc, f.Enum) {
			doc += ": " + strings.Join(f.Enum, ", ")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Name, f.Type, example, doc)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the table of fields: %w", err)
	}
	return nil
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
