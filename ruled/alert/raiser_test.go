package alert

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/bus/bustest"
	"github.com/prometheus/client_golang/prometheus"
)

// An alert names a place in the stream that is before itself, also when it is stored while it is published. A program
// that goes on at that place then finds the alert, and those that were stored after it.
func TestAlertNamesAPlaceBeforeItself(t *testing.T) {
	conn, err := bus.Connect(bus.Config{URL: bustest.Start(t, t.TempDir(), -1).ClientURL()}, bus.Options{
		Name: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	check(t, err)
	t.Cleanup(conn.NATS().Close)
	_, err = bus.EnsureStreams(t.Context(), conn.JetStream(), bus.StreamConfig{NoEvents: true, AlertsBytes: 1 << 20, AlertsAge: time.Hour})
	check(t, err)
	m, err := metrics.New(prometheus.NewRegistry())
	check(t, err)

	var r *Raiser
	var places []uint64
	var acknowledged uint64 // the number of an alert that is acknowledged while it is published
	r = New(Config{
		Log: slog.New(slog.DiscardHandler), Metrics: m, Conn: conn, Buffer: 1 << 20,
		Lossless: true, Receive: func(_ []byte, _ string, after uint64) { places = append(places, after) },
		Room: func() error {
			r.last.Store(max(acknowledged, r.last.Load()))
			return nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	raise := func(id string) {
		check(t, r.Raise(ctx, Alert{Event: &schemas.Event{ID: id}, Data: []byte("{}"), Rule: "rule", Severity: schemas.Info, Count: 1}))
		check(t, r.Flush(ctx))
	}
	raise("e1")
	acknowledged = 2
	raise("e2")
	cancel()
	<-ended
	if !slices.Equal(places, []uint64{0, 1}) {
		t.Errorf("the alerts are after the places %v, want 0 and 1", places)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
