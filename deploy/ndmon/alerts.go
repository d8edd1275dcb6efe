package ndmon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// alertsConfig is the configuration of ndmon alerts, from variables with the
// prefix ALERTS.
type alertsConfig struct {
	Output string `split_words:"true" default:"text" desc:"how alerts are written: text or json"`
}

func (c alertsConfig) Validate() error {
	if c.Output != "text" && c.Output != "json" {
		return fmt.Errorf("ALERTS_OUTPUT: %q is no format, takes text or json", c.Output)
	}
	return nil
}

// alertsCommand writes the fleet's alerts from now on, as a daemon of its own
// that needs the rights of a viewer alone.
func alertsCommand(args []string, stdout, stderr io.Writer) int {
	var cfg alertsConfig
	var nats bus.Config
	return process.Main(process.Program{
		Name:    "ndmon alerts",
		Summary: "writes the alerts of a fleet to standard output, one a line, from now on",
		Prefix:  "ALERTS",
		Config:  &cfg,
		Shared:  &nats,
		Run: func(ctx context.Context, env process.Env) error {
			conn, err := bus.Connect(nats, bus.Options{Name: "ndmon-alerts", Log: env.Log, Registry: env.Registry})
			if err != nil {
				return process.UsageError{Err: err}
			}
			env.Health.Check("NATS", conn.Health)
			format := jsonLine
			if cfg.Output == "text" {
				format = textLine(false)
			}
			t := tail{conn: conn, w: stdout, format: format, log: env.Log, health: env.Health.Part("alerts")}
			err = t.run(ctx)
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDrain)
			defer cancel()
			return errors.Join(err, conn.Drain(drain))
		},
	}, args, stdout, stderr)
}

// tail follows the stream of alerts by asking for one message after the other, so that
// it misses none while NATS is away.
type tail struct {
	conn   *bus.Conn
	w      io.Writer
	format func([]byte) ([]byte, error)
	log    *slog.Logger
	health func(error)

	// next is the sequence number of the next alert, 0 before the stream was
	// seen.
	next uint64
	// strange counts the messages that are no alerts since that was logged.
	strange int
	logged  time.Time
}

// logStrange is how often messages that are no alerts are logged.
const logStrange = 30 * time.Second

// tailInterval is how often the stream is looked at when nothing is heard of.
const tailInterval = time.Second

func (t *tail) run(ctx context.Context) error {
	// An alert is heard of when it is published, which may be before it is
	// stored: then it is found at the next look.
	heard := make(chan struct{}, 1)
	if _, err := t.conn.Subscribe(schemas.SubjectAlerts, func(string, []byte) {
		select {
		case heard <- struct{}{}:
		default:
		}
	}); err != nil {
		return err
	}
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		if t.conn.Connected() {
			err := t.catchUp(ctx)
			var failed writeError
			if errors.As(err, &failed) {
				return err
			}
			t.health(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-heard:
		case <-tick.C:
		}
	}
}

// writeError is an error of the output, which ends the tail; others pass.
type writeError struct{ error }

// catchUp writes what was stored since the last time.
func (t *tail) catchUp(ctx context.Context) error {
	stream, err := t.conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		t.next = 1 // it is made later, and all of it is new
		return fmt.Errorf("nd-ruled has not made the stream %s yet", schemas.StreamAlerts)
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, bus.Explain(t.conn.JetStream(), err))
	}
	state := stream.CachedInfo().State
	switch {
	case t.next == 0:
		t.next = state.LastSeq + 1
	case t.next > state.LastSeq+1:
		t.log.Warn("the stream of alerts was deleted and made again: it is read from its start", "stream", schemas.StreamAlerts)
		t.next = 1
	case t.next < state.FirstSeq:
		t.log.Warn("alerts were dropped unread", "stream", schemas.StreamAlerts, "alerts", state.FirstSeq-t.next)
		t.next = state.FirstSeq
	}
	for t.next <= state.LastSeq {
		// The next that is there: some may have been deleted.
		msg, err := stream.GetMsg(ctx, t.next, jetstream.WithGetMsgSubject(schemas.SubjectAlerts))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			t.next = state.LastSeq + 1
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		t.next = msg.Sequence + 1
		if err := t.write(msg.Data); err != nil {
			return err
		}
	}
	return nil
}

// write writes one message, if it is an alert.
func (t *tail) write(message []byte) error {
	err := checkType(message)
	var line []byte
	if err == nil {
		line, err = t.format(message)
	}
	if err != nil {
		if t.strange++; time.Since(t.logged) > logStrange {
			t.logged = time.Now()
			t.log.Warn("messages on the subject of alerts are none", "messages", t.strange, "last", err)
			t.strange = 0
		}
		return nil
	}
	if _, err := t.w.Write(line); err != nil {
		return writeError{fmt.Errorf("write alert: %w", err)}
	}
	return nil
}
