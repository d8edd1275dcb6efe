package rules_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

// TestEveryField asks for each value that each field has in the real events and
// sees that the rule finds those events and no others, under match and no-match.
func TestEveryField(t *testing.T) {
	events := corpus.Events(t)
	// What the kernel and the configuration say of a frame is not in it.
	vlan := uint16(12)
	ns := corpus.Event(t, "linux-unresolved#1")
	ns.Host, ns.Interface, ns.Direction, ns.Master = "r1", "eth0", schemas.Out, true
	ns.Ethernet.VLAN, ns.Ethernet.InnerVLAN, ns.Ethernet.SourceMulticast = &vlan, &vlan, true
	// No tool in the corpus sends PREF64.
	ra := corpus.Event(t, "radvd-minimal#1")
	ra.ND.Opt.PREF64 = []schemas.PREF64{{Prefix: addr("64:ff9b::"), PrefixLength: 96, Lifetime: 1800}}
	// Nor is what ruled knows of the link.
	mac := schemas.MAC{2, 0, 0, 0, 0, 1}
	ns.Link = &schemas.Link{
		Station: &schemas.LinkStation{Vendor: "Example"},
		Claim:   []schemas.LinkClaim{{Address: addr("fe80::1"), Ethernet: mac, Previous: &mac}},
		DAD:     &schemas.LinkDAD{Target: addr("fe80::1"), Prober: mac},
	}
	// No Redirect in the corpus quotes an echo.
	rd := corpus.Event(t, "radvd-minimal#1")
	rd.ND.Opt.RedirectedHeader = []schemas.RedirectedHeader{{Source: addr("::1"), Destination: addr("::1"), Echo: &schemas.Echo{Identifier: 1, Sequence: 2}}}
	// Few captures have the rarer options.
	all := corpus.Event(t, "radvd-minimal#1")
	all.ND.Opt = new(schemas.Options)
	fill(reflect.ValueOf(all.ND.Opt).Elem())
	all.Link = &schemas.Link{RA: &schemas.LinkRA{Change: []string{"x"}}}
	conflict := &schemas.Event{Type: schemas.TypeEvent, Host: "r1", Interface: "m0", Direction: schemas.In, Conflict: new(schemas.Conflict)}
	fill(reflect.ValueOf(conflict.Conflict).Elem())
	events = append(events, ns, ra, rd, all, conflict)

	trees := make([]map[string]any, len(events))
	for i, e := range events {
		trees[i] = tree(t, e)
	}
	values := valuesOf(t, events)
	for _, f := range schemas.Fields() {
		asked := values[f.Name]
		if f.Type == schemas.NoValue {
			asked = []string{""}
		}
		matched, unmatched := 0, 0
		for _, value := range asked {
			for _, negate := range []bool{false, true} {
				rule := naiveRule{id: "r", conditions: []naiveCondition{{field: f.Name, values: []string{value}, negate: negate}}}
				ev := compileNaive(t, []naiveRule{rule}).NewEvaluator()
				for i, e := range events {
					got := len(ev.Evaluate(e)) == 1
					if got != rule.matches(trees[i]) {
						t.Fatalf("%s: %t for %s", rule.xml(), got, e.AppendJSON(nil))
					}
					if got {
						matched++
					} else {
						unmatched++
					}
				}
			}
		}
		if matched == 0 || unmatched == 0 {
			t.Errorf("%s: matched %d events and did not match %d", f.Name, matched, unmatched)
		}
	}
}

// fill gives every member a value that is not absent.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(1)
	case reflect.String:
		v.SetString(schemas.PreferenceLow)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		fill(v.Index(0))
	case reflect.Struct:
		if a, ok := v.Addr().Interface().(*netip.Addr); ok {
			*a = addr("fe80::1")
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func field(name string) *schemas.Field {
	f, ok := schemas.FieldByName(name)
	if !ok {
		panic("no field " + name)
	}
	return f
}

// mustParse parses a rule file that has no fault.
func mustParse(t testing.TB, file string) *rulefile.Set {
	t.Helper()
	set, err := rulefile.Parse("test.xml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// matchingIDs returns the ids of the rules that an event matches.
func matchingIDs(ev *rules.Evaluator, e *schemas.Event) []string {
	var ids []string
	for _, r := range ev.Evaluate(e) {
		ids = append(ids, r.ID)
	}
	return ids
}

// TestMeaning checks, on real events, what the documentation of the rules says.
func TestMeaning(t *testing.T) {
	ra, ns := corpus.Event(t, "radvd-full#1"), corpus.Event(t, "linux-unresolved#1")
	if n := len(ra.ND.Opt.PrefixInfo); n < 2 {
		t.Fatalf("the RA has %d prefixes", n)
	}
	second := ra.ND.Opt.PrefixInfo[1].Prefix.String()
	for _, tt := range []struct {
		conditions string
		ra, ns     bool
	}{
		{`<match field="nd.ra"/>`, true, false},
		{`<no-match field="nd.ra"/>`, false, true},
		{`<no_match field="nd.ra"/>`, false, true},
		// a field of one message type fails for another, negated or not
		{`<match field="nd.ra.lifetime" value="1"/>`, false, false},
		{`<no-match field="nd.ra.lifetime" value="1"/>`, true, false},
		{`<no-match field="nd.ns.targetaddress" value="::/128"/>`, false, true},
		{`<no-match field="nd.na.flag.router"/>`, false, false},
		{`<no-match field="nd.ra.flag.proxy"/>`, true, false},
		{`<no-match field="nd.ns"/><no-match field="nd.ra.lifetime" value="1"/>`, true, false},
		// an option that is absent is no match
		{`<no-match field="nd.opt.mtu.mtu" value="1"/>`, true, true},
		{`<no-match field="nd.opt.targetlinklayer"/>`, true, true},
		// an option that stands twice: any for match, none for no-match
		{`<match field="nd.opt.prefixinfo.prefix" value="` + second + `"/>`, true, false},
		{`<no-match field="nd.opt.prefixinfo.prefix" value="` + second + `"/>`, false, true},
		{`<no-match field="nd.opt.prefixinfo.prefix" value="2001:db8:dead::/48"/>`, true, true},
		// prefixes
		{`<match field="inet6.source" value="::/0"/>`, true, true},
		{`<no-match field="inet6.source" value="::/0"/>`, false, false},
		{`<match field="inet6.source" value="fe80::/10"/><match field="inet6.source" value="fe80::/64"/>`, true, true},
		{`<match field="inet6.destination" value="ff02::1/128"/>`, true, false},
		{`<match field="ethernet.vlan" value="0"/>`, false, false},
		{`<no-match field="ethernet.vlan" value="0"/>`, true, true},
	} {
		ns.Inet6.Source = ra.Inet6.Source
		ev := rules.Compile(mustParse(t, "<rules><rule>"+tt.conditions+"</rule></rules>").Rules).NewEvaluator()
		if got := len(ev.Evaluate(ra)) == 1; got != tt.ra {
			t.Errorf("%s: %t for the RA", tt.conditions, got)
		}
		if got := len(ev.Evaluate(ns)) == 1; got != tt.ns {
			t.Errorf("%s: %t for the NS", tt.conditions, got)
		}
	}
}

// TestOrder checks that matches come in the order of the file, each once, with rules that are found by different ways.
func TestOrder(t *testing.T) {
	ra := corpus.Event(t, "radvd-full#1")
	set := mustParse(t, `<rules>
<rule id="none"><no-match field="nd.ns"/></rule>
<rule id="prefix"><match field="nd.opt.prefixinfo.prefix" value="2001:db8::/32"/></rule>
<rule id="message"><match field="nd.ra"/></rule>
<rule id="address"><match field="inet6.destination" value="ff02::1"/></rule>
<rule id="wide"><match field="inet6.destination" value="ff00::/8"/></rule>
<rule id="mapped"><match field="inet6.destination" value="::ffff:0:0/96"/></rule>
<rule id="number"><match field="inet6.hoplimit" value="255"/></rule>
<rule id="string"><match field="interface" value="radvd-full"/></rule>
<rule id="wider"><match field="inet6.destination" value="::/0"/></rule>
</rules>`)
	ev := rules.Compile(set.Rules).NewEvaluator()
	for range 2 {
		want := []string{"none", "prefix", "message", "address", "wide", "number", "string", "wider"}
		if diff := cmp.Diff(want, matchingIDs(ev, ra)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestNoFrame checks that what is no frame matches no rule, except that a conflict matches rules about conflicts.
func TestNoFrame(t *testing.T) {
	ev := rules.Compile(mustParse(t, `<rules><rule><no-match field="inet6.hoplimit" value="255"/></rule></rules>`).Rules).NewEvaluator()
	for what, e := range map[string]schemas.Event{"lost frames": {Lost: &schemas.Lost{Kernel: 1}}, "a heartbeat": {Sensor: &schemas.Heartbeat{}}, "a pinger's": {Pinger: &schemas.Heartbeat{}}, "a conflict": {Conflict: &schemas.Conflict{}}} {
		e.Type = schemas.TypeEvent
		if got := ev.Evaluate(&e); len(got) > 0 {
			t.Errorf("%d rules match %s", len(got), what)
		}
	}
	about := rules.Compile(mustParse(t, `<rules>
<rule id="any"><match field="conflict"/></rule>
<rule id="dad"><match field="conflict.dad"/></rule>
<rule id="no dad"><no-match field="conflict.dad"/></rule>
<rule id="address"><match field="conflict.address" value="2001:db8::/32"/><match field="interface" value="m0"/></rule>
<rule id="interface"><match field="interface" value="m0"/></rule>
</rules>`).Rules).NewEvaluator()
	e := &schemas.Event{Type: schemas.TypeEvent, Interface: "m0", Conflict: &schemas.Conflict{Address: netip.MustParseAddr("2001:db8::9")}}
	if diff := cmp.Diff([]string{"any", "no dad", "address"}, matchingIDs(about, e)); diff != "" {
		t.Error(diff)
	}
	e.Conflict = nil
	if diff := cmp.Diff([]string{"interface"}, matchingIDs(about, e)); diff != "" {
		t.Error(diff)
	}
}

// TestScratch checks that an event with very many values does not keep its memory, and that it matches.
func TestScratch(t *testing.T) {
	e := corpus.Event(t, "radvd-full#1")
	for range 20000 {
		e.ND.Opt.PrefixInfo = append(e.ND.Opt.PrefixInfo, e.ND.Opt.PrefixInfo[0])
	}
	ev := rules.Compile(mustParse(t, `<rules><rule id="a"><match field="nd.opt.prefixinfo.prefix" value="2001:db8::/32"/></rule></rules>`).Rules).NewEvaluator()
	if diff := cmp.Diff([]string{"a"}, matchingIDs(ev, e)); diff != "" {
		t.Error(diff)
	}
	ev.Evaluate(corpus.Event(t, "linux-unresolved#1"))
	if c := rules.Scratch(ev); c > rules.MaxScratch {
		t.Errorf("room for %d values is kept", c)
	}
}

// TestCompileDeep compiles rules that share very many conditions.
func TestCompileDeep(t *testing.T) {
	var b strings.Builder
	b.WriteString("<rules>")
	for i := range 40 {
		b.WriteString("<rule>")
		for n := range 500 {
			fmt.Fprintf(&b, `<match field="inet6.source" value="fe80::/%d"/>`, n%65)
		}
		fmt.Fprintf(&b, `<match field="inet6.hoplimit" value="%d"/></rule>`, 250+i%6)
	}
	b.WriteString("</rules>")
	ev := rules.Compile(mustParse(t, b.String()).Rules).NewEvaluator()
	if got := len(ev.Evaluate(corpus.Event(t, "radvd-full#1"))); got != 6 {
		t.Errorf("%d rules match, want 6", got)
	}
}

// actingIDs returns the ids of the rules that act on an event that is the first of its kind.
func actingIDs(ev *rules.Evaluator, e *schemas.Event) []string {
	var ids []string
	th := threshold.New(100)
	for _, r := range ev.Evaluate(e) {
		if _, ok := th.Pass(r.ID, r.Threshold, e); ok {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// TestBuiltinRules checks what some of the built-in rules find in real frames.
func TestBuiltinRules(t *testing.T) {
	severities := map[string]schemas.Severity{}
	for _, r := range rulefile.Builtin().Rules {
		severities[r.ID] = r.Severity
	}
	ev := rules.Compile(rulefile.Builtin().Rules).NewEvaluator()
	for _, e := range corpus.Events(t) {
		got := actingIDs(ev, e)
		for id, want := range map[string]bool{
			"hop-limit":     e.ICMP6 != nil && e.ICMP6.Code == 0 && e.Inet6.HopLimit != 255,
			"fragmented-nd": e.Inet6.Fragment != nil && e.Inet6.Fragment.Offset == 0,
		} {
			if slices.Contains(got, id) != want {
				t.Errorf("%s: rules %v, %s: want %t", e.ID, got, id, want)
			}
		}
		harmless := strings.HasPrefix(e.Interface, "linux-") || strings.HasPrefix(e.Interface, "radvd-") || strings.HasPrefix(e.Interface, "rdisc6-") || strings.HasPrefix(e.Interface, "ndisc6-")
		for _, id := range got {
			if harmless && severities[id] != schemas.Info {
				t.Errorf("%s: rule %s raises %s on harmless traffic", e.ID, id, severities[id])
			}
		}
	}
}

// TestBuiltinOne changes one thing in a genuine solicitation and sees what the built-in rules make of it.
func TestBuiltinOne(t *testing.T) {
	ev := rules.Compile(rulefile.Builtin().Rules).NewEvaluator()
	relay, proxy := []string{"relay-ns"}, []string{"relay-proxy"}
	received := func(e *schemas.Event) { e.Direction, e.Master, e.Proxy = schemas.In, false, true }
	for name, tt := range map[string]struct {
		change func(*schemas.Event)
		want   []string
	}{
		"as it is":                 {func(*schemas.Event) {}, relay},
		"received":                 {func(e *schemas.Event) { e.Direction = schemas.In }, nil},
		"not a master":             {func(e *schemas.Event) { e.Master = false }, nil},
		"tagged":                   {func(e *schemas.Event) { e.Ethernet.VLAN = new(uint16) }, relay},
		"DAD":                      {func(e *schemas.Event) { e.Inet6.Source = addr("::") }, nil},
		"link-local source":        {func(e *schemas.Event) { e.Inet6.Source = addr("fe80::1") }, relay},
		"link-local target":        {func(e *schemas.Event) { e.ND.NS.TargetAddress = addr("febf::1") }, nil},
		"unique local":             {func(e *schemas.Event) { e.ND.NS.TargetAddress = addr("fd00::1") }, relay},
		"multicast target":         {func(e *schemas.Event) { e.ND.NS.TargetAddress = addr("ff02::1") }, nil},
		"unspecified target":       {func(e *schemas.Event) { e.ND.NS.TargetAddress = addr("::") }, nil},
		"loopback target":          {func(e *schemas.Event) { e.ND.NS.TargetAddress = addr("::1") }, nil},
		"hop limit":                {func(e *schemas.Event) { e.Inet6.HopLimit = 254 }, []string{"hop-limit"}},
		"malformed":                {func(e *schemas.Event) { e.ND.Malformed, e.Fault = "x", &schemas.Fault{Length: true, Discarded: true} }, []string{"malformed-nd"}},
		"bad option":               {func(e *schemas.Event) { e.ND.Malformed, e.Fault = "x", &schemas.Fault{BadOption: true} }, []string{"relay-ns", "malformed-nd"}},
		"fragment":                 {func(e *schemas.Event) { e.Inet6.Fragment = &schemas.Fragment{} }, []string{"relay-ns", "fragmented-nd"}},
		"group source":             {func(e *schemas.Event) { e.Ethernet.SourceMulticast = true }, []string{"relay-ns", "ethernet-source-multicast"}},
		"relayed and answered for": {func(e *schemas.Event) { e.Proxy = true }, relay},
		"received for others":      {received, proxy},
		"DAD for others":           {func(e *schemas.Event) { received(e); e.Inet6.Source = addr("::") }, proxy},
		"off-link for others":      {func(e *schemas.Event) { received(e); e.Inet6.HopLimit = 64 }, []string{"hop-limit"}},
		"link-local for others":    {func(e *schemas.Event) { received(e); e.ND.NS.TargetAddress = addr("fe80::1") }, nil},
		"multicast for others":     {func(e *schemas.Event) { received(e); e.ND.NS.TargetAddress = addr("ff02::1") }, nil},
		"unspecified for others":   {func(e *schemas.Event) { received(e); e.ND.NS.TargetAddress = addr("::") }, nil},
		"loopback for others":      {func(e *schemas.Event) { received(e); e.ND.NS.TargetAddress = addr("::1") }, nil},
		"malformed for others": {func(e *schemas.Event) {
			received(e)
			e.ND.Malformed, e.Fault = "x", &schemas.Fault{Length: true, Discarded: true}
		}, []string{"malformed-nd"}},
		"other without ICMPv6": {func(e *schemas.Event) {
			e.ICMP6, e.ND.NS, e.ND.Malformed, e.Inet6.HopLimit = nil, nil, "cut", 64
			e.Fault = &schemas.Fault{Length: true}
		}, []string{"malformed-nd"}},
	} {
		e := corpus.Event(t, "linux-unresolved#1")
		e.Direction, e.Master = schemas.Out, true
		tt.change(e)
		if diff := cmp.Diff(tt.want, actingIDs(ev, e)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestEvaluateAllocates checks that an event costs no memory.
func TestEvaluateAllocates(t *testing.T) {
	events := corpus.Events(t)
	for name, file := range ruleSets(1000) {
		ev := rules.Compile(mustParse(t, file).Rules).NewEvaluator()
		ns := corpus.Event(t, "linux-unresolved#1")
		matched := 0
		allocs := testing.AllocsPerRun(10, func() {
			matched += len(ev.Evaluate(ns))
			for _, e := range events {
				ev.Evaluate(e)
			}
		})
		if allocs != 0 || matched != 0 {
			t.Errorf("%s: %v allocations, %d matches", name, allocs, matched)
		}
	}
}

// TestProgramShared has several evaluators of one program at work at once.
func TestProgramShared(t *testing.T) {
	events := corpus.Events(t)
	program := rules.Compile(rulefile.Builtin().Rules)
	counts := make([]int, 4)
	var group sync.WaitGroup
	for i := range counts {
		group.Go(func() {
			ev := program.NewEvaluator()
			for _, e := range events {
				counts[i] += len(ev.Evaluate(e))
			}
		})
	}
	group.Wait()
	for _, n := range counts {
		if n == 0 || n != counts[0] {
			t.Fatalf("matches: %v", counts)
		}
	}
}
