package message

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/schemas"
)

// FuzzBatch reads any message on any subject. What is an event comes from the host and the interface that the
// subject names, has an id that fits into a header, and is the same when it is written and read again.
func FuzzBatch(f *testing.F) {
	var batch []byte
	for n, e := range corpus.Events(f)[:8] {
		line := e.AppendJSON(nil)
		batch = append(append(batch, line...), '\n')
		f.Add(schemas.BatchSubject(e.Host, e.Interface), line)
		f.Add(schemas.EventSubject(e.Host, e.Interface, e.Kind()), line)
		if n%2 == 1 {
			f.Add(schemas.BatchSubject(e.Host, e.Interface), batch)
		}
	}
	for _, data := range []string{"", "\n", "\n\n\n", "{}\r\n{}\r\n", "{", "[]\n{}", strings.Repeat("\n", 1000), strings.Repeat("[", 1000)} {
		f.Add("nd.batches.r1.eth0", []byte(data))
	}
	for _, subject := range []string{"", "nd.batches", "nd.batches.", "nd.batches..", "nd.batches.=.=", "nd.batches.=58.y", "nd.batches.a.b.c", "nd.events.a.b", "nd.events.a.b.", "other.a.b"} {
		f.Add(subject, batch)
	}
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		r, again := NewReader(), NewReader()
		lines := 0
		for line := range Lines(data) {
			if lines++; r.Read(subject, line) != nil {
				continue
			}
			e := &r.Event
			if !strings.HasPrefix(subject+".", schemas.BatchSubject(e.Host, e.Interface)+".") && subject != schemas.EventSubject(e.Host, e.Interface, e.Kind()) {
				t.Errorf("event of %s/%s on %s", e.Host, e.Interface, subject)
			}
			if e.Link != nil || len(e.ID) == 0 || len(e.ID) > maxID || strings.ContainsAny(e.ID, " \r\n") {
				t.Errorf("read %s", line)
			}
			written := e.AppendJSON(nil)
			if err := again.Read(subject, written); err != nil || !bytes.Equal(again.Event.AppendJSON(nil), written) {
				t.Errorf("%v: %s is not read again", err, written)
			}
		}
		if want := bytes.Count(data, newline); lines != want && lines != want+1 {
			t.Errorf("%d lines of %d", lines, want)
		}
	})
}
