package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rules"
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
