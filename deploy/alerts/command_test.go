package alerts

import (
	"bytes"
	"testing"

	"github.com/ndmon/ndmon/schemas/process"
)

// What it writes is tested with the lab, in package compose.
func TestBadOutput(t *testing.T) {
	t.Setenv("ALERTS_OUTPUT", "xml")
	var out, err bytes.Buffer
	status := process.Execute(Command(), nil, &out, &err)
	if want := "alerts: ALERTS_OUTPUT: \"xml\" is not a format: use text or json\n"; status != process.ExitUsage || err.String() != want {
		t.Errorf("status %d, %q, want %q", status, err.String(), want)
	}
}
