package sensor

import (
	"time"

	"github.com/ndmon/ndmon/schemas"
)

// maxBatch bounds a batch, in bytes, unless its only event is longer.
const maxBatch = 64 << 10

// listenedFor is how long an answer of Live.Listened holds. Asking costs as much as decoding a frame.
const listenedFor = time.Millisecond

// outlet passes on the events of an interface. It must not be used concurrently.
type outlet struct {
	*session
	subject string // of the batches
	// batch holds the events that wait to be stored, as lines of JSON without the last newline.
	batch  []byte
	events int
	// listened is the last answer of Live.Listened, about the subject and at the time of an event.
	listened bool
	about    string
	at       time.Time
	// store stores a batch of so many events.
	store func(subject string, batch []byte, events int) error
}

func (s *session) newOutlet(iface string, store func(subject string, batch []byte, events int) error) *outlet {
	return &outlet{session: s, subject: schemas.BatchSubject(s.host, iface), store: store}
}

// take passes on an event, which belongs on a subject.
func (o *outlet) take(e *schemas.Event, subject string) error {
	o.newest.Store(e.Time.UnixNano())
	if o.Judge != nil {
		o.Judge(e)
	}
	live := o.Live != nil && o.live(e, subject)
	if o.Publisher == nil {
		o.metrics.published.Inc()
		if !live {
			return nil
		}
	}
	begin := len(o.batch)
	if begin > 0 {
		o.batch = append(o.batch, '\n')
		begin++
	}
	o.batch = e.AppendJSON(o.batch)
	if live {
		// It is for those who listen now. The connection reports what it cannot send.
		o.Live.Publish(subject, o.batch[begin:])
	}
	switch {
	case o.Publisher == nil:
		o.batch = o.batch[:0]
		return nil
	case begin > 0 && len(o.batch) > maxBatch:
		if err := o.store(o.subject, o.batch[:begin-1], o.events); err != nil {
			return err
		}
		o.batch, o.events = append(o.batch[:0], o.batch[begin:]...), 0
	}
	o.events++
	return nil
}

// live reports whether anyone listens to an event on a subject.
func (o *outlet) live(e *schemas.Event, subject string) bool {
	if age := e.Time.Sub(o.at); age < 0 || age >= listenedFor || subject != o.about {
		o.listened, o.about, o.at = o.Live.Listened(subject), subject, e.Time
	}
	return o.listened
}

// flush stores the events that wait.
func (o *outlet) flush() error {
	if o.events == 0 {
		return nil
	}
	err := o.store(o.subject, o.batch, o.events)
	o.batch, o.events = o.batch[:0], 0
	if cap(o.batch) > 4*maxBatch { // after a long event
		o.batch = nil
	}
	return err
}

// Pass passes on an event that waits for no other, as a heartbeat or one that the caller made.
// It returns false if it cannot be stored.
func (d Deps) Pass(e *schemas.Event) (stored bool) {
	if d.Judge != nil {
		d.Judge(e)
	}
	data := e.AppendJSON(nil)
	if subject := schemas.EventSubject(e.Host, e.Interface, e.Kind()); d.Live != nil && d.Live.Listened(subject) {
		d.Live.Publish(subject, data) // as in take
	}
	return d.Publisher == nil || d.Publisher.TryPublish(schemas.BatchSubject(e.Host, e.Interface), "", data)
}
