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

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/pages"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
)

// someRules are independent of the built-in rules, so the golden files do not change with those.
const someRules = `<rules>
  <rule id="look" description="NS that is relayed">
    <match field="nd.ns"/>
    <no-match field="inet6.source" value="::/128"/>
    <relay/>
  </rule>
  <rule id="conflict" description="address conflict">
    <match field="link.dad"/>
    <alert severity="critical"/>
    <relay/>
  </rule>
  <rule id="na" description="NA">
    <match field="nd.na"/>
    <no-match field="nd.na.flag.override"/>
    <alert severity="info"/>
  </rule>
  <rule id="ra" description="every second RA">
    <match field="nd.ra"/>
    <threshold type="threshold" track="host" count="2" seconds="60"/>
  </rule>
  <rule id="prefix" description="RA with another prefix">
    <match field="nd.opt.prefixinfo"/>
    <no-match field="nd.opt.prefixinfo.prefix" value="2001:db8:1::/64"/>
  </rule>
</rules>
`

func parseRules(t *testing.T) *rulefile.Set {
	t.Helper()
	set, err := rulefile.Parse("rules.xml", []byte(someRules))
	must(t, err)
	return set
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		golden, capture string
		why             int
	}{
		{"conflict", "linux-dad_conflict", 0},
		{"conflict-why", "linux-dad_conflict", 4},
		{"radvd", "radvd-full", 0},
		{"radvd-why", "radvd-full", 4},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			var out strings.Builder
			must(t, Run(&out, Config{Set: parseRules(t), Capture: toolsFolder + "/" + tt.capture + ".pcap", Host: "r1", Link: linkConfig(false), Why: tt.why}))
			pages.Golden(t, "testdata/"+tt.golden+".golden", out.String())
		})
	}
}

func TestRunFaults(t *testing.T) {
	folder := t.TempDir()
	echo := host.to("fe80::b", []byte{128, 0, 0, 0, 0, 0, 0, 0})
	good := pcap(t, soon(echo, host.use())...)
	for name, data := range map[string][]byte{
		"good.pcap": good, "cut.pcap": good[:len(good)-1], "garbage": []byte(strings.Repeat("garbage ", 8)), "empty": nil,
	} {
		must(t, os.WriteFile(filepath.Join(folder, name), data, 0o644))
	}
	for _, tt := range []struct {
		file string
		why  int
		want string
	}{
		{file: "good.pcap"},
		{file: "good.pcap", why: 1, want: "frame 1 of FOLDER/good.pcap is not Neighbor Discovery, so no rule applies to it"},
		{file: "good.pcap", why: 2},
		{file: "good.pcap", why: 3, want: "FOLDER/good.pcap has 2 frames; there is no frame 3"},
		{file: "missing.pcap", want: "read capture: open FOLDER/missing.pcap: no such file or directory"},
		{file: "missing.pcap", why: 1, want: "read capture: open FOLDER/missing.pcap: no such file or directory"},
		{file: "cut.pcap", want: "read capture FOLDER/cut.pcap: packet 2: the file is truncated"},
		{file: "cut.pcap", why: 2, want: "read capture FOLDER/cut.pcap: packet 2: the file is truncated"},
		{file: "garbage", want: "read capture FOLDER/garbage: this is no pcap or pcapng file"},
		{file: "empty", want: "read capture FOLDER/empty: the file is too short"},
	} {
		var out strings.Builder
		err := Run(&out, Config{Set: parseRules(t), Capture: filepath.Join(folder, tt.file), Host: "r1", Link: linkConfig(false), Why: tt.why})
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), folder, "FOLDER")
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, frame %d (-want +got):\n%s", tt.file, tt.why, diff)
		}
		// The frames before the end of a truncated file are shown.
		if shown, want := out.Len() > 0, err == nil || tt.file == "cut.pcap" && tt.why == 0; shown != want {
			t.Errorf("%s, frame %d: output %q", tt.file, tt.why, out.String())
		}
	}
}

// TestFieldCases tries the built-in rules on frames that users have reported. Each line
// of EXPECTED.tsv is a case: kind, capture, rule file or -, a regular expression that an
// alert must match or -, one that no alert may match ("#N EXPRESSION": at most N may)
// or -, and the expectation in words. An alert is matched as
// "severity rule Ethernet-source description summary".
func TestFieldCases(t *testing.T) {
	const folder = "testdata/cases"
	f, err := os.Open(filepath.Join(folder, "EXPECTED.tsv"))
	must(t, err)
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
		capture, file, wanted, unwanted, words := cells[1], cells[2], cells[3], cells[4], cells[5]
		t.Run(capture+" "+file, func(t *testing.T) {
			set := builtin()
			if file != "-" {
				data, err := os.ReadFile(filepath.Join(folder, file))
				must(t, err)
				if set, err = rulefile.Parse(file, data); err != nil {
					t.Fatal(err)
				}
			}
			alerts := alertLines(t, set, filepath.Join(folder, capture+".pcap"))
			if wanted != "-" && count(alerts, wanted) == 0 {
				t.Errorf("%s: no alert matches %q:\n%s", words, wanted, strings.Join(alerts, "\n"))
			}
			most := 0
			if number, expression, ok := strings.Cut(strings.TrimPrefix(unwanted, "#"), " "); ok && unwanted[0] == '#' {
				unwanted = expression
				if most, err = strconv.Atoi(number); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(alerts, unwanted); unwanted != "-" && n > most {
				t.Errorf("%s: %d alerts match %q, at most %d may:\n%s", words, n, unwanted, most, strings.Join(alerts, "\n"))
			}
		})
	}
	must(t, lines.Err())
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
	must(t, err)
	var alerts []string
	for _, m := range matches {
		alerts = append(alerts, fmt.Sprintf("%s %s %s %s %s", m.rule.Severity, m.rule.ID, sources[m.frame], m.rule.Description, m.summary))
	}
	return alerts
}
