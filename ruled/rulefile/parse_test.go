package rulefile

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

func TestParseFaults(t *testing.T) {
	inRule := func(s string) string { return "<rules>\n<rule>\n" + s + "\n</rule>\n</rules>\n" }
	condition := func(s string) string { return inRule("<match " + s + "/>") }
	rules := func(s string) string { return "<rules>\n" + s + "\n</rules>" }
	const ok = `<match field="nd.ns"/>`

	for name, tt := range map[string]struct {
		file string
		want []string // LINE: message
	}{
		"too large":            {string(make([]byte, MaxSize+1)), []string{"1: larger than 67108864 bytes"}},
		"empty file":           {"", []string{"1: the file is empty"}},
		"white space":          {" \n\t\n", []string{"1: the file is empty"}},
		"byte order mark only": {"\ufeff\n", []string{"1: the file is empty"}},
		"UTF-16":               {"\xff\xfe<\x00", []string{"1: the file is in UTF-16; save it in UTF-8"}},
		"UTF-16, big":          {"\xfe\xff\x00<", []string{"1: the file is in UTF-16; save it in UTF-8"}},
		"no XML":               {"alert icmp\n", []string{`1: text "alert icmp" outside of the root element`}},
		"no root":              {"<!-- nothing -->\n\n", []string{"2: no root element <config_ndpmon> or <rules>"}},
		"wrong root":           {"<!-- a -->\n<config>\n<rule/></config>", []string{"2: the root element is <config>, not <config_ndpmon> or <rules>"}},
		"two roots": {"<rules/>\n<rules>\n<rule/></rules>",
			[]string{"2: second root element <rules>; the first, <rules>, is on line 1"}},
		"text behind root": {"<rules/>\nx", []string{`2: text "x" outside of the root element`}},
		"namespace":        {`<x:rules xmlns:x="y"/>`, []string{"1: the root element is <y:rules>, not <config_ndpmon> or <rules>"}},
		"encoding": {`<?xml version="1.0" encoding="koi8-r"?><rules/>`,
			[]string{`1: encoding "koi8-r" is not read; save the file in UTF-8`}},
		"XML version":   {`<?xml version="2.0"?><rules/>`, []string{`1: XML: unsupported version "2.0"; only version 1.0 is supported`}},
		"not UTF-8":     {"<rules>\n<rule id='\xe9'/></rules>", []string{"2: XML: invalid UTF-8"}},
		"not closed":    {"<rules>\n<rule>\n", []string{"2: XML: unexpected EOF"}},
		"closed twice":  {"<rules>\n</rules></rules>", []string{"2: XML: unexpected end element </rules>"}},
		"bad nesting":   {rules("<rule>" + ok + "</rules>"), []string{"2: XML: element <rule> closed by </rules>"}},
		"not quoted":    {rules("<rule id=a/>"), []string{"2: XML: unquoted or missing attribute value in element"}},
		"entity":        {rules(`<rule id="&lol;"/>`), []string{"2: XML: invalid character entity &lol;"}},
		"nested deep":   {strings.Repeat("<rules>\n", 100), []string{"3: unknown element <rules> in <rules>; did you mean <rule>?", "33: elements are nested more than 32 deep"}},
		"no rule names": {rules("<rule>\n" + ok + "\n<rule>" + ok + "</rule></rule>"), []string{"4: unknown element <rule> in <rule>"}},

		"unknown element in root":        {rules("<rulle/>"), []string{"2: unknown element <rulle> in <rules>; did you mean <rule>?"}},
		"settings in <rules>":            {rules("<settings/>"), []string{"2: unknown element <settings> in <rules>"}},
		"unknown in configuration":       {"<config_ndpmon><setings/></config_ndpmon>", []string{"1: unknown element <setings> in <config_ndpmon>; did you mean <settings>?"}},
		"unknown element in probes":      {rules("<probes><rule/></probes>"), []string{"2: unknown element <rule> in <probes>"}},
		"unknown element in probe":       {rules("<probe name='eth0'><router/></probe>"), []string{"2: unknown element <router> in <probe>; did you mean <routers>?"}},
		"unknown element in inner rules": {rules("<rules><rules/></rules>"), []string{"2: unknown element <rules> in <rules>; did you mean <rule>?"}},
		"unknown element in rule":        {inRule(ok + "\n<nomatch/>"), []string{"4: unknown element <nomatch> in <rule>; did you mean <no-match>?"}},
		"element in match":               {inRule("<match field='nd.ns'>\n<relay/></match>"), []string{"4: unknown element <relay> in <match>"}},
		"element in alert":               {inRule(ok + "<alert><x/></alert>"), []string{"3: unknown element <x> in <alert>"}},
		"element in relay":               {inRule(ok + "<relay><x/></relay>"), []string{"3: unknown element <x> in <relay>"}},

		"text in rule":     {inRule(ok + "\n\n hello"), []string{`5: text "hello" in <rule>, which takes none`}},
		"text in rules":    {rules("x<rule>" + ok + "</rule>y"), []string{`2: text "x" in <rules>, which takes none`}},
		"text in match":    {inRule("<match field='nd.ns'>x</match>"), []string{`3: text "x" in <match>, which takes none`}},
		"text in alert":    {inRule(ok + "<alert>critical</alert>"), []string{`3: text "critical" in <alert>, which takes none`}},
		"CDATA":            {inRule(ok + "<![CDATA[x]]>"), []string{`3: text "x" in <rule>, which takes none`}},
		"long text":        {inRule(ok + strings.Repeat("é", 100)), []string{`3: text "` + strings.Repeat("é", 80) + `…" in <rule>, which takes none`}},
		"text in probe":    {rules("<probe name='eth0'>x</probe>"), []string{`2: text "x" in <probe>, which takes none`}},
		"text in <probes>": {rules("<probes>x</probes>"), []string{`2: text "x" in <probes>, which takes none`}},

		"attribute of root":       {`<rules version="1"/>`, []string{`1: unknown attribute "version" of <rules>`}},
		"attribute of rule":       {rules("<rule descripton='x'>" + ok + "</rule>"), []string{`2: unknown attribute "descripton" of <rule>; did you mean "description"?`}},
		"attribute of match":      {condition("field='nd.ra.lifetime' valeu='1'"), []string{`3: unknown attribute "valeu" of <match>; did you mean "value"?`, `3: field nd.ra.lifetime: no value; it takes a value of type uint16, such as 1800`}},
		"attribute of alert":      {inRule(ok + "<alert level='x'/>"), []string{`3: unknown attribute "level" of <alert>`}},
		"attribute of relay":      {inRule(ok + "<relay too='x'/>"), []string{`3: unknown attribute "too" of <relay>; did you mean "to"?`}},
		"attribute of probe":      {rules("<probe nam='x'/>"), []string{`2: unknown attribute "nam" of <probe>; did you mean "name"?`, `2: <probe> has no name; it takes an interface, or host/interface`}},
		"attribute of probes":     {rules("<probes name='x'/>"), []string{`2: unknown attribute "name" of <probes>`}},
		"attribute twice":         {condition("field='nd.ns' field='nd.ns'"), []string{`3: attribute "field" of <match> stands twice`}},
		"unknown attribute twice": {condition("field='nd.ns' x='1' x='2'"), []string{`3: unknown attribute "x" of <match>`, `3: attribute "x" of <match> stands twice`}},

		"no field":             {condition("value='1'"), []string{`3: <match> has no attribute "field"`}},
		"no field in no-match": {inRule("<no-match/>"), []string{`3: <no-match> has no attribute "field"`}},
		"empty field":          {condition("field=''"), []string{`3: unknown field ""`}},
		"unknown field":        {condition("field='nd.ra.lifetme' value='1'"), []string{`3: unknown field "nd.ra.lifetme"; did you mean "nd.ra.lifetime"?`}},
		"letters swapped":      {condition("field='inet6.soruce' value='::'"), []string{`3: unknown field "inet6.soruce"; did you mean "inet6.source"?`}},
		"upper case field":     {condition("field='ND.NS'"), []string{`3: unknown field "ND.NS"`}},
		"strange field":        {condition("field='snort.flowbits' value='1'"), []string{`3: unknown field "snort.flowbits"`}},

		"value for nothing":       {condition("field='nd.ns' value='1'"), []string{`3: field nd.ns takes no value, but has "1"`}},
		"empty value for nothing": {condition("field='nd.ns' value=''"), []string{`3: field nd.ns takes no value, but has ""`}},
		"UNKNOWN for ours":        {condition("field='nd.malformed' value='UNKNOWN'"), []string{`3: field nd.malformed takes no value, but has "UNKNOWN"`}},
		"no value":                {condition("field='inet6.hoplimit'"), []string{`3: field inet6.hoplimit: no value; it takes a value of type uint8, such as 255`}},
		"no address":              {condition("field='inet6.source'"), []string{`3: field inet6.source: no value; it takes a value of type ipv6 address, such as fe80::/10`}},
		"uint8 too large":         {condition("field='inet6.hoplimit' value='256'"), []string{`3: field inet6.hoplimit: "256" is not a uint8 from 0 to 255`}},
		"uint8 511":               {condition("field='inet6.hoplimit' value='511'"), []string{`3: field inet6.hoplimit: "511" is not a uint8 from 0 to 255`}},
		"uint8 negative":          {condition("field='icmp6.type' value='-1'"), []string{`3: field icmp6.type: "-1" is not a uint8 from 0 to 255`}},
		"uint8 signed":            {condition("field='icmp6.type' value='+1'"), []string{`3: field icmp6.type: "+1" is not a uint8 from 0 to 255`}},
		"uint8 hexadecimal":       {condition("field='icmp6.type' value='0x87'"), []string{`3: field icmp6.type: "0x87" is not a uint8 from 0 to 255`}},
		"uint8 fraction":          {condition("field='icmp6.type' value='1.0'"), []string{`3: field icmp6.type: "1.0" is not a uint8 from 0 to 255`}},
		"uint8 digits grouped":    {condition("field='icmp6.type' value='1_0'"), []string{`3: field icmp6.type: "1_0" is not a uint8 from 0 to 255`}},
		"uint8 empty":             {condition("field='icmp6.type' value=''"), []string{`3: field icmp6.type: "" is not a uint8 from 0 to 255`}},
		"uint16 too large":        {condition("field='nd.ra.lifetime' value='65536'"), []string{`3: field nd.ra.lifetime: "65536" is not a uint16 from 0 to 65535`}},
		"uint16 word":             {condition("field='nd.ra.lifetime' value='long'"), []string{`3: field nd.ra.lifetime: "long" is not a uint16 from 0 to 65535`}},
		"vlan too large":          {condition("field='ethernet.vlan' value='4096'"), []string{`3: field ethernet.vlan: "4096" is not a uint16 from 0 to 4095`}},
		"uint32 too large":        {condition("field='nd.opt.mtu.mtu' value='4294967296'"), []string{`3: field nd.opt.mtu.mtu: "4294967296" is not a uint32 from 0 to 4294967295`}},
		"uint32 far too large":    {condition("field='nd.opt.mtu.mtu' value='99999999999999999999'"), []string{`3: field nd.opt.mtu.mtu: "99999999999999999999" is not a uint32 from 0 to 4294967295`}},
		"bad address":             {condition("field='inet6.source' value='fe80::g'"), []string{`3: field inet6.source: "fe80::g" is not an ipv6 address or prefix such as fe80::/10`}},
		"IPv4 address":            {condition("field='inet6.source' value='192.0.2.1'"), []string{`3: field inet6.source: "192.0.2.1" is not an ipv6 address or prefix such as fe80::/10`}},
		"IPv4 prefix":             {condition("field='inet6.source' value='10.0.0.0/8'"), []string{`3: field inet6.source: "10.0.0.0/8" is not an ipv6 address or prefix such as fe80::/10`}},
		"empty address":           {condition("field='inet6.source' value=''"), []string{`3: field inet6.source: "" is not an ipv6 address or prefix such as fe80::/10`}},
		"zone":                    {condition("field='inet6.source' value='fe80::1%eth0'"), []string{`3: field inet6.source: "fe80::1%eth0" has a zone; ask for the field interface instead`}},
		"prefix 129":              {condition("field='inet6.source' value='::/129'"), []string{`3: field inet6.source: "::/129": the prefix length is not a number from 0 to 128`}},
		"prefix negative":         {condition("field='inet6.source' value='::/-1'"), []string{`3: field inet6.source: "::/-1": the prefix length is not a number from 0 to 128`}},
		"prefix empty":            {condition("field='inet6.source' value='::/'"), []string{`3: field inet6.source: "::/": the prefix length is not a number from 0 to 128`}},
		"prefix twice":            {condition("field='inet6.source' value='::/1/2'"), []string{`3: field inet6.source: "::/1/2": the prefix length is not a number from 0 to 128`}},
		"prefix space":            {condition("field='inet6.source' value='::/ 1'"), []string{`3: field inet6.source: "::/ 1": the prefix length is not a number from 0 to 128`}},
		"MAC short":               {condition("field='ethernet.source' value='02:00:00:00:01'"), []string{`3: field ethernet.source: "02:00:00:00:01" is not an ethernet address such as 02:00:00:00:00:01`}},
		"MAC long":                {condition("field='ethernet.source' value='02:00:00:00:00:00:00:01'"), []string{`3: field ethernet.source: "02:00:00:00:00:00:00:01" is not an ethernet address such as 02:00:00:00:00:01`}},
		"MAC letters":             {condition("field='ethernet.source' value='02:00:00:00:00:0g'"), []string{`3: field ethernet.source: "02:00:00:00:00:0g" is not an ethernet address such as 02:00:00:00:00:01`}},
		"MAC mixed":               {condition("field='ethernet.source' value='2:0:0-0-0-1'"), []string{`3: field ethernet.source: "2:0:0-0-0-1" is not an ethernet address such as 02:00:00:00:00:01`}},
		"MAC with gap":            {condition("field='ethernet.source' value='02::00:00:00:01'"), []string{`3: field ethernet.source: "02::00:00:00:01" is not an ethernet address such as 02:00:00:00:00:01`}},
		"MAC of EUI-64":           {condition("field='nd.opt.sourcelinklayer.address' value='0200.0000.0000.0001'"), []string{`3: field nd.opt.sourcelinklayer.address: "0200.0000.0000.0001" is not an ethernet address such as 02:00:00:00:00:01`}},
		"direction":               {condition("field='direction' value='inout'"), []string{`3: field direction: "inout" is not one of in, out`}},
		"preference":              {condition("field='nd.ra.preference' value='High'"), []string{`3: field nd.ra.preference: "High" is not one of low, medium, high, reserved`}},
		"empty host":              {condition("field='host' value=''"), []string{`3: field host: the value is empty`}},

		"no condition":        {rules("\n<rule\nid='a'>\n<alert/></rule>"), []string{"3: the rule has no condition: no <match> and no <no-match>"}},
		"empty rule":          {rules("<rule/>"), []string{"2: the rule has no condition: no <match> and no <no-match>"}},
		"duplicate id":        {rules("<rule id='a'>" + ok + "</rule>\n<rule id='b'>" + ok + "</rule>\n<rule id='a'>" + ok + "</rule>"), []string{`4: duplicate rule id "a"; the first is on line 2`}},
		"empty id":            {rules("<rule id=' '>" + ok + "</rule>"), []string{"2: the id of the rule is empty"}},
		"control in id":       {rules("<rule id='a&#x85;b'>" + ok + "</rule>"), []string{"2: the id of the rule has the character U+0085 in it"}},
		"direction mark":      {rules("<rule description='a\u202eb'>" + ok + "</rule>"), []string{"2: the description of the rule has the character U+202E in it"}},
		"long id":             {rules("<rule id='" + strings.Repeat("x", 129) + "'>" + ok + "</rule>"), []string{"2: the id of the rule has 129 bytes; at most 128 are taken"}},
		"long description":    {rules("<rule description='" + strings.Repeat("x", 1025) + "'>" + ok + "</rule>"), []string{"2: the description of the rule has 1025 bytes; at most 1024 are taken"}},
		"severity":            {inRule(ok + "<alert severity='high'/>"), []string{`3: severity "high" is not one of info, warning, critical`}},
		"empty severity":      {inRule(ok + "<alert severity=''/>"), []string{`3: severity "" is not one of info, warning, critical`}},
		"two alerts":          {inRule(ok + "<alert/>\n<alert/>"), []string{"4: second <alert> in <rule>; the first is on line 3"}},
		"two relays":          {inRule(ok + "<relay/>\n<relay/>"), []string{"4: second <relay> in <rule>; the first is on line 3"}},
		"relay to no host":    {inRule(ok + "\n<relay to=''/>"), []string{`4: to "" of <relay> is not origin, all, or names of hosts separated by spaces or commas`}},
		"relay to commas":     {inRule(ok + "<relay to=' , '/>"), []string{`3: to " , " of <relay> is not origin, all, or names of hosts separated by spaces or commas`}},
		"relay to all and r1": {inRule(ok + "<relay to='r1,all'/>"), []string{`3: <relay> to "all", which is every host, and to others`}},
		"relay to r1 twice":   {inRule(ok + "<relay to='r1 r2, r1'/>"), []string{`3: <relay> to "r1" twice`}},
		"relay to a pattern":  {inRule(ok + "<relay to='r* r?'/>"), []string{`3: <relay> to "r*", a pattern; it takes whole names, and "all" is every host`, `3: <relay> to "r?", a pattern; it takes whole names, and "all" is every host`}},
		"relay to a control":  {inRule(ok + "<relay to='r&#x200b;1'/>"), []string{"3: the host \"r\\u200b1\" in <relay> has the character U+200B in it"}},
		"relay to a novel":    {inRule(ok + "<relay to='" + strings.Repeat("x", 256) + "'/>"), []string{`3: the host "` + strings.Repeat("x", 80) + `…" in <relay> has 256 bytes; at most 255 are taken`}},
		"relay to too many":   {inRule(ok + "<relay to='" + strings.Join(manyHosts(257), " ") + "'/>"), []string{`3: <relay> to 257 hosts; at most 256 are taken, and "all" is every host`}},
		"line of the element": {inRule("<match\nfield='nd.ns'\nvalue='1'/>"), []string{`3: field nd.ns takes no value, but has "1"`}},
		"Windows line ends":   {"<rules>\r\n<rule>\r\n<match field='x'/>\r\n</rule></rules>", []string{`3: unknown field "x"`}},
		"after Latin-1": {"<?xml version='1.0' encoding='ISO-8859-1'?>\n<rules><!-- \xe9\xe8 -->\n<rule/></rules>",
			[]string{"3: the rule has no condition: no <match> and no <no-match>"}},
		"all at once": {rules("<rule id='a'>\n<match field='x'/>\n<alert severity='y'/></rule>\n<z/>\n<rule id='a'/>"), []string{
			`3: unknown field "x"`,
			`4: severity "y" is not one of info, warning, critical`,
			"5: unknown element <z> in <rules>",
			`6: duplicate rule id "a"; the first is on line 2`,
			"6: the rule has no condition: no <match> and no <no-match>",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFaults(t, tt.file, tt.want)
		})
	}
}

func manyHosts(n int) []string {
	var hosts []string
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("r%d", i))
	}
	return hosts
}

func TestParseRelay(t *testing.T) {
	for relay, want := range map[string][]string{
		`<relay/>`:                           {"origin"},
		`<relay to="origin"/>`:               {"origin"},
		`<relay to=" all "/>`:                {"all"},
		`<relay to="r2"/>`:                   {"r2"},
		"<relay to='r1, r2.example\tö,r3'/>": {"r1", "r2.example", "ö", "r3"},
		`<relay to="r2 origin"/>`:            {"r2", "origin"},
		`<alert/>`:                           nil,
		`<relay to="` + strings.Join(manyHosts(256), ",") + `"/>`: manyHosts(256),
	} {
		got := mustParse(t, `<rules><rule><match field="nd.ns"/>`+relay+`</rule></rules>`).Rules[0].Relay
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", relay, diff)
		}
	}
}

// wantFaults parses a file and compares its faults, LINE: message.
func wantFaults(t *testing.T, file string, want []string) {
	t.Helper()
	set, err := Parse("my.xml", []byte(file))
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Parse = %v, %v; want *Faults", set, err)
	}
	var got []string
	for _, f := range faults.List {
		got = append(got, fmt.Sprintf("%d: %s", f.Line, f.Message))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if want := "my.xml:" + got[i]; line != want {
			t.Errorf("line %d of the error is %q, want %q", i, line, want)
		}
	}
}

// faulty is a file with one fault, LINE: message.
type faulty struct{ file, want string }

func wantFault(t *testing.T, files map[string]faulty) {
	for name, tt := range files {
		t.Run(name, func(t *testing.T) { wantFaults(t, tt.file, []string{tt.want}) })
	}
}

// noticesOf parses a good file and returns its notices, LINE: message.
func noticesOf(t *testing.T, file string) (notices []string) {
	t.Helper()
	for _, n := range mustParse(t, file).Notices {
		notices = append(notices, fmt.Sprintf("%d: %s", n.Line, n.Message))
	}
	return notices
}

func TestParseTooManyFaults(t *testing.T) {
	_, err := Parse("my.xml", []byte("<rules>"+strings.Repeat("<rule/>\n", 250)+"</rules>"))
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != markup.MaxRemarks || faults.More != 150 {
		t.Fatalf("Parse: %v", err)
	}
	if want := "my.xml: 150 more faults"; !strings.HasSuffix(err.Error(), "\n"+want) {
		t.Errorf("the error does not end in %q", want)
	}
}

// TestParseBounds reads files whose faults could be long or many.
func TestParseBounds(t *testing.T) {
	name := strings.Repeat("x", 1<<20)
	for _, file := range []string{
		"<rules><" + name + "/></rules>",
		"<rules><" + name + "></rules>",
		"<rules><rule " + name + "=''/></rules>",
		"<rules><rule><match field='" + name + "'/></rule></rules>",
		"<rules>" + strings.Repeat("<rule><match field='nd.ns.targetaddres'/></rule>", 20000) + "</rules>",
	} {
		_, err := Parse("my.xml", []byte(file))
		if err == nil || len(err.Error()) > markup.MaxRemarks*4*markup.MaxMessage {
			t.Errorf("Parse of %.50s… : an error of %d bytes", file, len(fmt.Sprint(err)))
		}
		for _, line := range strings.Split(fmt.Sprint(err), "\n") {
			if len(line) > 4*markup.MaxMessage {
				t.Errorf("a fault of %d bytes: %.100s…", len(line), line)
			}
		}
	}
}

// mustParse parses a file that has no fault.
func mustParse(t testing.TB, file string) *Set {
	t.Helper()
	set, err := Parse("test.xml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func field(name string) *schemas.Field {
	f, ok := schemas.FieldByName(name)
	if !ok {
		panic("no field " + name)
	}
	return f
}

// compareFields compares fields by name.
var compareFields = cmp.Options{
	cmp.Comparer(func(a, b *schemas.Field) bool { return a.Name == b.Name }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func prefixValues(all ...string) (values []rules.Value) {
	for _, text := range all {
		values = append(values, rules.Value{Prefix: netip.MustParsePrefix(text)})
	}
	return values
}

func numberValues(all ...uint64) (values []rules.Value) {
	for _, n := range all {
		values = append(values, rules.Value{Min: n, Max: n})
	}
	return values
}

func textValues(all ...string) (values []rules.Value) {
	for _, text := range all {
		values = append(values, rules.Value{Str: text})
	}
	return values
}

func TestParse(t *testing.T) {
	got := mustParse(t, `<rules>
<rule id=" a " description="x
	y">
  <match field=" nd.ns "/>
  <no-match field="inet6.source" value=" 2001:db8:ffff::1/32 "/>
  <no_match field="ethernet.source" value="0:1B:2:c:D:ff"/>
  <relay/>
</rule>
<rule><match field="ethernet.source" value="00-1b-02-0C-0d-FF"/></rule>
<rules>
  <rule id="rule-4"><match field="inet6.hoplimit" value=" 007 "/><alert severity="critical"/><relay/></rule>
  <rule><match field="inet6.source" value="::ffff:192.0.2.1"/><alert/></rule>
</rules>
<probes>
  <probe name="eth0" type="interface">
    <rule><match field="host" value=" r1 "/><match field="direction" value="out"/></rule>
    <rules><rule><no-match field="nd.ra.lifetime" value="1800"/></rule></rules>
  </probe>
</probes>
</rules>`)
	mac := uint64(0x001b020c0dff)
	want := []rules.Rule{
		{ID: "a", Description: "x  y", Line: 2, Relay: []string{"origin"}, Conditions: []rules.Condition{
			{Field: field("nd.ns")},
			{Field: field("inet6.source"), Negate: true, Values: prefixValues("2001:db8::/32")},
			{Field: field("ethernet.source"), Negate: true, Values: numberValues(mac)},
		}},
		{ID: "rule-2", Line: 9, Severity: schemas.Warning, Conditions: []rules.Condition{{Field: field("ethernet.source"), Values: numberValues(mac)}}},
		{ID: "rule-4", Line: 11, Severity: schemas.Critical, Relay: []string{"origin"}, Conditions: []rules.Condition{{Field: field("inet6.hoplimit"), Values: numberValues(7)}}},
		{ID: "rule-4-2", Line: 12, Severity: schemas.Warning, Conditions: []rules.Condition{
			{Field: field("inet6.source"), Values: prefixValues("::ffff:192.0.2.1/128")},
		}},
		{ID: "rule-5", Line: 16, Severity: schemas.Warning, Conditions: []rules.Condition{
			{Field: field("interface"), Values: textValues("eth0")},
			{Field: field("host"), Values: textValues(" r1 ")},
			{Field: field("direction"), Values: textValues("out")},
		}},
		{ID: "rule-6", Line: 17, Severity: schemas.Warning, Conditions: []rules.Condition{
			{Field: field("interface"), Values: textValues("eth0")},
			{Field: field("nd.ra.lifetime"), Negate: true, Values: numberValues(1800)},
		}},
	}
	if diff := cmp.Diff(want, got.Rules, compareFields); diff != "" {
		t.Error(diff)
	}
}

func TestParseNeverMatches(t *testing.T) {
	for conditions, want := range map[string]string{
		`<match field="nd.ra.lifetime" value="0"/><match field="nd.ns"/>`:                   "a frame that has nd.ra does not have nd.ns",
		`<no-match field="nd.ra.lifetime" value="0"/><no-match field="nd.na.flag.router"/>`: "a frame that has nd.ra does not have nd.na",
		`<match field="nd.ra.lifetime" value="0"/><no-match field="nd.ra"/>`:                "it asks for nd.ra and for its absence",
		`<match field="nd.ra.lifetime" value="0"/><no-match field="nd.ns"/>`:                "",
		`<match field="nd.ra"/><no-match field="nd.ra.lifetime" value="0"/>`:                "",
		`<no-match field="nd.ra"/><no-match field="nd.ns"/>`:                                "",
	} {
		set := mustParse(t, "<rules><rule>"+conditions+"</rule></rules>")
		got := ""
		for _, n := range set.Notices {
			got += n.Message
		}
		if want != "" {
			want = "the rule can never match: " + want
		}
		if got != want {
			t.Errorf("%s: notice %q, want %q", conditions, got, want)
		}
	}
}

func TestBuiltin(t *testing.T) {
	set := Builtin()
	if len(set.Notices) != 0 {
		t.Errorf("notices: %v", set.Notices)
	}
	for _, r := range set.Rules {
		if r.ID == "" || strings.HasPrefix(r.ID, "rule-") || r.Description == "" {
			t.Errorf("line %d: the rule has no id or no description", r.Line)
		}
		if r.Severity == "" && len(r.Relay) == 0 {
			t.Errorf("rule %s does nothing", r.ID)
		}
	}
	if _, err := Parse("builtin.xml", BuiltinXML()); err != nil {
		t.Error(err)
	}
}
