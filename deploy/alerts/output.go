package alerts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Output writes the alerts of this process, one per line.
type Output struct {
	writer writer
	log    *slog.Logger
	failed chan error

	mu sync.Mutex
	// position, if set, is a file with the sequence number of the newest alert that was
	// written. If this process is killed, the next one resumes after it.
	position *os.File
	// missed are alerts that were stored but not written before the previous process was
	// killed, up to the sequence number missedTo.
	missed   [][]byte
	missedTo uint64
}

// firstAlertWait is how long missed alerts wait for the first alert of this run, which
// reports that the host was not watched and belongs before them.
const firstAlertWait = 2 * time.Second

// NewOutput returns an Output to w.
func NewOutput(w io.Writer, format Format, log *slog.Logger) *Output {
	return &Output{writer: writer{w, format}, log: log, failed: make(chan error, 1)}
}

// Failed receives the first error of the io.Writer.
func (o *Output) Failed() <-chan error { return o.failed }

// Write writes an alert with its sequence number in the stream, 0 if it has none.
func (o *Output) Write(alert []byte, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line(alert)
	o.writeMissed()
	if seq > 0 {
		o.store(seq)
	}
}

// line writes one alert.
func (o *Output) line(alert []byte) {
	switch err := o.writer.write(alert); {
	case err == nil:
	case errors.As(err, new(writeError)):
		select {
		case o.failed <- err:
		default:
		}
	default:
		o.log.Error("an alert cannot be written", "error", err)
	}
}

// writeMissed writes the alerts that the previous process missed.
func (o *Output) writeMissed() {
	for _, alert := range o.missed {
		o.line(alert)
	}
	if o.missedTo > 0 {
		o.store(o.missedTo)
	}
	o.missed, o.missedTo = nil, 0
}

// store stores the sequence number of the newest alert that is written.
func (o *Output) store(seq uint64) {
	if o.position == nil {
		return
	}
	if _, err := o.position.WriteAt(binary.BigEndian.AppendUint64(nil, seq), 0); err != nil {
		o.log.Warn("alerts may be written again after the next start", "file", o.position.Name(), "error", err)
		o.position = nil
	}
}

// Resume writes the alerts that the previous process stored and did not write, because it
// was killed in between. From now on it keeps the position in a file. Stop ends the wait
// for the first alert; what is not written until then is left for the next process.
func (o *Output) Resume(ctx context.Context, js jetstream.JetStream, path string) (stop func(), err error) {
	position, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file with the position in the alerts: %w", err)
	}
	var missed [][]byte
	stored := reader{log: o.log}
	written := make([]byte, 8)
	if _, err := position.ReadAt(written, 0); err == nil {
		stored.next = binary.BigEndian.Uint64(written) + 1
	}
	if err := stored.read(ctx, js, func(alert []byte) error {
		missed = append(missed, alert)
		return nil
	}); err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.position, o.missed, o.missedTo = position, missed, stored.next-1
	o.mu.Unlock()
	timer := time.AfterFunc(firstAlertWait, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.writeMissed()
	})
	return func() { timer.Stop() }, nil
}
