package alerts

import (
	"bytes"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
)

func TestFilter(t *testing.T) {
	at := time.Date(2026, 11, 22, 5, 9, 24, 0, time.UTC)
	a := schemas.Alert{Time: at, Severity: schemas.Warning, Rule: "rogue-ra", Host: "r1.example"}
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
		{Filter{Since: at}, true},
		{Filter{Since: at.Add(time.Second)}, false},
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
		{"--since", "noon"}:   "alerts: --since: \"noon\" is not a time: use 2026-11-17T10:00:00Z, '2026-11-17 10:00' in local time, or 36h for so long ago\n",
		{"--output", "xml"}:   "alerts: --output: \"xml\" is not a format: use text or json\n",
		{"--host", "[r"}:      "alerts: --host: \"[r\" is not a glob: a bracket is not closed or empty, a range has no end, or a backslash ends it\n",
	} {
		var out, err bytes.Buffer
		if status := process.Execute(Command(receivers(false)), args[:], &out, &err); status != process.ExitUsage || err.String() != want {
			t.Errorf("%v: status %d, %q, want %q", args, status, err.String(), want)
		}
	}
}

// What is for standard output is refused where alerts go to receivers.
func TestReceiversExclude(t *testing.T) {
	for _, option := range []string{"--since=1h", "--output=json", "--verbose"} {
		var out, err bytes.Buffer
		want := "alerts: --to: excludes --since, --output and --verbose, which are for standard output\n"
		if status := process.Execute(Command(receivers(true)), []string{option}, &out, &err); status != process.ExitUsage || err.String() != want {
			t.Errorf("%s: status %d, %q, want %q", option, status, err.String(), want)
		}
	}
}
