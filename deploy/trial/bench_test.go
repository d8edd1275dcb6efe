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
