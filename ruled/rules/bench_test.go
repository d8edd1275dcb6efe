package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// ruleSets are sets of n rules that differ in one value and share two further conditions.
func ruleSets(n int) map[string]string {
	write := func(differ func(i int) string) string {
		var b strings.Builder
		b.WriteString("<rules>")
		for i := range n {
			b.WriteString(`<rule><match field="direction" value="in"/>` + differ(i) + `<match field="inet6.hoplimit" value="255"/></rule>`)
		}
		b.WriteString("</rules>")
		return b.String()
	}
	return map[string]string{
		"address": write(func(i int) string {
			return fmt.Sprintf(`<match field="nd.ns"/><match field="nd.ns.targetaddress" value="2001:db8:5::%x"/>`, i)
		}),
		"prefix": write(func(i int) string {
			return fmt.Sprintf(`<match field="nd.ns"/><match field="inet6.source" value="2001:db8:5:%x::/64"/>`, i)
		}),
		"mac": write(func(i int) string {
			return fmt.Sprintf(`<match field="nd.ns"/><match field="ethernet.source" value="02:00:00:01:%02x:%02x"/>`, i>>8&0xff, i&0xff)
		}),
		"number": write(func(i int) string {
			return fmt.Sprintf(`<match field="inet6.payload" value="%d"/><no-match field="nd.ra"/>`, 1000+i)
		}),
		// Each address is shared by a hundred rules.
		"pair": write(func(i int) string {
			return fmt.Sprintf(`<match field="inet6.source" value="2001:db8:1::%x"/><match field="nd.ns.targetaddress" value="2001:db8:1::%x"/>`, i/100, 0x200+i%100)
		}),
		// All that the event meets is shared by all rules.
		"negated": write(func(i int) string {
			return fmt.Sprintf(`<match field="nd.ns"/><match field="nd.opt.nonce"/><no-match field="inet6.source" value="2001:db8:5::%x"/>`, i)
		}),
		"range": write(func(i int) string {
			return fmt.Sprintf(`<match field="inet6.payload" min="%d" max="%d"/>`, 1000+i, 1050+i)
		}),
		"list": write(func(i int) string {
			return fmt.Sprintf(`<match field="ethernet.source" value="02:00:00:01:%02x:%02x, 02:00:00:02:%02x:%02x"/>`, i>>8&0xff, i&0xff, i>>8&0xff, i&0xff)
		}),
		"glob": write(func(i int) string {
			return fmt.Sprintf(`<match field="host" value="r%d-*"/><match field="interface" value="*eth?"/>`, i)
		}),
		// Each rule has a list of all that it is not about.
		"whitelist": write(func(i int) string {
			return fmt.Sprintf(`<match field="host" value="r%d"/><no-match field="inet6.source" value="%s2001:db8:1::/64"/>`, i,
				strings.Repeat(fmt.Sprintf("2001:db8:5:%x::/64,", i), 10))
		}),
		"all kinds": write(func(i int) string {
			switch i % 6 {
			case 0:
				return fmt.Sprintf(`<match field="inet6.source" value="2001:db8:5::%x,2001:db8:6:%x::/64"/>`, i, i)
			case 1:
				return fmt.Sprintf(`<match field="nd.ra.lifetime" min="%d" max="%d"/>`, 2000+i, 2100+i)
			case 2:
				return fmt.Sprintf(`<match field="interface" value="eth%d.*"/><match field="nd.opt.sourcelinklayer"/>`, i)
			case 3:
				return fmt.Sprintf(`<match field="nd.opt.mtu.mtu" min="%d"/><match field="host" value="r%d-?"/>`, i, i)
			case 4:
				return fmt.Sprintf(`<match field="icmp6.type" value="133,134,135"/><match field="ethernet.source" value="02:00:00:01:%02x:%02x"/>`, i>>8&0xff, i&0xff)
			}
			return fmt.Sprintf(`<match field="ethernet.vlan" min="1" max="4094"/><no-match field="inet6.source" value="2001:db8::%x,fe80::/10"/>`, i)
		}),
		"mixed": write(func(i int) string {
			switch i % 6 {
			case 0:
				return fmt.Sprintf(`<match field="inet6.destination" value="2001:db8:5:%x::/64"/>`, i)
			case 1:
				return fmt.Sprintf(`<match field="nd.ra.lifetime" value="%d"/>`, i)
			case 2:
				return fmt.Sprintf(`<match field="nd.opt.prefixinfo.prefix" value="2001:db8:5:%x::/64"/>`, i)
			case 3:
				return fmt.Sprintf(`<match field="nd.na.targetaddress" value="2001:db8:5::%x"/>`, i)
			case 4:
				return fmt.Sprintf(`<match field="nd.opt.sourcelinklayer.address" value="02:00:00:01:%02x:%02x"/>`, i>>8&0xff, i&0xff)
			}
			return fmt.Sprintf(`<match field="ethernet.vlan" value="%d"/><no-match field="inet6.source" value="2001:db8::%x"/>`, i%4096, i)
		}),
	}
}

func BenchmarkEvaluate(b *testing.B) {
	ns, ra := corpus.Event(b, "linux-unresolved#1"), corpus.Event(b, "radvd-full#1")
	run := func(b *testing.B, set *rulefile.Set, e *schemas.Event) {
		ev := rules.Compile(set.Rules).NewEvaluator()
		b.ReportAllocs()
		for b.Loop() {
			ev.Evaluate(e)
		}
	}
	b.Run("rules=builtin/event=NS", func(b *testing.B) { run(b, rulefile.Builtin(), ns) })
	b.Run("rules=builtin/event=RA", func(b *testing.B) { run(b, rulefile.Builtin(), ra) })
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		for _, kind := range []string{"address", "prefix", "mac", "number", "pair", "negated", "range", "list", "glob", "whitelist", "mixed", "all kinds"} {
			set := mustParse(b, ruleSets(n)[kind])
			b.Run(fmt.Sprintf("rules=%d/differ=%s/event=NS", n, kind), func(b *testing.B) { run(b, set, ns) })
			if kind == "mixed" || kind == "all kinds" {
				b.Run(fmt.Sprintf("rules=%d/differ=%s/event=RA", n, kind), func(b *testing.B) { run(b, set, ra) })
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	file := []byte(ruleSets(10000)["mixed"])
	for b.Loop() {
		set, err := rulefile.Parse("bench.xml", file)
		if err != nil {
			b.Fatal(err)
		}
		rules.Compile(set.Rules)
	}
}
