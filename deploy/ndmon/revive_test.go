package ndmon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas/bus"
)

// JetStream that has stopped, or no longer stores, is restarted with the messages on the
// disk.
func TestReviver(t *testing.T) {
	s, err := startServer(Config{Data: t.TempDir()}, limitsFor(0), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	_, js := connectTo(t, s, key(t, s), nats.InProcessServer(s))
	// One stream is on the disk, and one in memory, which a restart loses.
	kept, lost := jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}, jetstream.StreamConfig{Name: "LOST", Storage: jetstream.MemoryStorage}
	for _, c := range []jetstream.StreamConfig{kept, lost} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	started := func() bool {
		t.Helper()
		_, err := js.Stream(t.Context(), lost.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = js.CreateStream(t.Context(), lost)
			if err == nil {
				return true
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	health := error(nil)
	var log strings.Builder
	r := newReviver(s, func() error { return health }, slog.New(slog.NewTextHandler(&log, nil)))
	check := func(want bool) {
		t.Helper()
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		if got := started(); got != want {
			t.Errorf("JetStream was restarted: %v, want %v", got, want)
		}
		if _, err := js.Publish(t.Context(), "kept", nil); err != nil {
			t.Error(err)
		}
	}
	check(false)
	health = errors.New("the disk is full") // which passes
	for range 2 * maxUnanswered {
		check(false)
	}
	health = fmt.Errorf("stuck: %w", bus.ErrNoAnswer)
	for range maxUnanswered - 1 {
		check(false)
	}
	check(true)
	check(false)
	health = nil
	if err := s.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	check(true)
	stream, err := js.Stream(t.Context(), kept.Name)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 2*maxUnanswered+maxUnanswered+3 {
		t.Errorf("%d messages are kept", n)
	}
	if n := strings.Count(log.String(), "restarted JetStream"); n != 2 {
		t.Errorf("log: %s", log.String())
	}
}
