package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

func TestSettingFaults(t *testing.T) {
	in := func(s string) string { return "<config_ndpmon>\n<settings>" + s + "</settings></config_ndpmon>" }
	wantFault(t, map[string]faulty{
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
	})
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
	data := readTestdata(t, "ndpmon2-routers.xml")
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

func TestConditionFaults(t *testing.T) {
	condition := func(attributes, inside string) string {
		return "<rules><rule>\n<match " + attributes + ">" + inside + "</match></rule></rules>"
	}
	many := strings.Repeat("1,", maxValues) + "1"
	wantFault(t, map[string]faulty{
		"min too large":         {condition("field='inet6.hoplimit' min='256'", ""), `2: field inet6.hoplimit: min "256" is not a uint8 from 0 to 255`},
		"max is no number":      {condition("field='inet6.hoplimit' max='x'", ""), `2: field inet6.hoplimit: max "x" is not a uint8 from 0 to 255`},
		"empty min":             {condition("field='ethernet.vlan' min=''", ""), `2: field ethernet.vlan: min "" is not a uint16 from 0 to 4095`},
		"min above max":         {condition("field='inet6.hoplimit' min='5' max='3'", ""), `2: field inet6.hoplimit: min 5 is larger than max 3`},
		"range of addresses":    {condition("field='inet6.source' min='::'", ""), `2: field inet6.source: min and max are for numbers; it takes a value of type ipv6 address, such as fe80::/10`},
		"range of MACs":         {condition("field='ethernet.source' max='02:00:00:00:00:01'", ""), `2: field ethernet.source: min and max are for numbers; it takes a value of type ethernet address, such as 02:00:00:00:00:01`},
		"range of strings":      {condition("field='host' min='a'", ""), `2: field host: min and max are for numbers; it takes a value of type string, such as r1`},
		"range of nothing":      {condition("field='nd.ns' min='1'", ""), `2: field nd.ns takes no value, but has "1"`},
		"value and min":         {condition("field='inet6.hoplimit' value='1' min='2'", ""), `2: field inet6.hoplimit: a value and min or max; only one of them is allowed`},
		"value in range":        {condition("field='inet6.hoplimit' max='2'", "\n<value>1</value>"), `2: field inet6.hoplimit: a value and min or max; only one of them is allowed`},
		"value of nothing":      {condition("field='nd.ns'", "\n<value>x</value>"), `3: field nd.ns takes no value, but has "x"`},
		"bad number in list":    {condition("field='icmp6.type' value='133,256'", ""), `2: field icmp6.type: "256" is not a uint8 from 0 to 255`},
		"empty number in list":  {condition("field='icmp6.type' value='133,,134'", ""), `2: field icmp6.type: "" is not a uint8 from 0 to 255`},
		"list ends in comma":    {condition("field='icmp6.type' value='133,'", ""), `2: field icmp6.type: "" is not a uint8 from 0 to 255`},
		"bad prefix in list":    {condition("field='inet6.source' value='::1, ::/129'", ""), `2: field inet6.source: "::/129": the prefix length is not a number from 0 to 128`},
		"bad MAC in list":       {condition("field='ethernet.source' value='02:00:00:00:00:01,x'", ""), `2: field ethernet.source: "x" is not an ethernet address such as 02:00:00:00:00:01`},
		"bad word in list":      {condition("field='nd.ra.preference' value='low,lower'", ""), `2: field nd.ra.preference: "lower" is not one of low, medium, high, reserved`},
		"glob of words":         {condition("field='direction' value='*'", ""), `2: field direction: "*" is not one of in, out`},
		"bad glob":              {condition("field='interface' value='eth['", ""), `2: field interface: "eth[" is not a glob: a bracket is not closed or empty, a range has no end, or a backslash ends it`},
		"bad glob inside":       {condition("field='host'", "\n<value>r\\</value>"), `3: field host: "r\\" is not a glob: a bracket is not closed or empty, a range has no end, or a backslash ends it`},
		"bad value inside":      {condition("field='icmp6.type'", "\n<value>133</value>\n<value>x</value>"), `4: field icmp6.type: "x" is not a uint8 from 0 to 255`},
		"empty value inside":    {condition("field='host'", "\n<value> </value>"), `3: field host: the value is empty`},
		"list inside":           {condition("field='icmp6.type'", "\n<value>133,134</value>"), `3: field icmp6.type: "133,134" is not a uint8 from 0 to 255`},
		"attribute of value":    {condition("field='icmp6.type'", "\n<value x='1'>133</value>"), `3: unknown attribute "x" of <value>`},
		"element in value":      {condition("field='icmp6.type'", "<value>133\n<x/></value>"), `3: unknown element <x> in <value>`},
		"misspelt value":        {condition("field='icmp6.type' value='1'", "<vlaue>133</vlaue>"), `2: unknown element <vlaue> in <match>; did you mean <value>?`},
		"too many values":       {condition("field='icmp6.type' value='"+many+"'", ""), `2: field icmp6.type: more than 4096 values`},
		"too many inside":       {condition("field='icmp6.type'", strings.Repeat("<value>1</value>", maxValues+1)), `2: field icmp6.type: more than 4096 values`},
		"too many both ways":    {condition("field='icmp6.type' value='1'", strings.Repeat("<value>1</value>", maxValues)), `2: field icmp6.type: more than 4096 values`},
		"long string":           {condition("field='host' value='"+strings.Repeat("x", maxPattern+1)+"'", ""), `2: field host: the value has 1025 bytes; at most 1024 are taken`},
		"misspelt min":          {condition("field='icmp6.type' value='1' mni='3'", ""), `2: unknown attribute "mni" of <match>; did you mean "min"?`},
		"threshold, no type":    {thresholdFile("count='1' seconds='1'"), `2: <threshold> has no attribute "type"; it takes one of limit, threshold, both`},
		"threshold type":        {thresholdFile("type='Limit' count='1' seconds='1'"), `2: type "Limit" of <threshold> is not one of limit, threshold, both`},
		"threshold, no count":   {thresholdFile("type='limit' seconds='1'"), `2: <threshold> has no attribute "count"; it takes a number from 1 to 4294967295`},
		"threshold count":       {thresholdFile("type='limit' count='0' seconds='1'"), `2: count "0" of <threshold> is not a number from 1 to 4294967295`},
		"threshold count large": {thresholdFile("type='limit' count='4294967296' seconds='1'"), `2: count "4294967296" of <threshold> is not a number from 1 to 4294967295`},
		"threshold, no seconds": {thresholdFile("type='limit' count='1'"), `2: <threshold> has no attribute "seconds"; it takes a number from 1 to 2592000`},
		"threshold seconds":     {thresholdFile("type='limit' count='1' seconds='2592001'"), `2: seconds "2592001" of <threshold> is not a number from 1 to 2592000`},
		"threshold cap 0":       {thresholdFile("type='limit' count='1' seconds='1' cap='0'"), `2: cap "0" of <threshold> is not a number from 1 to 4294967295`},
		"threshold cap empty":   {thresholdFile("type='limit' count='1' seconds='1' cap=''"), `2: cap "" of <threshold> is not a number from 1 to 4294967295`},
		"threshold cap many":    {thresholdFile("type='limit' count='1' seconds='1' cap='many'"), `2: cap "many" of <threshold> is not a number from 1 to 4294967295`},
		"threshold, minutes":    {thresholdFile("type='limit' count='1' seconds='1m'"), `2: seconds "1m" of <threshold> is not a number from 1 to 2592000`},
		"threshold track":       {thresholdFile("type='limit' count='1' seconds='1' track='hots'"), `2: unknown field "hots"; did you mean "host"?`},
		"threshold track empty": {thresholdFile("type='limit' count='1' seconds='1' track=''"), `2: unknown field ""`},
		"threshold track twice": {thresholdFile("type='limit' count='1' seconds='1' track='host, host'"), `2: field host is tracked twice`},
		"threshold attribute":   {thresholdFile("type='limit' count='1' seconds='1' trak='host'"), `2: unknown attribute "trak" of <threshold>; did you mean "track"?`},
		"text in threshold":     {"<rules><rule><match field='nd.ns'/>\n<threshold type='limit' count='1' seconds='1'>x</threshold></rule></rules>", `2: text "x" in <threshold>, which takes none`},
		"two thresholds": {"<rules><rule><match field='nd.ns'/>" + strings.Repeat("\n<threshold type='limit' count='1' seconds='1'/>", 2) + "</rule></rules>",
			`3: second <threshold> in <rule>; the first is on line 2`},
	})
}

// thresholdFile returns a file of a rule with a threshold on line 2.
func thresholdFile(attributes string) string {
	return "<rules><rule><match field='nd.ns'/>\n<threshold " + attributes + "/></rule></rules>"
}

func TestConditions(t *testing.T) {
	got := mustParse(t, `<rules><rule>
<match field="inet6.hoplimit" min=" 1 " max="254"/>
<no-match field="inet6.hoplimit" min="3"/>
<match field="nd.opt.mtu.mtu" max="1279"/>
<match field="icmp6.type" value="133, 134,133"/>
<match field="inet6.source" value="fe80::/10 , 2001:db8::1"><value>
    ff00::/8 <!-- and the last -->
  </value></match>
<match field="ethernet.source"><value>2:0:0:0:0:1</value><value>02-00-00-00-00-02</value></match>
<match field="direction" value="in, out"/>
<match field="host" value="r1, r2"/>
<match field="host"><value> r1 </value><value><![CDATA[a<b]]></value><value>r?</value></match>
<match field="interface" value="eth*"/>
<match field="interface" value="eth[01]"/>
<match field="interface" value="a]"/>
</rule></rules>`).Rules[0].Conditions
	want := []rules.Condition{
		{Field: field("inet6.hoplimit"), Values: []rules.Value{{Min: 1, Max: 254}}},
		{Field: field("inet6.hoplimit"), Negate: true, Values: []rules.Value{{Min: 3, Max: 255}}},
		{Field: field("nd.opt.mtu.mtu"), Values: []rules.Value{{Max: 1279}}},
		{Field: field("icmp6.type"), Values: numberValues(133, 134)},
		{Field: field("inet6.source"), Values: prefixValues("fe80::/10", "2001:db8::1/128", "ff00::/8")},
		{Field: field("ethernet.source"), Values: numberValues(0x020000000001, 0x020000000002)},
		{Field: field("direction"), Values: textValues("in", "out")},
		{Field: field("host"), Values: textValues("r1, r2")},
		{Field: field("host"), Values: append(textValues("r1", "a<b"), rules.Value{Str: "r?", Glob: true})},
		{Field: field("interface"), Values: []rules.Value{{Str: "eth*", Glob: true}}},
		{Field: field("interface"), Values: []rules.Value{{Str: "eth[01]", Glob: true}}},
		{Field: field("interface"), Values: textValues("a]")},
	}
	if diff := cmp.Diff(want, got, compareFields); diff != "" {
		t.Error(diff)
	}
}

func TestParseThreshold(t *testing.T) {
	for attributes, want := range map[string]*threshold.Threshold{
		`type="limit" count="1" seconds="2592000"`: {Type: threshold.TypeLimit, Track: []*schemas.Field{field("host"), field("interface")}, Count: 1, Seconds: 2592000},
		`type=" threshold " track="inet6.source, ethernet.source" count="4294967295" seconds="1"`: {
			Type: threshold.TypeThreshold, Track: []*schemas.Field{field("inet6.source"), field("ethernet.source")}, Count: 4294967295, Seconds: 1},
		`type="limit" count="1" seconds="2" cap=" 20 "`:   {Type: threshold.TypeLimit, Track: []*schemas.Field{field("host"), field("interface")}, Count: 1, Seconds: 2, Cap: 20},
		`type="both" track="nd.ns" count="2" seconds="3"`: {Type: threshold.TypeBoth, Track: []*schemas.Field{field("nd.ns")}, Count: 2, Seconds: 3},
	} {
		r := mustParse(t, thresholdFile(attributes)).Rules[0]
		if diff := cmp.Diff(want, r.Threshold, compareFields); diff != "" || r.Severity != schemas.Warning || !r.Remembers() {
			t.Errorf("%s: severity %s %s", attributes, r.Severity, diff)
		}
	}
}

func TestRemembers(t *testing.T) {
	for conditions, want := range map[string]bool{
		`<match field="nd.ns"/>`:                                 false,
		`<match field="nd.ns"/><no-match field="link.dad"/>`:     true,
		`<match field="link.bogon"/>`:                            true,
		`<match field="nd.opt.sourcelinklayer"/>`:                false,
		`<match field="link.station.vendor" value="Example *"/>`: true,
	} {
		if got := mustParse(t, "<rules><rule>"+conditions+"</rule></rules>").Rules[0].Remembers(); got != want {
			t.Errorf("%s: %t", conditions, got)
		}
	}
}
