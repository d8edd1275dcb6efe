package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ndmon/ndmon/schemas"
)

func TestSettingFaults(t *testing.T) {
	in := func(s string) string { return "<config_ndpmon>\n<settings>" + s + "</settings></config_ndpmon>" }
	for name, tt := range map[string]struct {
		file string
		want string
	}{
		"unknown setting":         {in("<sylog_facility/>"), "2: unknown element <sylog_facility> in <settings>; did you mean <syslog_facility>?"},
		"unknown at the root":     {"<config_ndpmon><admin_male/></config_ndpmon>", "1: unknown element <admin_male> in <config_ndpmon>; did you mean <admin_mail>?"},
		"attribute of settings":   {"<config_ndpmon>\n<settings x='1'/></config_ndpmon>", `2: unknown attribute "x" of <settings>`},
		"text in settings":        {in("x"), `2: text "x" in <settings>, which takes none`},
		"setting twice":           {in("<admin_mail>a</admin_mail>\n<admin_mail>b</admin_mail>"), "3: second <admin_mail> in <settings>; the first is on line 2"},
		"attribute of actions":    {in("<actions_high_priority sendmale='1'/>"), `2: unknown attribute "sendmale" of <actions_high_priority>; did you mean "sendmail"?`},
		"element in actions":      {in("<actions_low_pri><mail/></actions_low_pri>"), `2: unknown element <mail> in <actions_low_pri>`},
		"attribute of soap":       {in("<soap port='1'/>"), `2: unknown attribute "port" of <soap>`},
		"element in soap":         {in("<soap><x/></soap>"), `2: unknown element <x> in <soap>`},
		"element in admin_mail":   {in("<admin_mail><x/></admin_mail>"), `2: unknown element <x> in <admin_mail>`},
		"unknown countermeasure":  {"<config_ndpmon><countermeasures><kill_wrong_prefx/></countermeasures></config_ndpmon>", "1: unknown element <kill_wrong_prefx> in <countermeasures>; did you mean <kill_wrong_prefix>?"},
		"settings in <rules>":     {"<rules><settings/></rules>", "1: unknown element <settings> in <rules>"},
		"except unknown":          {"<rules>\n<builtin except='hop-limt'/></rules>", `2: "hop-limt" is not a built-in rule; did you mean "hop-limit"?`},
		"except with commas":      {"<rules>\n<builtin except='x,y'/></rules>", `2: "x,y" is not a built-in rule`},
		"two built-ins":           {"<rules>\n<builtin/>\n<rules><builtin/></rules></rules>", "3: second <builtin>; the first is on line 2"},
		"attribute of built-in":   {"<rules><builtin only='hop-limit'/></rules>", `1: unknown attribute "only" of <builtin>`},
		"element in built-in":     {"<rules><builtin><rule/></builtin></rules>", "1: unknown element <rule> in <builtin>"},
		"duplicate of the file's": {"<rules><builtin/>\n<rule id='hop-limit'><match field='nd.ns'/></rule>\n<rule id='hop-limit'><match field='nd.ns'/></rule></rules>", `3: duplicate rule id "hop-limit"; the first is on line 2`},
	} {
		t.Run(name, func(t *testing.T) { wantFaults(t, tt.file, []string{tt.want}) })
	}
}

// TestIdle sees which settings are named as not acted on.
func TestIdle(t *testing.T) {
	const (
		alerts   = " (alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program)"
		soap     = "soap (what probes report is on NATS)"
		counters = "countermeasures (ndmon never sends forged frames)"
		nothing  = " (nothing takes their place)"
	)
	for settings, want := range map[string]string{
		`<actions_high_priority sendmail="0" syslog="0" exec_pipe_program=""/>`:                             "",
		`<actions_high_priority sendmail="1" syslog="0" exec_pipe_program=""/>`:                             "sendmail" + alerts,
		`<actions_low_priority sendmail="yes" syslog=" 1 " exec_pipe_program=" "/>`:                         "syslog" + alerts,
		`<actions_low_pri><sendmail>1</sendmail><exec_pipe_program>x</exec_pipe_program></actions_low_pri>`: "sendmail, exec_pipe_program" + alerts,
		`<admin_mail>root@localhost</admin_mail><syslog_facility>LOG_LOCAL1</syslog_facility>`:              "",
		`<ignor_autoconf>0</ignor_autoconf><use_reverse_hostlookups/>`:                                      "",
		`<ignor_autoconf>1</ignor_autoconf>`:                                                                "ignor_autoconf" + nothing,
		`<use_reverse_hostlookups> 1 </use_reverse_hostlookups>`:                                            "use_reverse_hostlookups" + nothing,
		`<soap ssl_enabled="1"/>`:                          "",
		`<soap report_url="http://localhost/"/>`:           soap,
		`<soap listen_path="/ndpmon" listen_port="8080"/>`: soap,
		`</settings><countermeasures><kill_wrong_prefix>SUPPRESS</kill_wrong_prefix><kill_illegitimate_router/></countermeasures><settings>`: "",
		`</settings><countermeasures><kill_wrong_prefix>LAUNCH AFTER 10</kill_wrong_prefix></countermeasures><settings>`:                     counters,
		`</settings><probe name="eth0"><countermeasures_enabled>0</countermeasures_enabled></probe><settings>`:                               "",
		`</settings><probe name="eth0"><countermeasures_enabled>1</countermeasures_enabled></probe><settings>`:                               counters,
		`<soap report_url="x"/><use_reverse_hostlookups>1</use_reverse_hostlookups><actions_high_priority syslog="1"/>`:                      "syslog" + alerts + "; " + soap + "; use_reverse_hostlookups" + nothing,
	} {
		if want != "" {
			want = "2: not acted on: " + want
		}
		got := ""
		for _, n := range noticesOf(t, "<config_ndpmon><settings>\n"+settings+"</settings></config_ndpmon>") {
			if !strings.Contains(n, "built-in") {
				got += n
			}
		}
		if got != want {
			t.Errorf("%s:\n%s, want\n%s", settings, got, want)
		}
	}
}

func TestBuiltinElement(t *testing.T) {
	all := builtinIDs()
	but := func(ids ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(ids, id) })
	}
	rule := func(id string) string { return "<rule id='" + id + "'><match field='nd.ns'/></rule>" }
	notice := fmt.Sprintf(`NDPMon checks more than its rules say, so the %d built-in rules are in force too; <builtin except="…"/> leaves some of them out`, len(all))
	for name, tt := range map[string]struct {
		file         string
		ids, notices []string
	}{
		"alone":              {"<rules><builtin/></rules>", all, nil},
		"in a configuration": {"<config_ndpmon><builtin except=''/></config_ndpmon>", all, nil},
		"between":            {"<rules>" + rule("a") + "<rules><builtin/></rules>" + rule("b") + "</rules>", slices.Concat([]string{"a"}, all, []string{"b"}), nil},
		"except":             {"<rules><builtin except=' hop-limit\n malformed-nd '/></rules>", but("hop-limit", "malformed-nd"), nil},
		"except all":         {"<rules>" + rule("a") + "<builtin except='" + strings.Join(all, " ") + "'/></rules>", []string{"a"}, nil},
		"rules alone":        {"<config_ndpmon><rules>" + rule("a") + "</rules><probe name='eth0'>" + rule("b") + "</probe></config_ndpmon>", []string{"a", "b"}, nil},
		"unnamed rules":      {"<rules><builtin/><rule><match field='nd.ns'/></rule></rules>", slices.Concat(all, []string{"rule-1"}), nil},
		"replaced": {"<rules>" + rule("hop-limit") + "\n<builtin/>" + rule("relay-ns") + "</rules>",
			slices.Concat([]string{"hop-limit"}, but("hop-limit", "relay-ns"), []string{"relay-ns"}),
			[]string{`1: the rule takes the place of the built-in rule "hop-limit"`, `2: the rule takes the place of the built-in rule "relay-ns"`}},
		"replaced and excepted": {"<rules><builtin except='hop-limit'/>" + rule("hop-limit") + "</rules>", slices.Concat(but("hop-limit"), []string{"hop-limit"}), nil},
		"settings":              {"<config_ndpmon>" + rule("a") + "\n<settings/></config_ndpmon>", slices.Concat(all, []string{"a"}), []string{"2: " + notice}},
		"version 1":             {"<config_ndpmon><admin_mail>x</admin_mail>\n<settings/></config_ndpmon>", all, []string{"1: " + notice}},
		"routers":               {"<config_ndpmon>\n<probe name='eth0'><routers/></probe></config_ndpmon>", all, []string{"2: " + notice}},
		"settings, explicit":    {"<config_ndpmon><settings/>" + rule("a") + "<builtin except='hop-limit'/></config_ndpmon>", slices.Concat([]string{"a"}, but("hop-limit")), nil},
		"routers in <rules>":    {"<rules><routers/>" + rule("a") + "</rules>", []string{"a"}, nil},
		"settings, replaced": {"<config_ndpmon><settings/>" + rule("hop-limit") + "</config_ndpmon>", slices.Concat(but("hop-limit"), []string{"hop-limit"}),
			[]string{"1: " + notice, `1: the rule takes the place of the built-in rule "hop-limit"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var ids []string
			for _, r := range mustParse(t, tt.file).Rules {
				ids = append(ids, r.ID)
				if r.Builtin && !slices.Contains(all, r.ID) {
					t.Errorf("rule %s is not built in", r.ID)
				}
			}
			if diff := cmp.Diff(tt.ids, ids); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.notices, noticesOf(t, tt.file)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBuiltinRecursion sees that the built-in rules do not include themselves.
func TestBuiltinRecursion(t *testing.T) {
	p := newParser("builtin.xml", []byte("<rules><builtin/></rules>"))
	_, err := p.parse()
	if want := "builtin.xml:1: the built-in rules cannot include themselves"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestDescribe(t *testing.T) {
	r := fullRouter()
	var written bytes.Buffer
	for i := range 12 {
		fmt.Fprintf(&written, "<rule id='r%d'><match field='nd.ns'/><relay/><threshold type='both' count='3' seconds='60'/></rule>", i)
	}
	data, err := os.ReadFile("testdata/ndpmon2-routers.xml")
	if err != nil {
		t.Fatal(err)
	}
	set := mustParse(t, strings.Replace(string(data), "</settings>", `</settings><builtin except="`+strings.Join(builtinIDs(), " ")+`"/>
<routers><router>`+goodRouter+`</router></routers>
<probe name="r1/eth1"><routers><router><vlan_id>12</vlan_id>`+goodRouter+`</router></routers></probe>
<rule id="info"><match field="nd.ra"/><alert severity="info"/><relay to="r1,r2"/><threshold type="limit" count="1" seconds="10" track="inet6.source" cap="20"/></rule>
<rule id="critical"><match field="nd.ra"/><alert severity="critical"/><threshold type="threshold" count="5" seconds="10"/></rule>`+written.String(), 1))
	builtin := set.Rules[0]
	builtin.Builtin, builtin.Severity = true, schemas.Critical
	set.Rules = append(set.Rules, builtin)
	set.Links[1].Routers[0] = r // the one of eth0, with the addresses
	var out strings.Builder
	if err := set.Describe(&out); err != nil {
		t.Fatal(err)
	}
	want := `rules: 16, of which 1 built in
  alert: 4 (critical 2, warning 1, info 1)
  relay: 14
    to r1 r2: 2
    to origin: 12
limit: at most 1 in 10 s for each inet6.source; at most 20, and then ever fewer, for each host, interface, link.flood
  info
threshold: one for every 5 matches within 10 s for each host, interface
  critical
both: one in 60 s, at match 3, for each host, interface
  r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 and 2 more
routers of every link: 1
  02:00:00:00:00:01 fe80::1, whose parameters are not compared
routers of eth0 of any host: 1
  00:11:22:33:44:55 fe80::211:22ff:fe33:4455
    lifetime 10800 s, cur hop limit 64, flags 0, reachable 0 ms, retransmit 0 ms, MTU 0
    address 2001:db8:1234:5678::1
    prefix 2001:db8:1234:5678::/64, flags 224, valid 2592000 s, preferred 604800 s
    DNS 2001:db8:1234:5678::53, lifetime 900 s
    search localhost.localdomain, lifetime 900 s
    route 2001:db8:abcd:ef01::/64, flags 8, lifetime 2592000 s
routers of eth1 of r1, VLAN 12: 1
  02:00:00:00:00:01 fe80::1, whose parameters are not compared
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if err := set.Describe(failingWriter{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}
