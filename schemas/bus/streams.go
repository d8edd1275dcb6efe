package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
)

// StreamConfig bounds the streams that EnsureStreams makes.
type StreamConfig struct {
	EventsInMemory bool          `split_words:"true" default:"false" desc:"keep the events in the server's memory, not on its disk"`
	EventsBytes    int64         `split_words:"true" default:"1073741824" desc:"size of the stream of events, in bytes; the oldest are dropped"`
	EventsAge      time.Duration `split_words:"true" default:"24h" desc:"age at which events are dropped"`
	AlertsBytes    int64         `split_words:"true" default:"1073741824" desc:"size of the stream of alerts, in bytes; the oldest are dropped"`
	AlertsAge      time.Duration `split_words:"true" default:"720h" desc:"age at which alerts are dropped"`
}

// duplicates is how long the server remembers the ids of alerts.
const duplicates = 2 * time.Minute

// EnsureStreams makes the streams ND_EVENTS and ND_ALERTS where they are not
// there yet. One that exists stays as it is: its bounds are its owner's.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, cfg StreamConfig) error {
	events := jetstream.StreamConfig{
		Name:        schemas.StreamEvents,
		Description: "decoded ND frames",
		Subjects:    []string{schemas.SubjectEvents},
		Discard:     jetstream.DiscardOld,
		MaxBytes:    cfg.EventsBytes,
		MaxAge:      cfg.EventsAge,
		Duplicates:  min(duplicates, cfg.EventsAge),
	}
	if cfg.EventsInMemory {
		events.Storage = jetstream.MemoryStorage
	}
	alerts := jetstream.StreamConfig{
		Name:        schemas.StreamAlerts,
		Description: "alerts",
		Subjects:    []string{schemas.SubjectAlerts},
		Discard:     jetstream.DiscardOld,
		MaxBytes:    cfg.AlertsBytes,
		MaxAge:      cfg.AlertsAge,
		Duplicates:  min(duplicates, cfg.AlertsAge),
	}
	for _, c := range []jetstream.StreamConfig{events, alerts} {
		_, err := js.Stream(ctx, c.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = js.CreateStream(ctx, c)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("make stream %s: %w", c.Name, Explain(js, err))
		}
	}
	return nil
}

// Explain returns the error of a request to JetStream. If JetStream is not enabled,
// the error says so, and how to enable it.
func Explain(js jetstream.JetStream, err error) error {
	enabled, _ := js.Conn().ConnectedServerJetStream()
	url := js.Conn().ConnectedUrlRedacted()
	switch {
	case errors.Is(err, nats.ErrNoResponders) && !enabled:
		return fmt.Errorf("JetStream is not enabled on the NATS server at %s (nats-server -js, or jetstream {} in its configuration): %w", url, err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("JetStream is not enabled for this account on the NATS server at %s (jetstream: enabled in the account's configuration): %w", url, err)
	}
	return err
}
