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
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
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

// reader reads the stream of alerts in its order, each alert once. It asks for one message
// after the other, because that needs the fewest rights and misses no alert while NATS is
// away.
type reader struct {
	log *slog.Logger
	// next is the sequence number of the next alert. With 0, the first read begins after
	// the newest alert.
	next uint64
}

// read calls each with the alerts that were stored since the last call, until one returns
// an error.
func (r *reader) read(ctx context.Context, js jetstream.JetStream, each func(alert []byte) error) error {
	stream, err := js.Stream(ctx, schemas.StreamAlerts)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		r.next = 1 // all of the stream that is made later is new
		return fmt.Errorf("nd-ruled has not made the stream %s yet", schemas.StreamAlerts)
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, bus.Explain(js, err))
	}
	state := stream.CachedInfo().State
	switch {
	case r.next == 0:
		r.next = state.LastSeq + 1
	case r.next > state.LastSeq+1:
		r.log.Warn("the stream of alerts was deleted and made again: reading it from its start", "stream", schemas.StreamAlerts)
		r.next = 1
	case r.next < state.FirstSeq:
		r.log.Warn("alerts were dropped before they were read", "stream", schemas.StreamAlerts, "alerts", state.FirstSeq-r.next)
		r.next = state.FirstSeq
	}
	for r.next <= state.LastSeq {
		// This returns the next message that exists: some may have been deleted.
		msg, err := stream.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(schemas.SubjectAlerts))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			r.next = state.LastSeq + 1
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", schemas.StreamAlerts, err)
		}
		r.next = msg.Sequence + 1
		if err := each(msg.Data); err != nil {
			return err
		}
	}
	return nil
}
