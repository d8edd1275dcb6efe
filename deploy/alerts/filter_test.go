package alerts

import (
	"bytes"
	"testing"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
)

func TestFilter(t *testing.T) {
	a := schemas.Alert{Severity: schemas.Warning, Rule: "rogue-ra", Host: "r1.example"}
	for _, tc := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true},
		{Filter{Severity: schemas.Info}, true},
		{Filter{Severity: schemas.Warning}, true},
		{Filter{Severity: schemas.Critical}, false},
		{Filter{Rules: []string{"dad-*", "rogue-*"}}, true},
		{Filter{Rules: []string{"dad-*"}}, false},
		{Filter{Hosts: []string{"r?.*"}, Rules: []string{"rogue-ra"}}, true},
		{Filter{Hosts: []string{"r2.*"}, Rules: []string{"rogue-ra"}}, false},
	} {
		if got := tc.filter.Match(&a); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.filter, got, tc.want)
		}
	}
	if f := (Filter{Severity: schemas.Critical}); !f.Match(&schemas.Alert{Severity: "fatal"}) {
		t.Error("an unknown severity is filtered out")
	}
}

func TestBadFilter(t *testing.T) {
	for args, want := range map[[2]string]string{
		{"--severity", "bad"}: "alerts: --severity: \"bad\" is not a severity: use info, warning or critical\n",
		{"--host", "[r"}:      "alerts: --host: \"[r\" is not a glob: a bracket is not closed or empty, a range has no end, or a backslash ends it\n",
	} {
		var out, err bytes.Buffer
		if status := process.Execute(Command(noReceivers{}), args[:], &out, &err); status != process.ExitUsage || err.String() != want {
			t.Errorf("%v: status %d, %q, want %q", args, status, err.String(), want)
		}
	}
}
