package ruled

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas/process"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

func TestReload(t *testing.T) {
	f := start(t, testRules)
	f.run(t)
	alertOf := func(n int) string {
		f.publish(t, solicitation(n))
		return f.nextAlert(t).Rule
	}
	if got := alertOf(1); got != "all-ns" {
		t.Errorf("rule %s", got)
	}
	rules := func() float64 {
		families, err := f.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "nd_ruled_rules" {
				return family.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return 0
	}
	// In one step, as a careful editor does.
	next := f.config.Rules + ".new"
	writeFile(t, next, `<rules><rule id="other"><match field="nd.ns"/></rule></rules>`)
	if err := os.Rename(next, f.config.Rules); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new rules", func() bool { return rules() == 1 })
	if got := alertOf(2); got != "other" {
		t.Errorf("rule %s after the change", got)
	}
	writeFile(t, f.config.Rules, `<rules><rule id="bad"><match field="nd.nope"/></rule></rules>`)
	waitFor(t, "the refusal of the bad rules", func() bool {
		n, err := testutil.GatherAndCount(f.registry, "nd_ruled_reloads_total")
		if err != nil {
			t.Fatal(err)
		}
		return n > 0 && f.counter(t, "nd_ruled_reloads_total") >= 2
	})
	if got := alertOf(3); got != "other" {
		t.Errorf("rule %s after bad rules", got)
	}
}

func TestBadRulesAtStart(t *testing.T) {
	f := start(t, `<rules><rule id="bad"><match field="nd.nope"/></rule></rules>`)
	registry := prometheus.NewRegistry()
	conn := connect(t, f.server, registry)
	err := Run(testContext(t), f.config, Deps{Log: slog.New(slog.DiscardHandler), Registry: registry, Conn: conn, Bus: conn})
	var usage process.UsageError
	if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), f.config.Rules+":1: ") {
		t.Errorf("error %v", err)
	}
}

// Ruled stops although its rules have become a pipe without a writer.
func TestRunEndsWithPipeForRules(t *testing.T) {
	f := start(t, testRules)
	stop := f.run(t)
	if err := os.Remove(f.config.Rules); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(f.config.Rules, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the refusal", func() bool { return f.counter(t, "nd_ruled_reloads_total") == 1 })
	stop()
}
