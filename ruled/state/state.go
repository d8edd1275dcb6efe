// Package state stores what ruled remembers in an object store on NATS, and reads it back: for
// the next ruled to go on from, and for commands to show.
package state

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Head is the first line of a stored state, which is gzipped lines of JSON. The others are a link.State each.
//
// A state belongs to a position in the stream of events. A ruled that goes on from it
// evaluates the events behind that position, however long ago it was stored, and comes to
// the state and to the alerts that it would have without the interruption.
type Head struct {
	Type string    `json:"type"` // headType
	Time time.Time `json:"time"`
	// Stream is when the stream of events was made, Events the sequence number of the last batch with an event in
	// the state, and Part how many events of that batch are in it, 0 for all.
	Stream time.Time `json:"stream"`
	Events uint64    `json:"events"`
	Part   int       `json:"part,omitempty"`
	// Alerts is the sequence number of an alert that is no newer than the last event's.
	Alerts     uint64            `json:"alerts"`
	Thresholds []threshold.State `json:"thresholds,omitempty"`
	Sensors    []sensors.Watched `json:"sensors,omitempty"`
}

const (
	headType = "nd.state.v1"
	// maxSize bounds a state that is read, in bytes of JSON.
	maxSize = 1 << 30
)

// ErrNone means that no state is stored under a name.
var ErrNone = jetstream.ErrObjectNotFound

// Read reads the state that the ruled with a consumer's name stored. It calls each with the state of every link.
func Read(ctx context.Context, js jetstream.JetStream, name string, each func(link.State) error) (Head, error) {
	var head Head
	err := func() error {
		store, err := js.ObjectStore(ctx, schemas.BucketState)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return ErrNone
		}
		if err != nil {
			return err
		}
		object, err := store.Get(ctx, name)
		if err != nil {
			return err
		}
		defer object.Close()
		unzipped, err := gzip.NewReader(object)
		if err != nil {
			return err
		}
		lines := json.NewDecoder(io.LimitReader(unzipped, maxSize))
		if err := lines.Decode(&head); err != nil {
			return err
		}
		if head.Type != headType {
			return fmt.Errorf("its type is %q, not %s", head.Type, headType)
		}
		for {
			var state link.State
			if err := lines.Decode(&state); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := each(state); err != nil {
				return err
			}
		}
	}()
	if err != nil {
		return head, fmt.Errorf("read state %s: %w", name, err)
	}
	return head, nil
}

// Write stores a state. It sets the type of the head.
func Write(ctx context.Context, js jetstream.JetStream, name string, head Head, links []link.State) error {
	store, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: schemas.BucketState, Description: "what nd-ruled remembers of the links",
	})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", schemas.BucketState, err)
	}
	head.Type = headType
	r, w := io.Pipe()
	go func() {
		zipped, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that exists
		lines := json.NewEncoder(zipped)
		err := lines.Encode(head)
		for i := range links {
			if err == nil {
				err = lines.Encode(&links[i])
			}
		}
		w.CloseWithError(errors.Join(err, zipped.Close()))
	}()
	if _, err := store.Put(ctx, jetstream.ObjectMeta{Name: name}, r); err != nil {
		r.CloseWithError(err)
		return fmt.Errorf("write state %s: %w", name, err)
	}
	return nil
}

// Stored is the answer to a request, see Request, if the state is stored. Another answer says why it is not.
const Stored = "stored"

// Request makes the running ruled with a consumer's name store its state, so that Read returns
// the current one. It reports whether such a ruled runs.
func Request(ctx context.Context, nc *nats.Conn, name string) (running bool, err error) {
	msg, err := nc.RequestWithContext(ctx, schemas.StateSubject(name), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask ruled %s to store its state: %w", name, err)
	case string(msg.Data) != Stored:
		return true, fmt.Errorf("ruled %s does not store its state: %s", name, msg.Data)
	}
	return true, nil
}

// Names returns the names under which states are stored.
func Names(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	store, err := js.ObjectStore(ctx, schemas.BucketState)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up bucket %s: %w", schemas.BucketState, bus.Explain(js, err))
	}
	objects, err := store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", schemas.BucketState, err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names, nil
}
