package probe

import (
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestOutcomes(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z_]*$`)
	for o := range outcomes {
		if !word.MatchString(o.String()) {
			t.Errorf("%q is no good value of a label", o)
		}
	}
	r := prometheus.NewRegistry()
	NewMetrics(r)
	if n, err := testutil.GatherAndCount(r, "nd_pinger_commands_total"); err != nil || n != int(outcomes) {
		t.Errorf("%d counters from the start (%v), want %d", n, err, outcomes)
	}
}
