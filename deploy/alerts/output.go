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
	// position, if set, is a file that names the newest alert that was written. If this
	// process is killed, the next one resumes after it.
	position *os.File
	// missed are alerts that were stored but not written before the previous process was
	// killed.
	missed []*jetstream.RawStreamMsg
	// since is the sequence number of the newest alert that was stored before this process.
	since  uint64
	record []byte // memory for note
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

// Write writes an alert, and then notes its id: if this process is killed in between, the next
// one writes the alert again, where a note before the line would lose it. After is the sequence
// number in the stream of an alert that was written before, 0 if none is known.
func (o *Output) Write(alert []byte, id string, after uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line(alert)
	o.writeMissed()
	o.note(max(after, o.since), id)
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

// writeMissed writes the alerts that the previous process missed, and notes each.
func (o *Output) writeMissed() {
	for _, alert := range o.missed {
		o.line(alert.Data)
		o.note(alert.Sequence, "")
	}
	o.missed = nil
}

// note writes which alert is the newest that is written: the one with an id, which was stored
// after a sequence number, or may not be stored yet; or, without an id, the one with the number.
func (o *Output) note(after uint64, id string) {
	if o.position == nil {
		return
	}
	o.record = binary.BigEndian.AppendUint64(o.record[:0], after)
	o.record = append(binary.BigEndian.AppendUint16(o.record, uint16(len(id))), id...)
	if _, err := o.position.WriteAt(o.record, 0); err != nil {
		o.log.Warn("alerts may be written again after the next start", "file", o.position.Name(), "error", err)
		o.position = nil
	}
}

// noted reads what note has written, if it has.
func noted(position io.ReaderAt) (after uint64, id string, ok bool) {
	head := make([]byte, 8+2)
	n, _ := position.ReadAt(head, 0)
	if n < 8 {
		return 0, "", false
	}
	name := make([]byte, binary.BigEndian.Uint16(head[8:]))
	n, _ = position.ReadAt(name, int64(len(head)))
	return binary.BigEndian.Uint64(head), string(name[:n]), true
}

// Resume writes the alerts that the previous process stored and did not write, because it
// was killed in between. From now on it keeps the position in a file. Stop ends the wait
// for the first alert; what is not written until then is left for the next process.
func (o *Output) Resume(ctx context.Context, js jetstream.JetStream, path string) (stop func(), err error) {
	position, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file with the position in the alerts: %w", err)
	}
	var missed []*jetstream.RawStreamMsg
	stored := reader{log: o.log}
	after, id, again := noted(position)
	if again {
		stored.next = after + 1
	}
	found := id == ""
	if err := stored.read(ctx, js, func(alert *jetstream.RawStreamMsg) error {
		missed = append(missed, alert)
		if id != "" && alert.Header.Get(jetstream.MsgIDHeader) == id {
			missed, found = nil, true
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if !found { // it was killed before it stored the newest alert that is written, and so after it wrote all that are stored
		missed = nil
	}
	o.mu.Lock()
	o.position, o.missed, o.since = position, missed, stored.next-1
	if len(missed) == 0 {
		o.note(o.since, "")
	}
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
	// next is the sequence number of the next alert. With 0, the first read begins with the first alert that was
	// stored at the time since, or, without one, after the newest alert.
	next  uint64
	since time.Time
}

// read calls each with the alerts that were stored since the last call, until one returns
// an error.
func (r *reader) read(ctx context.Context, js jetstream.JetStream, each func(alert *jetstream.RawStreamMsg) error) error {
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
	case r.next == 0 && r.since.IsZero():
		r.next = state.LastSeq + 1
	case r.next == 0:
		if r.next, err = storedSince(ctx, stream, r.since); err != nil {
			return fmt.Errorf("look for the first alert since %s in stream %s: %w", r.since.Format(time.RFC3339), schemas.StreamAlerts, err)
		}
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
		if err := each(msg); err != nil {
			return err
		}
	}
	return nil
}

// storedSince returns the sequence number from which on alerts were stored at a time or later, by bisection. Sequence numbers without an
// alert count as the next one that has one.
func storedSince(ctx context.Context, stream jetstream.Stream, since time.Time) (uint64, error) {
	low, high := max(stream.CachedInfo().State.FirstSeq, 1), stream.CachedInfo().State.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := stream.GetMsg(ctx, middle, jetstream.WithGetMsgSubject(schemas.SubjectAlerts))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			high = middle
		case err != nil:
			return 0, err
		case msg.Time.Before(since):
			low = msg.Sequence + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// Stored reads the stored alerts in their order, each once.
type Stored struct{ reader reader }

// NewStored returns a Stored that begins with the alerts that were stored at a time.
func NewStored(since time.Time, log *slog.Logger) *Stored {
	return &Stored{reader{log: log, since: since}}
}

// Read calls each with the alerts that are new, until the context ends. The next call goes on there. Messages that are no alerts are left out.
func (s *Stored) Read(ctx context.Context, js jetstream.JetStream, each func(a *schemas.Alert, data []byte)) error {
	return s.reader.read(ctx, js, func(msg *jetstream.RawStreamMsg) error {
		if a, err := read(msg.Data); err == nil {
			each(&a, msg.Data)
		}
		return nil
	})
}
