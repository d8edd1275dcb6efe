package ndmon

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// output writes the alerts of this process to w, one a line.
type output struct {
	w      io.Writer
	format func(alert []byte) ([]byte, error)
	log    *slog.Logger
	failed chan error

	mu sync.Mutex
	// place, if set, is a file with the sequence number of the newest alert that was
	// written, so that the next run goes on behind it when this one is killed.
	place *os.File
	// missed are alerts that the run before was killed before it wrote, up to the one
	// with the sequence number behind.
	missed [][]byte
	behind uint64
}

// missedAfter is how long the first alert of this run is waited for: it says that the
// host was not watched, which is to be read before what was left from the run before.
const missedAfter = 2 * time.Second

func newOutput(w io.Writer, format func([]byte) ([]byte, error), log *slog.Logger) *output {
	return &output{w: w, format: format, log: log, failed: make(chan error, 1)}
}

// write writes an alert with its sequence number in the stream, 0 if it has none.
func (o *output) write(alert []byte, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line(alert)
	o.catchUp()
	if seq > 0 {
		o.note(seq)
	}
}

// line writes one alert.
func (o *output) line(alert []byte) {
	line, err := o.format(alert)
	if err != nil {
		o.log.Error("an alert cannot be written", "error", err)
		return
	}
	if _, err := o.w.Write(line); err != nil {
		select {
		case o.failed <- fmt.Errorf("write alert: %w", err):
		default:
		}
	}
}

// catchUp writes what the run before has left.
func (o *output) catchUp() {
	for _, alert := range o.missed {
		o.line(alert)
	}
	if o.behind > 0 {
		o.note(o.behind)
	}
	o.missed, o.behind = nil, 0
}

// note notes that the alerts up to a sequence number are written.
func (o *output) note(seq uint64) {
	if o.place == nil {
		return
	}
	if _, err := o.place.WriteAt(binary.BigEndian.AppendUint64(nil, seq), 0); err != nil {
		o.log.Warn("alerts may be written again after the next start", "file", o.place.Name(), "error", err)
		o.place = nil
	}
}

// goOn has the alerts written that are stored and were not written by the run before,
// which was killed in between, and notes from now on what is written, until stop is
// called.
func (o *output) goOn(ctx context.Context, js jetstream.JetStream, path string) (stop func(), err error) {
	place, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("note which alerts are written: %w", err)
	}
	stream, err := js.Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	var missed [][]byte
	noted := make([]byte, 8)
	if _, err := place.ReadAt(noted, 0); err == nil {
		err = bus.ReadStored(ctx, stream, binary.BigEndian.Uint64(noted)+1, false, func(msg jetstream.Msg, _ uint64) {
			missed = append(missed, append([]byte(nil), msg.Data()...))
		})
		if err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	o.place, o.missed, o.behind = place, missed, stream.CachedInfo().State.LastSeq
	o.mu.Unlock()
	timer := time.AfterFunc(missedAfter, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.catchUp()
	})
	return func() { timer.Stop() }, nil // what is not written is left for the next run
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

// checkType makes sure that a message is an alert.
func checkType(alert []byte) error {
	var of struct{ Type string }
	if err := json.Unmarshal(alert, &of); err != nil {
		return err
	}
	if of.Type != schemas.TypeAlert {
		return fmt.Errorf("its type is %q, not %s", of.Type, schemas.TypeAlert)
	}
	return nil
}

// jsonLine is the message as it is, on one line whoever wrote it.
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
