package rules

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every example on the page about writing rules is a good rule file, or the
// inside of one.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
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
		if _, err := Parse("rules.md", []byte(file)); err != nil {
			t.Errorf("%v\n%s", err, file)
		}
	}
	if examples < 8 {
		t.Errorf("%d examples were found", examples)
	}
}
