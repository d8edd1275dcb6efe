// Package corpus has events of real frames for the tests: what the tools and kernels named
// in the member interface put on a link, decoded.
package corpus

import (
	"bytes"
	_ "embed"
	"testing"

	"github.com/ndmon/ndmon/schemas"
)

//go:embed events.jsonl
var lines []byte

// Events returns all events, for the test to change.
func Events(t testing.TB) []*schemas.Event {
	t.Helper()
	var events []*schemas.Event
	for line := range bytes.Lines(lines) {
		events = append(events, Parse(t, line))
	}
	return events
}

// Event returns the event with an id, which is CAPTURE#FRAME, for the test to change.
func Event(t testing.TB, id string) *schemas.Event {
	t.Helper()
	for _, e := range Events(t) {
		if e.ID == id {
			return e
		}
	}
	t.Fatalf("no event %s", id)
	return nil
}

// Parse reads an event.
func Parse(t testing.TB, data []byte) *schemas.Event {
	t.Helper()
	e := &schemas.Event{}
	if err := e.ParseJSON(data); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return e
}
