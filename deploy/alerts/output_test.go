package alerts

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
			server := bustest.Start(t, t.TempDir(), -1)
			nc, err := nats.Connect(server.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			config := bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour}
			if _, err := bus.EnsureStreams(t.Context(), js, config); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "written")
			start := func() (*Output, *bytes.Buffer) {
				var out bytes.Buffer
				o := NewOutput(&out, JSONLine, slog.New(slog.DiscardHandler))
				stop, err := o.Resume(t.Context(), js, path)
				if err != nil {
					t.Fatal(err)
				}
				stop() // the tests do not wait for the first alert
				return o, &out
			}
			alert := func(id string) []byte { return fmt.Appendf(nil, `{"id":%q}`, id) }
			o, _ := start()
			for _, w := range test.written {
				o.Write(alert(w.id), w.id, w.after)
			}
			for _, id := range strings.Split(test.stored, "") {
				if _, err := js.Publish(t.Context(), schemas.SubjectAlerts, alert(id), jetstream.WithMsgID(id)); err != nil {
					t.Fatal(err)
				}
			}
			o, out := start() // the one before was killed
			o.Write(alert("new"), "new", 0)
			want := string(alert("new")) + "\n"
			for _, id := range strings.Split(test.missed, "") {
				want += string(alert(id)) + "\n"
			}
			if out.String() != want {
				t.Errorf("wrote\n%swant\n%s", out, want)
			}
			if _, out := start(); out.Len() > 0 {
				t.Errorf("wrote again: %s", out)
			}
		})
	}
}
