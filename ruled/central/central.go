// Package central stores rules for a whole fleet in a key-value store on NATS, each set of rules as
// a revision, and reads them. What a set of rules means is not here.
package central

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	bucket = schemas.BucketRules
	stream = "KV_" + bucket

	// Changed is the subject on which each new revision is published. A server may publish one that
	// it does not store then.
	Changed = "$KV." + bucket + ".rules"
	// Newest is the subject of requests for the newest revision, see Fetch.
	Newest = "$JS.API.DIRECT.GET." + stream + "." + Changed

	// kept is how many revisions the store has: the most that a key-value store keeps.
	kept = 64

	authorHeader  = "Nd-Author"
	messageHeader = "Nd-Message"
	rulesHeader   = "Nd-Rules"
)

// Builtin is a rule file that is no more than the built-in rules of whoever reads it. A deleted key counts as this.
const Builtin = "<rules>\n  <builtin/>\n</rules>\n"

// ErrNone means that there are no central rules, or not the revision that was asked for.
var ErrNone = errors.New("there are no central rules: ndmon rules push stores some")

// Revision is a rule file as it is stored.
type Revision struct {
	// Revision is the number of the revision. It may begin again only if the store was deleted.
	Revision uint64 `json:"revision"`
	// Time is when the server stored it.
	Time time.Time `json:"time"`
	// Author is the user who pushed it, as that user's program says, and Message why; Rules is how many
	// rules it has. They are empty if another program stored it.
	Author  string `json:"author,omitempty"`
	Rules   string `json:"rules,omitempty"`
	Message string `json:"message,omitempty"`
	// Data is the rule file.
	Data []byte `json:"-"`
}

// Name is the name of the revision as a rule file, with which its faults begin.
func (r *Revision) Name() string { return fmt.Sprintf("revision %d", r.Revision) }

// NewerThan reports whether r was stored after o, although the clocks of servers differ, and although the
// store may have been made again with revisions from 1 on. A server that is behind the others may return an older revision.
func (r *Revision) NewerThan(o *Revision) bool {
	return r.Revision > o.Revision || r.Time.After(o.Time)
}

func read(header nats.Header, revision uint64, at time.Time, data []byte) *Revision {
	r := &Revision{revision, at, header.Get(authorHeader), header.Get(rulesHeader), header.Get(messageHeader), data}
	if header.Get("KV-Operation") != "" {
		r.Data, r.Message = []byte(Builtin), "deleted"
	}
	return r
}

// Fetch requests the newest revision. The subject is Newest, or one that leads there from another account.
func Fetch(ctx context.Context, nc *nats.Conn, subject string) (*Revision, error) {
	msg, err := nc.RequestWithContext(ctx, subject, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders) || err == nil && msg.Header.Get("Status") == "404":
		return nil, ErrNone
	case err != nil:
		return nil, fmt.Errorf("request the central rules: %w", err)
	case msg.Header.Get("Status") != "":
		return nil, fmt.Errorf("request the central rules: status %s, %s", msg.Header.Get("Status"), msg.Header.Get("Description"))
	}
	revision, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the number of the central rules: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("read the time of the central rules: %w", err)
	}
	return read(msg.Header, revision, at, msg.Data), nil
}

// Store is the store of the central rules.
type Store struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Open opens the store. If there is none, it makes one if create is set, and else returns ErrNone.
func Open(ctx context.Context, js jetstream.JetStream, create bool) (*Store, error) {
	if create {
		if _, err := bus.KeyValue(ctx, js, jetstream.KeyValueConfig{Bucket: bucket, Description: "rules of the fleet", History: kept}); err != nil {
			return nil, err
		}
	}
	s, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, bus.Explain(js, err))
	}
	return &Store{js, s}, nil
}

// Newest returns the newest revision, or ErrNone.
func (s *Store) Newest(ctx context.Context) (*Revision, error) {
	return s.revision(s.stream.GetLastMsgForSubject(ctx, Changed))
}

// Revision returns a revision, or ErrNone.
func (s *Store) Revision(ctx context.Context, revision uint64) (*Revision, error) {
	r, err := s.from(ctx, revision)
	if err == nil && r.Revision != revision {
		err = ErrNone
	}
	return r, err
}

// from returns the oldest revision from one on. The store may have other keys, which someone has put there.
func (s *Store) from(ctx context.Context, revision uint64) (*Revision, error) {
	return s.revision(s.stream.GetMsg(ctx, revision, jetstream.WithGetMsgSubject(Changed)))
}

func (s *Store) revision(msg *jetstream.RawStreamMsg, err error) (*Revision, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", bucket, err)
	}
	return read(msg.Header, msg.Sequence, msg.Time, msg.Data), nil
}

// List returns all revisions, the oldest first.
func (s *Store) List(ctx context.Context) ([]*Revision, error) {
	var list []*Revision
	for next := uint64(1); ; {
		r, err := s.from(ctx, next)
		if errors.Is(err, ErrNone) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list, next = append(list, r), r.Revision+1
	}
}

// Push stores a rule file as a new revision, unless there is a newer one than former (0 for none). It returns the revision's number.
func (s *Store) Push(ctx context.Context, r *Revision, former uint64) (uint64, error) {
	msg := &nats.Msg{Subject: Changed, Data: r.Data, Header: nats.Header{
		authorHeader: {r.Author}, rulesHeader: {r.Rules}, messageHeader: {r.Message},
	}}
	if size, most := int64(msg.Size()), s.js.Conn().MaxPayload(); size > most {
		return 0, fmt.Errorf("the rules have %d bytes, and the NATS server takes messages of at most %d (max_payload)", len(r.Data), most)
	}
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(former))
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) && (refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, fmt.Errorf("another revision than %d is the newest now: nothing is pushed", former)
	}
	if err != nil {
		return 0, fmt.Errorf("write to bucket %s: %w", bucket, err)
	}
	return ack.Sequence, nil
}
