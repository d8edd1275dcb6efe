package metrics

import (
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Label values are lower case words, without spaces.
func TestLabelValues(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := New(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`^[a-z][a-z_]*$`)
	seen := 0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				seen++
				if !word.MatchString(label.GetValue()) {
					t.Errorf("%s: label %s is %q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no labels")
	}
}
