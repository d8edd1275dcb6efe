package ruled

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// eventReader reads events and makes sure that they are what their subjects say.
type eventReader struct {
	// event is the one that was read last; its memory is used again.
	event    schemas.Event
	subjects map[string]subject
}

// subject is what the subject of an event says of it.
type subject struct {
	host, iface string
	kind        schemas.Kind
}

// maxSubjects bounds eventReader.subjects: who may publish events could make up
// interface names for ever.
const maxSubjects = 1 << 14

// maxID bounds an event's id, which becomes part of a header of NATS.
const maxID = 128

func newEventReader() eventReader { return eventReader{subjects: map[string]subject{}} }

// read reads an event from a message.
func (r *eventReader) read(from string, data []byte) error {
	if err := r.event.ParseJSON(data); err != nil {
		return err
	}
	if r.event.Link != nil {
		return errors.New("it has the member link, which is ruled's own")
	}
	s, ok := r.subjects[from]
	if !ok {
		var err error
		if s, err = parseSubject(from); err != nil {
			return err
		}
		if len(r.subjects) >= maxSubjects {
			clear(r.subjects)
		}
		r.subjects[from] = s
	}
	// Permissions on NATS are by subject: what an event says of its origin is
	// worth no more than its subject.
	e := &r.event
	if s.host != e.Host || s.iface != e.Interface || s.kind != e.Kind() {
		return fmt.Errorf("event of %s/%s, kind %s, is on another's subject", e.Host, e.Interface, e.Kind())
	}
	if len(e.ID) == 0 || len(e.ID) > maxID || strings.ContainsFunc(e.ID, notInID) {
		return errors.New("id is empty, too long or has characters that are not printable ASCII")
	}
	return nil
}

func notInID(r rune) bool { return r <= ' ' || r > '~' }

func parseSubject(s string) (subject, error) {
	tokens := strings.Split(s, ".")
	if len(tokens) != 5 {
		return subject{}, errors.New("subject is not nd.events.<host>.<interface>.<kind>")
	}
	host, err := schemas.UnescapeToken(tokens[2])
	if err != nil {
		return subject{}, err
	}
	iface, err := schemas.UnescapeToken(tokens[3])
	if err != nil {
		return subject{}, err
	}
	return subject{host, iface, schemas.Kind(tokens[4])}, nil
}
