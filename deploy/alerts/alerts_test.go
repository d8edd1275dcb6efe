package alerts

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ndmon/ndmon/deploy/pages"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// The text of alerts, on a wide terminal, on one of 80 columns, and with details. No line is longer than the terminal.
func TestText(t *testing.T) {
	data, err := os.ReadFile("testdata/alerts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text    Text
		columns int
	}{
		"wide.txt":    {Text{}, 200},
		"narrow.txt":  {Text{}, 80},
		"verbose.txt": {Text{Verbose: true}, 80},
	} {
		test.text.Zone = time.UTC
		test.text.Columns = func() int { return test.columns }
		format := test.text.Format()
		var out strings.Builder
		for alert := range strings.Lines(string(data)) {
			lines, err := format([]byte(alert))
			if err != nil {
				t.Fatal(err)
			}
			out.Write(lines)
		}
		pages.Golden(t, "testdata/"+name, out.String())
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > min(test.columns, maxColumns) {
				t.Errorf("%s: a line has %d columns: %s", name, n, line)
			}
		}
	}
}

func TestTextInColour(t *testing.T) {
	line, err := Text{Colour: true, Zone: time.UTC}.Format()([]byte(`{"time":"2026-11-22T05:09:24Z","severity":"critical","host":"critical","rule":"sensor-lost"}`))
	if want := "05:09:24 \x1b[1;31mcritical\x1b[0m critical  sensor-lost"; err != nil || !strings.Contains(string(line), want) {
		t.Errorf("%q, %v", line, err)
	}
}

// Alerts of foreign writers are one per line too.
func TestJSONLine(t *testing.T) {
	line, err := JSONLine([]byte("{\n \"a\": \"<x>\"\n}"))
	if err != nil || string(line) != "{\"a\":\"<x>\"}\n" {
		t.Errorf("got %q, %v", line, err)
	}
	for _, format := range []Format{JSONLine, Text{}.Format()} {
		if line, err := format([]byte("garbage")); err == nil {
			t.Errorf("garbage became %q", line)
		}
	}
}

// What it writes is tested with the lab, in package compose.
func TestBadOutput(t *testing.T) {
	t.Setenv("ALERTS_OUTPUT", "xml")
	var out, err bytes.Buffer
	status := process.Execute(Command(receivers(false)), nil, &out, &err)
	if want := "alerts: ALERTS_OUTPUT: \"xml\" is not a format: use text or json\n"; status != process.ExitUsage || err.String() != want {
		t.Errorf("status %d, %q, want %q", status, err.String(), want)
	}
}

// receivers says whether a command has receivers.
type receivers bool

func (receivers) Define(*cobra.Command)  {}
func (r receivers) Check() (bool, error) { return bool(r), nil }
func (receivers) Run(context.Context, *bus.Conn, Filter, process.Env) error {
	return errors.New("there are no receivers")
}
