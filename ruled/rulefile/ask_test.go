package rulefile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

func TestConditionFaults(t *testing.T) {
	condition := func(attributes, inside string) string {
		return "<rules><rule>\n<match " + attributes + ">" + inside + "</match></rule></rules>"
	}
	many := strings.Repeat("1,", maxValues) + "1"
	for name, tt := range map[string]struct {
		file string
		want string
	}{
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
	} {
		t.Run(name, func(t *testing.T) { wantFaults(t, tt.file, []string{tt.want}) })
	}
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
