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
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/synadia-io/orbit.go/jetstreamext"
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

// Name returns the name of the state of a partition of the ruled with a consumer's name.
func Name(consumer string, partition int) string { return consumer + "-" + strconv.Itoa(partition) }

// PartitionNames returns the names of the states of all partitions.
func PartitionNames(consumer string) []string {
	names := make([]string, schemas.Partitions)
	for p := range names {
		names[p] = Name(consumer, p)
	}
	return names
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
		info, err := store.GetInfo(ctx, name)
		if err != nil {
			return err
		}
		object, w := io.Pipe()
		defer object.Close()
		go func() { w.CloseWithError(copyChunks(ctx, js, info, w)) }()
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

// maxChunks is how many parts of an object are requested at a time.
const maxChunks = 64

// copyChunks reads the parts of an object. ObjectStore.Get would do, but makes a consumer, and in a cluster that takes
// longer than all the rest of a takeover.
func copyChunks(ctx context.Context, js jetstream.JetStream, info *jetstream.ObjectInfo, w io.Writer) error {
	subject := "$O." + info.Bucket + ".C." + info.NUID
	for next, left := uint64(1), int(info.Chunks); left > 0; {
		before := left
		for chunk, err := range bus.GetBatch(ctx, js, "OBJ_"+info.Bucket, min(left, maxChunks), jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchSeq(next)) {
			if err == nil {
				_, err = w.Write(chunk.Data)
			}
			if err != nil {
				return err
			}
			next = chunk.Sequence + 1
			left--
		}
		if left == before {
			return fmt.Errorf("%d of %d parts are missing", left, info.Chunks)
		}
	}
	return nil
}

// Make returns the object store of the states, which it makes if there is none. Replicas is that of bus.StreamConfig.
func Make(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.ObjectStore, error) {
	return bus.ObjectStore(ctx, js, jetstream.ObjectStoreConfig{
		Bucket: schemas.BucketState, Description: "what nd-ruled remembers of the links", Replicas: replicas,
	})
}

// Write stores a state. It sets the type of the head.
func Write(ctx context.Context, js jetstream.JetStream, name string, head Head, links []link.State) error {
	store, err := Make(ctx, js, 0)
	if err != nil {
		return err
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

// Done is the answer to a request, see Request, if the state is stored. Another answer says why it is not.
const Done = "stored"

// Request makes the running ruled with a consumer's name store its state, so that Read returns
// the current one. It reports whether such a ruled runs.
func Request(ctx context.Context, nc *nats.Conn, name string) (running bool, err error) {
	msg, err := nc.RequestWithContext(ctx, schemas.StateSubject(name), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask ruled %s to store its state: %w", name, err)
	case string(msg.Data) != Done:
		return true, fmt.Errorf("ruled %s does not store its state: %s", name, msg.Data)
	}
	return true, nil
}

// Stored is a state that is stored.
type Stored struct {
	Name string
	// Revision differs from that of the state that was stored before under the name.
	Revision uint64
}

// List returns the states that are stored. It makes no consumer.
func List(ctx context.Context, js jetstream.JetStream) ([]Stored, error) {
	var list []Stored
	for m, err := range bus.GetBatch(ctx, js, "OBJ_"+schemas.BucketState, maxStates, jetstreamext.GetBatchSubject("$O."+schemas.BucketState+".M.>")) {
		if explained := bus.Explain(js, err); errors.Is(err, nats.ErrNoResponders) && explained == err {
			break // there is no bucket
		} else if err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", schemas.BucketState, explained)
		}
		var object jetstream.ObjectInfo
		if json.Unmarshal(m.Data, &object) == nil && !object.Deleted {
			list = append(list, Stored{object.Name, m.Sequence})
		}
	}
	// What an earlier version stored for all partitions is out of date once there is a state of one.
	return slices.DeleteFunc(list, func(of Stored) bool {
		partitions := PartitionNames(of.Name)
		return slices.ContainsFunc(list, func(s Stored) bool { return slices.Contains(partitions, s.Name) })
	}), nil
}

// maxStates bounds the states that are listed.
const maxStates = 10_000

// Names returns the names under which states are stored.
func Names(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	list, err := List(ctx, js)
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names, err
}
