package alerts

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
)

// An alert that was stored and not written before a kill is written by the next process, and no other again.
func TestResume(t *testing.T) {
	type written struct {
		id    string
		after uint64 // of the stored ones, which are a, b, c, d
	}
	for _, test := range []struct {
		name    string
		written []written
		stored  string
		missed  string // an id in each line
	}{
		{"nothing was written", nil, "abcd", "abcd"},
		{"all were written and known as stored", []written{{"a", 0}, {"b", 1}, {"c", 2}, {"d", 3}}, "abcd", ""},
		{"the newest were stored and not written", []written{{"a", 0}, {"b", 0}}, "abcd", "cd"},
		{"the newest was written and not stored", []written{{"a", 0}, {"b", 1}, {"c", 1}}, "ab", ""},
		{"nothing was stored", []written{{"a", 0}, {"b", 0}}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startStored(t)
			o := s.resume(io.Discard)
			for _, w := range test.written {
				o.Write(line(w.id), w.id, w.after)
			}
			s.store(strings.Split(test.stored, "")...)
			var out, again bytes.Buffer
			o = s.resume(&out) // the one before was killed
			o.Write(line("new"), "new", 0)
			if diff := cmp.Diff("new"+test.missed, ids(&out)); diff != "" {
				t.Errorf("wrote (-want +got):\n%s", diff)
			}
			s.resume(&again)
			if again.Len() > 0 {
				t.Errorf("wrote again: %s", &again)
			}
		})
	}
}

// A process that is killed behind a line and before its note loses no alert: the next one writes
// again that line, and of a process that was writing missed alerts also the first one.
func TestKilledBeforeNote(t *testing.T) {
	for _, test := range []struct {
		name  string
		known uint64 // the newest alert that was written and stored before
		lines int    // that are written until the kill
		first string // the lines of the process that is killed
		next  string // those of the next one
	}{
		{"in the only line", 2, 1, "c", "dc"},
		{"in the first of three", 0, 1, "c", "dabc"},
		{"in the second of three", 0, 2, "ca", "dabc"},
		{"in the third of three", 0, 3, "cab", "dbc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startStored(t)
			s.store("a", "b")
			s.resume(io.Discard).note(test.known, "")
			killed := &killed{left: test.lines}
			o := s.resume(killed)
			s.store("c")
			done := make(chan struct{})
			go func() {
				defer close(done)
				o.Write(line("c"), "c", 0)
			}()
			<-done
			var out bytes.Buffer
			s.resume(&out).Write(line("d"), "d", 0)
			if diff := cmp.Diff([]string{test.first, test.next}, []string{ids(&killed.Buffer), ids(&out)}); diff != "" {
				t.Errorf("wrote (-want +got):\n%s", diff)
			}
		})
	}
}

// killed is a standard output. Behind the last line that is left, its writer does nothing more.
type killed struct {
	bytes.Buffer
	left int
}

func (k *killed) Write(line []byte) (int, error) {
	n, err := k.Buffer.Write(line)
	if k.left--; k.left == 0 {
		runtime.Goexit()
	}
	return n, err
}

func line(id string) []byte { return fmt.Appendf(nil, `{"id":%q}`, id) }

// ids returns the ids in lines.
func ids(lines *bytes.Buffer) string {
	return strings.NewReplacer(`{"id":"`, "", "\"}\n", "").Replace(lines.String())
}

// stored is the stream of alerts, and a file with the position of who writes them.
type stored struct {
	t    *testing.T
	js   jetstream.JetStream
	path string
}

func startStored(t *testing.T) stored {
	server := bustest.Start(t, t.TempDir(), -1)
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour}
	if _, err := bus.EnsureStreams(t.Context(), js, config); err != nil {
		t.Fatal(err)
	}
	return stored{t, js, filepath.Join(t.TempDir(), "written")}
}

// resume starts an Output that goes on behind the one before.
func (s stored) resume(w io.Writer) *Output {
	s.t.Helper()
	o := NewOutput(w, JSONLine, slog.New(slog.DiscardHandler))
	stop, err := o.Resume(s.t.Context(), s.js, s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	stop() // the tests do not wait for the first alert
	return o
}

func (s stored) store(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		if _, err := s.js.Publish(s.t.Context(), schemas.SubjectAlerts, line(id), jetstream.WithMsgID(id)); err != nil {
			s.t.Fatal(err)
		}
	}
}
