package pages

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// The page has the rows of the table of fields, grouped by the first element of their
// paths. A field that is alone with its first element is the event's own.
func TestFieldsPage(t *testing.T) {
	var table, page strings.Builder
	if err := rules.WriteFieldTable(&table); err != nil {
		t.Fatal(err)
	}
	page.WriteString(`# Fields that a rule can ask for

A field is a path in the event. This page has the table that ` + "`ndmon rules fields`" + ` prints. A field of the type "no value" is there or not,
and a condition on it has no value. The fields marked with • are NDPMon's.
`)
	all := schemas.Fields()
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")[1:]
	if len(lines) != len(all) {
		t.Fatalf("the table has %d rows, there are %d fields", len(lines), len(all))
	}
	columns := regexp.MustCompile("  +")
	last := ""
	for i, f := range all {
		group, _, _ := strings.Cut(f.Name, ".")
		if !slices.ContainsFunc(all, func(other *schemas.Field) bool { return strings.HasPrefix(other.Name, group+".") }) {
			group = "event"
		}
		if group != last {
			last = group
			fmt.Fprintf(&page, "\n## %s\n\n| field | | type | example | meaning |\n|---|---|---|---|---|\n", group)
		}
		row := columns.Split(lines[i], 4)
		mark, example := "", row[2]
		if f.NDPMon {
			mark = "•"
		}
		if example != "-" {
			example = "`" + example + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", row[0], mark, row[1], example, strings.ReplaceAll(row[3], "|", `\|`))
	}
	Golden(t, "../../docs/fields.md", page.String())
}

// Each field of rules that a page names in code exists, or is what some begin with.
func TestFieldsThatPagesName(t *testing.T) {
	for path, page := range pages(t) {
		for _, found := range regexp.MustCompile("`((?:ethernet|inet6|icmp6|nd|fault|link)\\.[a-z0-9.]+)(?:\\.\\*)?`").FindAllStringSubmatch(page, -1) {
			name := strings.TrimSuffix(found[1], ".")
			known := slices.ContainsFunc(schemas.Fields(), func(f *schemas.Field) bool {
				return f.Name == name || strings.HasPrefix(f.Name, name+".")
			})
			if subject := regexp.MustCompile(`^nd\.(events|alerts|relay|results)(\.|$)`); !known && !subject.MatchString(name) {
				t.Errorf("%s names %s, which is no field and no subject", path, name)
			}
		}
	}
}
