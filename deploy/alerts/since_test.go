package alerts

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// A reader begins with the first alert that was stored at a time, also where alerts were deleted, and goes on with those that come.
func TestReadSince(t *testing.T) {
	s := startStored(t)
	s.store("a", "b", "c", "d", "e")
	stream, err := s.js.Stream(t.Context(), schemas.StreamAlerts)
	if err != nil {
		t.Fatal(err)
	}
	message := func(seq uint64) *jetstream.RawStreamMsg {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	times := []time.Time{message(1).Time, message(2).Time, message(3).Time, message(4).Time, message(5).Time}
	if err := stream.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		since time.Time
		want  string
	}{
		{time.Time{}, ""},
		{times[0].Add(-time.Hour), "abde"},
		{times[1], "bde"},
		{times[2], "de"},
		{times[4], "e"},
		{times[4].Add(time.Hour), ""},
	} {
		var got strings.Builder
		r := reader{log: slog.New(slog.DiscardHandler), since: test.since}
		if err := r.read(t.Context(), s.js, func(m *jetstream.RawStreamMsg) error {
			got.WriteString(strings.NewReplacer(`{"id":"`, "", `"}`, "").Replace(string(m.Data)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got.String()); diff != "" || r.next != 6 {
			t.Errorf("since %v, then %d (-want +got):\n%s", test.since, r.next, diff)
		}
	}
}
