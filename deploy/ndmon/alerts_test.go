package ndmon

import (
	"bytes"
	"testing"

	"github.com/ndmon/ndmon/schemas/process"
)

// What it writes is tested with the lab, in package compose.
func TestAlertsBadOutput(t *testing.T) {
	t.Setenv("ALERTS_OUTPUT", "xml")
	var out, err bytes.Buffer
	status := Subcommands()["alerts"](nil, &out, &err)
	if want := "ndmon alerts: ALERTS_OUTPUT: \"xml\" is no format, takes text or json\n"; status != process.ExitUsage || err.String() != want {
		t.Errorf("status %d, %q, want %q", status, err.String(), want)
	}
}
