package rules_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// TestManyValues asks for more values than are compared one by one.
func TestManyValues(t *testing.T) {
	list := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<value>"+format+"</value>", i)
		}
		return b.String()
	}
	e := corpus.Event(t, "radvd-full#1")
	e.Host = "r200"
	for _, tt := range []struct {
		field, values string
		want          bool
	}{
		{"inet6.hoplimit", list("%d", 256), true},
		{"inet6.hoplimit", list("%d", 255), false},
		{"host", list("r%d", 300), true},
		{"host", list("r%d", 200), false},
		{"host", list("?%d*", 300), true},
		{"host", list("x%d*", 300), false},
		{"inet6.source", list("2001:db8:%x::/48", 300) + "<value>fe80::/10</value>", true},
		{"inet6.source", list("2001:db8:%x::/48", 300), false},
		{"ethernet.source", list("02:00:00:00:00:%02x", 256), e.Ethernet.Source[5] != 0 && e.Ethernet.Source.Uint64()>>8 == 0x0200000000},
	} {
		for _, negate := range []bool{false, true} {
			name := map[bool]string{false: "match", true: "no-match"}[negate]
			ev := rules.Compile(mustParse(t, fmt.Sprintf("<rules><rule><%s field=%q>%s</%s></rule></rules>", name, tt.field, tt.values, name)).Rules).NewEvaluator()
			if got := len(ev.Evaluate(e)) == 1; got != (tt.want != negate) {
				t.Errorf("<%s> of %s in %.40s…: %t", name, tt.field, tt.values, got)
			}
		}
	}
}

// TestSharedValues compiles rules that share long lists, in which each of them
// would multiply if it were filed again and again.
func TestSharedValues(t *testing.T) {
	list := make([]string, 256)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	all := strings.Join(list, ",")
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `<rule id="r%d">`, i)
		for _, name := range []string{"icmp6.type", "icmp6.code", "inet6.hoplimit", "inet6.nextheader", "nd.ra.curhoplimit"} {
			fmt.Fprintf(&b, `<match field=%q value=%q/>`, name, all)
		}
		b.WriteString("</rule>")
	}
	program := rules.Compile(mustParse(t, "<rules>"+b.String()+"</rules>").Rules)
	if got := len(program.NewEvaluator().Evaluate(corpus.Event(t, "radvd-full#1"))); got != 100 || rules.Levels(program) > 10 {
		t.Errorf("%d rules match, %d levels", got, rules.Levels(program))
	}
}

func TestWriteFieldTable(t *testing.T) {
	var b bytes.Buffer
	if err := rules.WriteFieldTable(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if got, want := len(lines), len(schemas.Fields())+1; got != want {
		t.Fatalf("%d lines, want %d", got, want)
	}
	column := strings.Index(lines[0], "MEANING")
	for i, f := range schemas.Fields() {
		line := lines[i+1]
		if !strings.HasPrefix(line, f.Name+" ") || !strings.Contains(line[:column], " "+f.Type.String()+" ") || !strings.HasPrefix(line[column:], f.Doc) {
			t.Errorf("line of %s: %s", f.Name, line)
		}
	}
}

// mutate makes another event of a corpus event: with what the kernel knows of a
// frame, options of another, repeated or missing parts.
func mutate(t testing.TB, rng *rand.Rand, events []*schemas.Event) *schemas.Event {
	e := corpus.Parse(t, events[rng.IntN(len(events))].AppendJSON(nil))
	other := events[rng.IntN(len(events))]
	for range 1 + rng.IntN(4) {
		switch rng.IntN(12) {
		case 0:
			e.Direction = schemas.Out
		case 1:
			e.Master = true
		case 2:
			if e.Ethernet != nil {
				vlan := uint16(rng.IntN(3))
				e.Ethernet.VLAN = &vlan
			}
		case 3:
			if e.Ethernet != nil {
				e.Ethernet.SourceMulticast = true
			}
		case 4:
			e.Inet6 = other.Inet6
		case 5:
			e.ICMP6 = nil
		case 6:
			if e.ND != nil && other.ND != nil {
				e.ND.Opt = other.ND.Opt
			}
		case 7:
			repeatOptions(e, other)
		case 8:
			if e.ND != nil {
				e.ND.Opt = nil
			}
		case 9:
			e.ND = nil
		case 10:
			e.Host = "r1"
		case 11:
			if rng.IntN(10) == 0 {
				e.Ethernet, e.Inet6 = nil, nil
			}
		}
	}
	return e
}

// repeatOptions appends the options of other to those of e.
func repeatOptions(e, other *schemas.Event) {
	if e.ND == nil || e.ND.Opt == nil || other.ND == nil || other.ND.Opt == nil {
		return
	}
	a, b := *e.ND.Opt, other.ND.Opt
	a.SourceLinkLayer = append(a.SourceLinkLayer[:len(a.SourceLinkLayer):len(a.SourceLinkLayer)], b.SourceLinkLayer...)
	a.PrefixInfo = append(a.PrefixInfo[:len(a.PrefixInfo):len(a.PrefixInfo)], b.PrefixInfo...)
	a.MTU = append(a.MTU[:len(a.MTU):len(a.MTU)], b.MTU...)
	a.RDNSS = append(a.RDNSS[:len(a.RDNSS):len(a.RDNSS)], b.RDNSS...)
	a.DNSSL = append(a.DNSSL[:len(a.DNSSL):len(a.DNSSL)], b.DNSSL...)
	e.ND.Opt = &a
}

// tree returns the event as it is published, read without its type.
func tree(t testing.TB, e *schemas.Event) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
