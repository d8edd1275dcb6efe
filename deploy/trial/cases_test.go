package trial

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
)

// TestFieldCases tries the built-in rules on frames that users have reported. Each line
// of EXPECTED.tsv is a case: kind, capture, rule file or -, a regular expression that an
// alert must match or -, one that no alert may match ("#N EXPRESSION": at most N may)
// or -, and the expectation in words. An alert is matched as
// "severity rule Ethernet-source description summary".
func TestFieldCases(t *testing.T) {
	const folder = "testdata/cases"
	f, err := os.Open(filepath.Join(folder, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		cells := strings.Split(lines.Text(), "\t")
		if len(cells) != 6 {
			t.Fatalf("%d cells in %q", len(cells), lines.Text())
		}
		capture, file, must, mustNot, words := cells[1], cells[2], cells[3], cells[4], cells[5]
		t.Run(capture+" "+file, func(t *testing.T) {
			set := builtin()
			if file != "-" {
				data, err := os.ReadFile(filepath.Join(folder, file))
				if err != nil {
					t.Fatal(err)
				}
				if set, err = rulefile.Parse(file, data); err != nil {
					t.Fatal(err)
				}
			}
			alerts := alertLines(t, set, filepath.Join(folder, capture+".pcap"))
			if must != "-" && count(alerts, must) == 0 {
				t.Errorf("%s: no alert matches %q:\n%s", words, must, strings.Join(alerts, "\n"))
			}
			most := 0
			if number, expression, ok := strings.Cut(strings.TrimPrefix(mustNot, "#"), " "); ok && mustNot[0] == '#' {
				mustNot = expression
				if most, err = strconv.Atoi(number); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(alerts, mustNot); mustNot != "-" && n > most {
				t.Errorf("%s: %d alerts match %q, at most %d may:\n%s", words, n, mustNot, most, strings.Join(alerts, "\n"))
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func count(alerts []string, expression string) (n int) {
	matches := regexp.MustCompile(expression)
	for _, a := range alerts {
		if matches.MatchString(a) {
			n++
		}
	}
	return n
}

// alertLines returns the alerts that a capture raises, one line for each.
func alertLines(t *testing.T, set *rulefile.Set, path string) []string {
	t.Helper()
	sources := map[int]schemas.MAC{}
	var matches []match
	eachFrame(t, path, func(n int, _ capfile.Packet, e *schemas.Event) bool {
		if e != nil {
			sources[n] = e.Ethernet.Source
		}
		return true
	})
	c := onLink(set, path)
	_, _, err := c.frames(c.table(), func(m match) {
		if m.count > 0 && m.rule.Severity != "" {
			matches = append(matches, m)
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, m := range matches {
		alerts = append(alerts, fmt.Sprintf("%s %s %s %s %s", m.rule.Severity, m.rule.ID, sources[m.frame], m.rule.Description, m.summary))
	}
	return alerts
}
