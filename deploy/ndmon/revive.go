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

// reviver has the embedded server store again after its disk was full: it has stopped
// JetStream then, or fails each message of a stream, until it is started again.
type reviver struct {
	server *natsServer
	// stored is Publisher.Health of the alerts.
	stored func() error
	log    *slog.Logger
	config server.JetStreamConfig
	// stuck is how often in turn the server was found not to answer.
	stuck int
}

const (
	reviveInterval = 5 * time.Second
	// stuckLooks is how often in turn the server may be found not to answer.
	stuckLooks = 3
)

func newReviver(s *natsServer, stored func() error, log *slog.Logger) *reviver {
	config := *s.JetStreamConfig()
	config.StoreDir = s.dir // to which the server adds its own folder
	return &reviver{server: s, stored: stored, log: log, config: config}
}

// run looks after the server until the context ends.
func (r *reviver) run(ctx context.Context) {
	ticker := time.NewTicker(reviveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.look(); err != nil {
			r.log.Error("the NATS server does not store", "error", err)
		}
	}
}

// look starts JetStream again if it has stopped, or does not answer, and the disk has
// room.
func (r *reviver) look() error {
	enabled := r.server.JetStreamEnabled()
	if enabled && errors.Is(r.stored(), bus.ErrNoAnswer) {
		r.stuck++
	} else {
		r.stuck = 0
	}
	if enabled && r.stuck < stuckLooks {
		return nil
	}
	if err := r.server.room(); err != nil {
		return err
	}
	r.stuck = 0
	if enabled {
		if err := r.server.DisableJetStream(); err != nil {
			return fmt.Errorf("stop JetStream: %w", err)
		}
	}
	config := r.config
	if err := r.server.EnableJetStream(&config); err != nil {
		return fmt.Errorf("start JetStream again: %w", err)
	}
	r.log.Warn("started JetStream again, which had stopped storing; events that were not evaluated yet are lost")
	return nil
}
