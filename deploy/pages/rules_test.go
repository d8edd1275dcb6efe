package pages

import (
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

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
	if err != nil {
		t.Fatal(err)
	}
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
