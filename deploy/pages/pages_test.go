package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The page has the rows of the table of fields, grouped by the first element of their
// paths. A field that is alone with its first element is the event's own.
func TestFieldsPage(t *testing.T) {
	var table, page strings.Builder
	must(t, rules.WriteFieldTable(&table))
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
			if subject := regexp.MustCompile(`^nd\.(events|alerts|relay|results|history)(\.|$)`); !known && !subject.MatchString(name) {
				t.Errorf("%s names %s, which is no field and no subject", path, name)
			}
		}
	}
}

// The page about messages has an example of each, which fits the message's JSON Schema.
func TestExamplesOfMessages(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/messages.md")
	must(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	types := []string{schemas.TypeEvent, schemas.TypeAlert, schemas.TypeRelay, schemas.TypeResult, schemas.TypeStatus, schemas.TypeBinding, schemas.TypeSilence}
	for _, messageType := range types {
		data, err := os.ReadFile(root + "/schemas/jsonschema/" + messageType + ".json")
		must(t, err)
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		must(t, err)
		for _, name := range []string{messageType, schema.(map[string]any)["$id"].(string)} {
			must(t, compiler.AddResource(name, schema))
		}
	}
	seen := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1) {
		var message struct{ Type string }
		if err := json.Unmarshal(block[1], &message); err != nil {
			t.Fatalf("%v\n%s", err, block[1])
		}
		schema, err := compiler.Compile(message.Type)
		must(t, err)
		example, err := jsonschema.UnmarshalJSON(bytes.NewReader(block[1]))
		must(t, err)
		if err := schema.Validate(example); err != nil {
			t.Errorf("the example of %s: %v", message.Type, err)
		}
		seen[message.Type] = true
	}
	for _, messageType := range types {
		if !seen[messageType] {
			t.Errorf("there is no example of %s", messageType)
		}
	}
}

// thatRelay returns the rules that relay of a file, without their lines.
func thatRelay(set *rulefile.Set) []rules.Rule {
	var relaying []rules.Rule
	for _, rule := range set.Rules {
		if len(rule.Relay) > 0 && !rule.Builtin {
			rule.Line = 0
			relaying = append(relaying, rule)
		}
	}
	return relaying
}

// Every example on the page about writing rules is a valid rule file, or a part of
// one, and the page has all built-in rules that relay.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	must(t, err)
	examples := 0
	var relaying []rules.Rule
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(string(page), -1) {
		file := strings.TrimSpace(block)
		switch {
		case strings.HasPrefix(file, "<threshold"):
			file = `<rules><rule><match field="nd.ra"/>` + file + "</rule></rules>"
		case strings.HasPrefix(file, "<rule "):
			file = "<rules>" + file + "</rules>"
		case !strings.HasPrefix(file, "<rules>") && !strings.HasPrefix(file, "<config_ndpmon>"):
			continue
		}
		examples++
		set, err := rulefile.Parse("rules.md", []byte(file))
		if err != nil {
			t.Errorf("%v\n%s", err, file)
			continue
		}
		relaying = append(relaying, thatRelay(set)...)
	}
	compareFields := cmp.Options{
		cmp.Comparer(func(a, b *schemas.Field) bool { return a.Name == b.Name }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(thatRelay(rulefile.Builtin()), relaying, compareFields); diff != "" {
		t.Errorf("the built-in rules that relay, as the page gives them (-want +got):\n%s", diff)
	}
	if examples < 8 {
		t.Errorf("%d examples were found", examples)
	}
}

// root is the folder of the repository.
const root = "../.."

// pages returns all pages for people by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		must(t, err)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			must(t, err)
			all[path] = string(text)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

var (
	code    = regexp.MustCompile("(?ms)^```.*?^```|^    .*?$")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors returns the anchors that GitHub gives the headings of a page.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(code.ReplaceAllString(page, ""), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, h[1])] = true
	}
	return all
}

// Each link of a page leads to a file in the repository, and to a heading in it.
func TestLinks(t *testing.T) {
	all := pages(t)
	for path, page := range all {
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(page, ""), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := path
			if target != "" {
				to = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link %s: %v", path, found[1], err)
			}
			if anchor != "" && !anchors(all[to])[anchor] {
				t.Errorf("%s: link %s: no heading has this anchor", path, found[1])
			}
		}
	}
}
