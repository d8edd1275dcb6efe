package rulefile

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

func builtinIDs() []string {
	var ids []string
	for _, r := range Builtin().Rules {
		ids = append(ids, r.ID)
	}
	return ids[:len(ids):len(ids)]
}

// TestParseFiles reads whole files as users have them.
func TestParseFiles(t *testing.T) {
	builtin := builtinIDs()
	whole := fmt.Sprintf(`NDPMon checks more than its rules say, so the %d built-in rules are in force too; <builtin except="…"/> leaves some of them out`, len(builtin))
	for _, tt := range []struct {
		file    string
		ids     []string
		notices []string
	}{
		{"ndpmon2.xml", append(builtin, "rule-1", "rule-2", "rule-3"), []string{
			"5: " + whole,
			"6: not acted on: syslog (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program); countermeasures (ndmon never sends forged frames); ignor_autoconf (nothing takes their place)",
		}},
		{"ndpmon2-empty.xml", builtin, []string{"5: " + whole}},
		{"ndpmon2-saved.xml", append(builtin, "rule-1"), []string{
			`1: NDPMon wrote this file itself (value="UNKNOWN"), and then it writes every <no-match> as <match>: compare the rules with your own copy`,
			"4: " + whole,
			"5: not acted on: syslog (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program); ignor_autoconf (nothing takes their place)",
		}},
		{"ndpmon2-routers.xml", append(builtin, "rule-1"), []string{
			"5: " + whole,
			"6: not acted on: sendmail, syslog, exec_pipe_program (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program); soap (what probes report is on NATS); countermeasures (ndmon never sends forged frames)",
		}},
		{"ndpmon1-vlan.xml", builtin, []string{
			"5: " + whole,
			"8: not acted on: exec_pipe_program (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program)",
		}},
		{"ndpmon1.xml", builtin, []string{
			"4: " + whole,
			"4: not acted on: sendmail, syslog (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program); ignor_autoconf, use_reverse_hostlookups (nothing takes their place)",
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			set, err := Parse(tt.file, readTestdata(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			var ids, notices []string
			for _, r := range set.Rules {
				ids = append(ids, r.ID)
			}
			for _, n := range set.Notices {
				notices = append(notices, fmt.Sprintf("%d: %s", n.Line, n.Message))
			}
			if diff := cmp.Diff(tt.ids, ids); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.notices, notices); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func readTestdata(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// pieces returns what files have of elements with a name, each in one line.
func pieces(f *testing.F, name string) []string {
	files := [][]byte{BuiltinXML()}
	for _, file := range []string{"ndpmon2.xml", "ndpmon2-saved.xml", "ndpmon2-routers.xml", "ndpmon1.xml", "ndpmon1-vlan.xml"} {
		files = append(files, readTestdata(f, file))
	}
	var all []string
	for _, data := range files {
		for _, element := range regexp.MustCompile("(?s)<"+name+"[ >].*?</"+name+">").FindAll(data, -1) {
			all = append(all, strings.Join(strings.Fields(string(element)), " "))
		}
	}
	if len(all) == 0 {
		f.Fatalf("no file has <%s>", name)
	}
	return all
}

// FuzzParse has small seeds: of a long input that is new to it, Go tries each
// piece that can be left out, and does nothing else for a minute.
func FuzzParse(f *testing.F) {
	for _, rule := range pieces(f, "rule") {
		f.Add([]byte("<rules>" + rule + "</rules>"))
	}
	const router = "<rules><routers><router><mac>2:0:0:0:0:1</mac><lla>fe80::1</lla>%s</router></routers></rules>"
	for _, name := range []string{"addresses", "prefixes", "rdnss", "dnssl", "routes"} {
		for _, piece := range pieces(f, name) {
			f.Add(fmt.Appendf(nil, router, piece))
		}
	}
	f.Add([]byte("<config_ndpmon><actions_low_pri><sendmail>0</sendmail></actions_low_pri><admin_mail>a@b</admin_mail></config_ndpmon>"))
	f.Add([]byte("<config_ndpmon><settings><ignor_autoconf>1</ignor_autoconf><soap listen_port='1'/></settings></config_ndpmon>"))
	f.Add([]byte("<rules>\n<rule id='a' id='a' x='1'>t<match field='inet6.source' value='::/129'/><match field='ethernet.source' value='0:1'/></rule>\n</rules><x/>"))
	f.Add([]byte(`<rules><builtin except="hop-limit"/><rule id="relay-ns"><match field="inet6.hoplimit" min="1" max="254"/>
<no-match field="interface"><value>eth*</value><value>?</value></no-match><match field="icmp6.type" value="133, 134,x"/>
<threshold type="both" track="inet6.source,host" count="1" seconds="2"/></rule></rules>`))
	f.Add([]byte(`<config_ndpmon><routers><router><vlan_id>1</vlan_id><mac>2:0:0:0:0:1</mac><lla>fe80::1</lla><dnssl><domain lifetime="">a\.</domain></dnssl></router></routers>
<probe name="a/b"><rules><rule><match field="nd.ra"/></rule></rules><routers><router><mac>2:0:0:0:0:1</mac><lla>fe80::1</lla></router></routers></probe></config_ndpmon>`))
	f.Add([]byte("\r\r\rtext")) // lone carriage returns
	f.Add([]byte("<?xml version='1.0' encoding='latin1'?><rules><!DOCTYPE x [<!ENTITY a 'b'>]>&a;</rules>"))
	e := corpus.Event(f, "radvd-full#1")
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Parse("f", data)
		if err == nil {
			ids := map[string]bool{}
			for _, r := range set.Rules {
				if r.ID == "" || ids[r.ID] || len(r.Conditions) == 0 || r.Severity == "" && len(r.Relay) == 0 {
					t.Fatalf("rule %+v", r)
				}
				ids[r.ID] = true
			}
			rules.Compile(set.Rules).NewEvaluator().Evaluate(e)
			checkLinks(t, set)
			return
		}
		var faults *Faults
		if !errors.As(err, &faults) || len(faults.List) == 0 || len(faults.List) > markup.MaxRemarks {
			t.Fatalf("Parse: %v", err)
		}
		lines := 1 + strings.Count(string(data), "\n")
		for _, fault := range faults.List {
			if fault.Line < 1 || fault.Line > lines {
				t.Fatalf("fault in line %d of %d: %s", fault.Line, lines, fault.Message)
			}
			if strings.ContainsAny(fault.Message, "\n\r\x1b") {
				t.Fatalf("fault is not one printable line: %q", fault.Message)
			}
		}
	})
}

// checkLinks sees that what was read is one printable line after the other, and
// that its routers come through WriteRouters.
func checkLinks(t *testing.T, set *Set) {
	var described, written strings.Builder
	if err := set.Describe(&described); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(described.String(), "\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("not printable: %q", line)
		}
	}
	if err := WriteRouters(&written, set.Links); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(set.Links, mustParse(t, written.String()).Links, compareAddrs); diff != "" {
		t.Fatal(diff)
	}
}

// No sender can use up the limit of a rule for another, and none can make alerts
// without end by making up what is tracked.
func TestBuiltinLimits(t *testing.T) {
	for _, r := range Builtin().Rules {
		if r.Severity == "" || r.Severity == schemas.Info || r.Threshold != nil && r.Threshold.Type == threshold.TypeBoth {
			continue
		}
		switch {
		case r.Threshold == nil:
			t.Errorf("%s has no threshold", r.ID)
		case !slices.ContainsFunc(r.Threshold.Track, func(f *schemas.Field) bool { return f.Name == "ethernet.source" || f.Name == "conflict.otherethernet" }):
			t.Errorf("%s is not limited by its sender", r.ID)
		case r.Threshold.Cap == 0:
			t.Errorf("%s has no cap", r.ID)
		}
	}
}
