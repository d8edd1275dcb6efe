package ndmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ndmon/ndmon/schemas/bus"
)

// reviver restarts JetStream of the embedded server after its disk was full. Until then the
// server has stopped JetStream, or rejects each message of a stream.
type reviver struct {
	server *natsServer
	// stored is bus.Publisher.Health of the alerts.
	stored func() error
	log    *slog.Logger
	config server.JetStreamConfig
	// unanswered counts the checks in succession in which the server did not answer.
	unanswered int
}

const (
	reviveInterval = 5 * time.Second
	// maxUnanswered is the number of checks after which JetStream is restarted.
	maxUnanswered = 3
)

func newReviver(s *natsServer, stored func() error, log *slog.Logger) *reviver {
	config := *s.JetStreamConfig()
	config.StoreDir = s.dir // to which the server adds its own directory
	return &reviver{server: s, stored: stored, log: log, config: config}
}

// run checks the server until the context ends.
func (r *reviver) run(ctx context.Context) {
	ticker := time.NewTicker(reviveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.check(); err != nil {
			r.log.Error("the NATS server does not store", "error", err)
		}
	}
}

// check restarts JetStream if it has stopped or does not answer, and the disk has room.
func (r *reviver) check() error {
	enabled := r.server.JetStreamEnabled()
	if enabled && errors.Is(r.stored(), bus.ErrNoAnswer) {
		r.unanswered++
	} else {
		r.unanswered = 0
	}
	if enabled && r.unanswered < maxUnanswered {
		return nil
	}
	if err := r.server.room(); err != nil {
		return err
	}
	r.unanswered = 0
	if enabled {
		if err := r.server.DisableJetStream(); err != nil {
			return fmt.Errorf("stop JetStream: %w", err)
		}
	}
	config := r.config
	if err := r.server.EnableJetStream(&config); err != nil {
		return fmt.Errorf("start JetStream again: %w", err)
	}
	r.log.Warn("restarted JetStream, which had stopped storing; events that were not evaluated are lost")
	return nil
}
