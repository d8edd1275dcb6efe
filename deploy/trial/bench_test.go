package trial

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// BenchmarkEvent measures everything that is done with an event: the table of links, the
// built-in rules and additional ones, and the thresholds.
func BenchmarkEvent(b *testing.B) {
	for _, more := range []int{0, 10_000} {
		for _, capture := range []string{"linux-resolution_nud", "radvd-full", "thc-flood_advertise6", "thc-flood_router26"} {
			b.Run(fmt.Sprintf("%d rules more, %s", more, capture), func(b *testing.B) {
				events := readEvents(b, capture)
				var file strings.Builder
				file.WriteString("<rules><builtin/>")
				for i := range more {
					fmt.Fprintf(&file, `<rule><match field="nd.ns.targetaddress" value="2001:db8:%x::/64"/><no-match field="ethernet.source" value="02:00:00:00:%02x:%02x"/></rule>`, i, i>>8&0xff, i&0xff)
				}
				file.WriteString("</rules>")
				set, err := rulefile.Parse("bench.xml", []byte(file.String()))
				if err != nil {
					b.Fatal(err)
				}
				table := link.New(link.Config{Neighbours: 100_000, ClaimTimeout: time.Hour, Silence: 30 * 24 * time.Hour})
				thresholds := threshold.New(threshold.MaxKeys)
				evaluator := rules.Compile(set.Rules).NewEvaluator()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					e := events[i%len(events)]
					table.Observe(e)
					for _, rule := range evaluator.Evaluate(e) {
						thresholds.Pass(rule.ID, rule.Threshold, e)
					}
				}
			})
		}
	}
}

func readEvents(b *testing.B, capture string) []*schemas.Event {
	var events []*schemas.Event
	var d decode.Decoder
	for p, err := range capfile.ReadFile("../../sensor/testdata/corpus/" + capture + ".pcap") {
		if err != nil {
			b.Fatal(err)
		}
		if e, ok := d.Decode(p.Data, p.Length); ok {
			e.Type, e.ID, e.Host, e.Interface, e.Direction, e.Time = schemas.TypeEvent, "e", "r1", "eth0", schemas.In, p.Time
			kept := new(schemas.Event)
			if err := kept.ParseJSON(e.AppendJSON(nil)); err != nil {
				b.Fatal(err)
			}
			events = append(events, kept)
		}
	}
	return events
}

// A flood of invented values raises few alerts of each rule, which count the matches.
// An attack on a host from before the flood is among them.
func TestFloods(t *testing.T) {
	made := func(n int) sender {
		return from(fmt.Sprintf("06:00:00:%02x:%02x:%02x", n>>16, n>>8&0xff, n&0xff), fmt.Sprintf("fe80::6:%x", n))
	}
	address := func(n int) string { return fmt.Sprintf("2001:db8::f:%x:%x", n>>16, n&0xffff) }
	honest := []timed{
		{time.Second, gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"))},
		{time.Second, host.use()}, {time.Second, host.with("2001:db8::a").use()},
		{time.Hour, host.use()}, {time.Second, host.with("2001:db8::a").use()},
		{time.Second, gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"))},
	}
	for _, test := range []struct {
		name   string
		frames int
		flood  func(n int) []byte
		// attack is a frame in the middle of the flood, want the alert that it must raise.
		attack []byte
		want   string
	}{
		{"each address claimed by two stations", 40_000, func(n int) []byte {
			by := attacker
			if n%2 == 1 {
				by = other
			}
			return by.na(32, address(n/2), lladdr(2, by.mac))
		}, attacker.na(32, "2001:db8::a", lladdr(2, attacker.mac)), "warning changed-ethernet-address 2001:db8::a was at 02:00:00:00:00:0a"},
		{"each address tested and denied", 40_000, func(n int) []byte {
			if n%2 == 1 {
				return attacker.na(32, address(n/2), lladdr(2, attacker.mac))
			}
			return made(n / 2).with("::").ns(address(n / 2))
		}, attacker.na(32, "2001:db8::a", lladdr(2, attacker.mac)), "warning changed-ethernet-address 2001:db8::a was at 02:00:00:00:00:0a"},
		{"routers", 20_000, func(n int) []byte { return made(n).ra(usual, prefix(0xc0, 86400, 14400, "2001:db8:bad::")) },
			gateway.ra(usual, prefix(0xc0, 86400, 14400, "2001:db8::"), rdnss(900, "2001:db8:bad::53")), "warning ra-changed DNS server 2001:db8:bad::53 is new"},
		{"stations with every fault", 20_000, func(n int) []byte { return made(n).na(32, address(n), lladdr(1, "ff:ff:ff:ff:ff:ff")) },
			attacker.ra(usual), "critical ra-from-unknown-router 02:00:00:00:00:66"},
	} {
		t.Run(test.name, func(t *testing.T) {
			frames, length := honest, test.frames
			if testing.Short() {
				length /= 8
			}
			for n := range length {
				if n == length/2 {
					frames = append(frames, timed{time.Millisecond, test.attack})
				}
				frames = append(frames, timed{20 * time.Microsecond, test.flood(n)})
			}
			alerts := map[string]int{}
			matches := map[string]uint64{}
			found := false
			c := onLink(builtin(), write(t, "flood.pcap", pcap(t, frames...)))
			_, _, err := c.frames(c.table(), func(m match) {
				if m.count == 0 || m.rule.Severity == "" {
					return
				}
				alerts[m.rule.ID]++
				matches[m.rule.ID] += m.count
				line := fmt.Sprint(m.rule.Severity, " ", m.rule.ID, " ", m.summary)
				severity, what, _ := strings.Cut(test.want, " ")
				rule, what, _ := strings.Cut(what, " ")
				found = found || strings.HasPrefix(line, severity+" "+rule+" ") && strings.Contains(line, what)
			}, nil)
			must(t, err)
			if !found {
				t.Errorf("nothing says %q: %v", test.want, alerts)
			}
			for rule, n := range alerts {
				if n > 250 { // the cap of a critical rule is 100, counted separately for the flood's own entries
					t.Errorf("%d alerts of %s, which stand for %d matches", n, rule, matches[rule])
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
