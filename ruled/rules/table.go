package rules

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ndmon/ndmon/schemas"
)

// WriteFieldTable writes a table of all fields that a rule can ask for: name, type,
// example of a value ("-" if the field has none) and meaning. The columns are aligned
// and at least two spaces apart.
func WriteFieldTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FIELD\tTYPE\tEXAMPLE\tMEANING")
	for _, f := range schemas.Fields() {
		example, meaning := f.Example, f.Doc
		if f.Type == schemas.NoValue {
			example = "-"
		}
		if len(f.Enum) > 0 && !mentionsAll(f.Doc, f.Enum) {
			meaning += ": " + strings.Join(f.Enum, ", ")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Name, f.Type, example, meaning)
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
