package ruled

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/message"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
)

// FuzzEvent sends any message on a subject of events through all steps: it is read, compared
// with what was observed on the link, evaluated by every built-in rule, and written as an
// alert. The data is events, one per line, and what came before them. The seeds are single
// events: for a long new input, Go tries each piece that can be left out, for a minute.
func FuzzEvent(f *testing.F) {
	for _, capture := range []string{"thc-parasite6", "thc-dos-new-ip6", "radvd-full", "thc-redir6", "si6-ra6_frag", "thc-fake_router26_E-O"} {
		// The first events that the sensor decodes from the capture in sensor/testdata/corpus.
		events, err := os.ReadFile(filepath.Join("testdata", "events", capture+".ndjson"))
		if err != nil {
			f.Fatal(err)
		}
		var before []byte
		for line := range bytes.Lines(events) {
			f.Add(before, line)
			before = line
		}
	}
	f.Add([]byte(nil), []byte(`{"type":"nd.event.v1","id":"c1","time":"2026-11-22T05:09:24Z","host":"r1","interface":"m0","direction":"in",`+
		`"conflict":{"address":"2001:db8::9","otherinterface":"s1","master":true}}`))
	set := rulefile.Builtin()
	program := rules.Compile(set.Rules)
	makers := vendors.Builtin()
	f.Fuzz(func(t *testing.T, before, data []byte) {
		reader := message.NewReader()
		table := link.New(link.Config{Neighbours: 50, ClaimTimeout: time.Minute, Silence: time.Hour, Vendor: makers.Lookup})
		thresholds := threshold.New(10)
		evaluator := program.NewEvaluator()
		for line := range bytes.Lines(slices.Concat(before, []byte("\n"), data)) {
			if err := reader.Event.ParseJSON(line); err != nil || reader.Event.Link != nil {
				continue
			}
			e := &reader.Event
			table.Observe(e)
			for _, rule := range evaluator.Evaluate(e) {
				count, ok := thresholds.Pass(rule.ID, rule.Threshold, e)
				if ok != (count > 0) {
					t.Errorf("%s: passed %t, count %d", rule.ID, ok, count)
				}
				if why := rule.Fails(e); why != "" {
					t.Errorf("%s matches and does not: %s", rule.ID, why)
				}
				alert := (&schemas.Alert{Type: schemas.TypeAlert, Severity: rule.Severity, Rule: rule.ID, Summary: summary.Of(e), Count: count, Link: e.Link, Event: line}).AppendJSON(nil)
				if !json.Valid(alert) || bytes.Contains(alert, []byte(`"event":null`)) {
					t.Errorf("%s: alert %s", rule.ID, alert)
				}
			}
		}
		if s := table.Stats(); s.Addresses > 50 || s.Stations > 50 {
			t.Errorf("%+v", s)
		}
	})
}
