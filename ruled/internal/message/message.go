// Package message reads events from messages, which are batches of them.
package message

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// Reader reads events and checks that they are what their subjects say.
type Reader struct {
	// Event is the one that was read last. The next Read uses its memory again.
	Event    schemas.Event
	subjects map[string]subject
}

// subject holds the parts of a subject of events or batches.
type subject struct {
	host, iface string
	kind        schemas.Kind // empty for batches: any
}

// MaxSubjects bounds the subjects that are kept: a publisher of events can make up interface names without end.
const MaxSubjects = 1 << 14

// maxID bounds the id of an event, in bytes. It becomes part of a NATS header.
const maxID = 128

// NewReader returns a reader for one goroutine.
func NewReader() Reader { return Reader{subjects: map[string]subject{}} }

// Lines returns the lines of a batch, each of which is to be an event. A message of one event has one.
func Lines(batch []byte) iter.Seq[[]byte] {
	return bytes.SplitSeq(bytes.TrimSuffix(batch, newline), newline)
}

var newline = []byte("\n")

// Read reads an event, which came on a subject of events or batches, into r.Event.
func (r *Reader) Read(from string, data []byte) error {
	if err := r.Event.ParseJSON(data); err != nil {
		return err
	}
	if r.Event.Link != nil {
		return errors.New("it has the member link, which only ruled adds")
	}
	s, ok := r.subjects[from]
	if !ok {
		var err error
		if s, err = parseSubject(from); err != nil {
			return err
		}
		if len(r.subjects) >= MaxSubjects {
			clear(r.subjects)
		}
		r.subjects[from] = s
	}
	// Permissions on NATS are by subject: what an event says about its origin is worth no more than its subject.
	e := &r.Event
	if s.host != e.Host || s.iface != e.Interface || s.kind != "" && s.kind != e.Kind() {
		return fmt.Errorf("event of %s/%s, kind %s, is on another's subject", e.Host, e.Interface, e.Kind())
	}
	if len(e.ID) == 0 || len(e.ID) > maxID || strings.ContainsFunc(e.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("id is empty, too long or has characters that are not printable ASCII")
	}
	return nil
}

func parseSubject(s string) (subject, error) {
	tokens := strings.Split(s, ".")
	// Earlier versions stored batches without a partition, and before that events.
	batch := (len(tokens) == 4 || len(tokens) == 5) && strings.HasPrefix(s, schemas.PrefixBatches)
	if !batch && (len(tokens) != 5 || !strings.HasPrefix(s, schemas.PrefixEvents)) {
		return subject{}, errors.New("subject is neither nd.batches.<host>.<interface>.<partition> nor nd.events.<host>.<interface>.<kind>")
	}
	host, err := schemas.UnescapeToken(tokens[2])
	if err != nil {
		return subject{}, err
	}
	if p := strconv.Itoa(schemas.Partition(host)); batch && len(tokens) == 5 && tokens[4] != p {
		return subject{}, fmt.Errorf("the partition of host %s is %s", host, p)
	}
	iface, err := schemas.UnescapeToken(tokens[3])
	if err != nil || batch {
		return subject{host: host, iface: iface}, err
	}
	return subject{host, iface, schemas.Kind(tokens[4])}, nil
}
