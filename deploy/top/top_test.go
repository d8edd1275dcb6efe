package top

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/ndmon/ndmon/schemas/process"
)

// What is shown of two counts of frames and of alerts, with all rows and with the 24 of a small terminal.
func TestView(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)
	var s state
	status := func(frames uint64, now time.Time) {
		s.status([]fleet.Row{
			{Host: "r1", Part: "nd-sensor", DaemonStatus: &schemas.DaemonStatus{Host: "r1", Lost: 3, Frames: []schemas.InterfaceFrames{{Interface: "eth0", Frames: frames}, {Interface: "eth\x1b1", Frames: 7}}}},
			{Host: "r2", Part: "nd-sensor", State: "silent", Amiss: []string{"silent since noon"}},
		}, now)
		s.now = now
	}
	status(100, at)
	for _, a := range []schemas.Alert{
		{Time: at.Add(-time.Hour), Severity: schemas.Critical, Host: "r1", Interface: "eth0", Rule: "old"},
		{Time: at.Add(-time.Minute), Severity: schemas.Critical, Host: "r1", Interface: "eth0", Rule: "rogue-ra", Description: "a rogue router", ID: "a"},
		{Time: at, Severity: schemas.Info, Host: "r1", Interface: "eth0", Rule: "new-station", Description: "New station", ID: "b"},
		{Time: at, Severity: schemas.Warning, Host: "r2", Rule: "sensor-lost", Description: "silent", ID: "c"},
	} {
		a.Type, a.Event = schemas.TypeAlert, []byte("{}")
		s.alert(&a, a.AppendJSON(nil))
	}
	status(125, at.Add(2*time.Second))
	s.expire()
	want := `ndmon top  12:00:02  daemons: 2, not well: 1; frames lost since their start: 3
alerts of the last 10 minutes: 1 critical, 1 warning, 1 info
! nd-sensor of r2: silent since noon

LINK                             FRAMES/S  CRITICAL  WARNING   INFO
r1/eth0                              12.5         1        0      1
r2                                      -         0        1      0
r1/eth?1                              0.0         0        0      0

RULE                               ALERTS  SEVERITY     LAST LINK
new-station                             1      info 12:00:00 r1/eth0
sensor-lost                             1   warning 12:00:00 r2
rogue-ra                                1  critical 11:59:00 r1/eth0

2026-11-26
11:59:00 critical r1/eth0  rogue-ra  a rogue router
12:00:00 info     r1/eth0  new-station  New station
12:00:00 warning  r2  sensor-lost  silent`
	if diff := cmp.Diff(want, strings.Join(s.view(80, 0, false), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range 100 {
		a := schemas.Alert{Type: schemas.TypeAlert, Time: at, Severity: schemas.Info, Host: "r1", Interface: "eth0", Rule: strings.Repeat("x", len(s.alerts)), Event: []byte("{}")}
		s.alert(&a, a.AppendJSON(nil))
	}
	lines := s.view(80, 24, false)
	if len(lines) != 24 || !strings.Contains(strings.Join(lines, "\n"), "… and 97 more") {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
}

// Without daemons there is nothing to show.
func TestNoDaemons(t *testing.T) {
	t.Setenv("NATS_URL", bustest.Start(t, t.TempDir(), -1).ClientURL())
	for args, want := range map[string]struct {
		status int
		errs   string
	}{
		"":               {process.ExitFailure, "no daemon of ndmon is connected to it"},
		"--severity bad": {process.ExitUsage, "--severity"},
		"--count -1":     {process.ExitUsage, "--count: must not be below 0"},
	} {
		var out, errs bytes.Buffer
		status := process.Execute(Command(), strings.Fields(args), &out, &errs)
		if status != want.status || !strings.Contains(errs.String(), want.errs) {
			t.Errorf("%s: exit status %d, %q in %s", args, status, &errs, os.Getenv("NATS_URL"))
		}
	}
}
