package rulefile

import (
	"slices"
	"testing"

	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

// No sender can use up the limit of a rule for another, and none can make alerts
// without end by making up what is tracked.
func TestBuiltinLimits(t *testing.T) {
	for _, r := range Builtin().Rules {
		if r.Severity == "" || r.Severity == schemas.Info || r.Threshold != nil && r.Threshold.Type == threshold.TypeBoth {
			continue
		}
		switch {
		case r.Threshold == nil:
			t.Errorf("%s has no threshold", r.ID)
		case !slices.ContainsFunc(r.Threshold.Track, func(f *schemas.Field) bool { return f.Name == "ethernet.source" }):
			t.Errorf("%s is not limited by its sender", r.ID)
		case r.Threshold.Cap == 0:
			t.Errorf("%s has no cap", r.ID)
		}
	}
}
