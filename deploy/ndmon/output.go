package ndmon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// output writes the alerts that are stored from now on to w, one a line.
type output struct {
	w io.Writer
	// host is the one whose alerts are written; empty for all.
	host    string
	format  func(alert []byte) ([]byte, error)
	log     *slog.Logger
	reading jetstream.ConsumeContext
	failed  chan error

	// written is the stream's sequence number of the newest alert that was
	// written; a value is always in it.
	written chan uint64
}

// startOutput begins behind the newest alert that is stored now.
func startOutput(ctx context.Context, conn *bus.Conn, w io.Writer, host string, format func([]byte) ([]byte, error), log *slog.Logger) (*output, error) {
	stream, err := conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	last := stream.CachedInfo().State.LastSeq
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   last + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
	}
	o := &output{w: w, host: host, format: format, log: log, failed: make(chan error, 1), written: make(chan uint64, 1)}
	o.written <- last
	o.reading, err = consumer.Consume(o.write, jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
	}
	return o, nil
}

func (o *output) write(msg jetstream.Msg) {
	line, err := o.line(msg.Data())
	if err != nil {
		o.log.Warn("message on the subject of alerts is none", "error", err)
	} else if _, err := o.w.Write(line); err != nil {
		select {
		case o.failed <- fmt.Errorf("write alert: %w", err):
		default:
		}
	}
	if meta, err := msg.Metadata(); err == nil {
		<-o.written
		o.written <- meta.Sequence.Stream
	}
}

// line is empty for an alert of another host.
func (o *output) line(alert []byte) ([]byte, error) {
	if o.host != "" {
		var of struct{ Host string }
		if err := json.Unmarshal(alert, &of); err != nil || of.Host != o.host {
			return nil, err
		}
	}
	return o.format(alert)
}

// drain waits until every alert that is stored now was written.
func (o *output) drain(ctx context.Context, conn *bus.Conn) error {
	stream, err := conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	last := stream.CachedInfo().State.LastSeq
	return until(ctx, func() (bool, error) {
		written := <-o.written
		o.written <- written
		return written >= last, nil
	})
}

func (o *output) stop() {
	o.reading.Stop()
	<-o.reading.Closed()
}

// until asks again and again until done, at most 200 times a second.
func until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// jsonLine is the alert as it is, on one line whoever wrote it.
func jsonLine(alert []byte) ([]byte, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, alert); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// textLine returns a format for a person's eyes: time, severity, host/interface
// or the host alone, rule, what that means, and what happened; with colour for a
// terminal.
func textLine(colour bool) func([]byte) ([]byte, error) {
	colours := map[schemas.Severity]string{schemas.Info: "\x1b[36m", schemas.Warning: "\x1b[33m", schemas.Critical: "\x1b[1;31m"}
	return func(data []byte) ([]byte, error) {
		var a schemas.Alert
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, err
		}
		severity := fmt.Sprintf("%-8s", printable(string(a.Severity)))
		if colour {
			severity = colours[a.Severity] + severity + "\x1b[0m"
		}
		what := a.Summary
		if a.Description != "" {
			what = a.Description + ": " + what
		}
		where := a.Host
		if a.Interface != "" {
			where += "/" + a.Interface
		}
		return fmt.Appendf(nil, "%s  %s  %s  %s  %s\n", a.Time.Local().Format("2006-01-02 15:04:05.000"), severity,
			printable(where), printable(a.Rule), printable(what)), nil
	}
}

// printable keeps a hostile name from writing on the terminal what it likes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
