package alerts

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

func TestTextLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 5, 9, 24, 123456789, time.Local)
	data := (&schemas.Alert{
		Type: schemas.TypeAlert, Time: at, Severity: schemas.Critical, Host: "r1", Interface: "eth0\x1b[2J", Rule: "rogue-ra", Description: "a rogue\nrouter", Summary: "RA fe80::1 > ff02::1",
	}).AppendJSON(nil)
	line, err := TextLine(false)(data)
	if err != nil {
		t.Fatal(err)
	}
	want := "2026-11-22 05:09:24.123  critical  r1/eth0?[2J  rogue-ra  a rogue?router: RA fe80::1 > ff02::1\n"
	if string(line) != want {
		t.Errorf("got  %q\nwant %q", line, want)
	}
	line, err = TextLine(true)(data)
	if err != nil || !strings.Contains(string(line), "\x1b[1;31mcritical\x1b[0m") {
		t.Errorf("in colour: %q, %v", line, err)
	}
}

// An alert about a sensor has no interface.
func TestTextLineOfSensor(t *testing.T) {
	line, err := TextLine(false)([]byte(`{"time":"2026-11-22T05:09:24Z","severity":"info","host":"r1","interface":"","rule":"sensor-back"}`))
	if err != nil || !strings.Contains(string(line), "  r1  sensor-back  ") {
		t.Errorf("%q, %v", line, err)
	}
}

// Alerts of foreign writers are one per line too.
func TestJSONLine(t *testing.T) {
	line, err := JSONLine([]byte("{\n \"a\": \"<x>\"\n}"))
	if err != nil || string(line) != "{\"a\":\"<x>\"}\n" {
		t.Errorf("got %q, %v", line, err)
	}
	for _, format := range []Format{JSONLine, TextLine(false)} {
		if line, err := format([]byte("garbage")); err == nil {
			t.Errorf("garbage became %q", line)
		}
	}
}

// What it writes is tested with the lab, in package compose.
func TestBadOutput(t *testing.T) {
	t.Setenv("ALERTS_OUTPUT", "xml")
	var out, err bytes.Buffer
	status := process.Execute(Command(noReceivers{}), nil, &out, &err)
	if want := "alerts: ALERTS_OUTPUT: \"xml\" is not a format: use text or json\n"; status != process.ExitUsage || err.String() != want {
		t.Errorf("status %d, %q, want %q", status, err.String(), want)
	}
}

// noReceivers are the receivers of a command that writes to standard output.
type noReceivers struct{}

func (noReceivers) Define(*cobra.Command) {}
func (noReceivers) Check() (bool, error)  { return false, nil }
func (noReceivers) Run(context.Context, *bus.Conn, Filter, process.Env) error {
	return errors.New("there are no receivers")
}
