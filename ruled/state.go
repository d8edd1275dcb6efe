package ruled

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
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

// Snapshot is the head of what ruled stores of its state, as gzipped lines of
// JSON: this, then a link.State a line.
//
// It belongs to a place in the stream of events: whoever goes on from it
// evaluates the events behind that place, however long ago it was stored, and
// comes to the state and to the alerts that it would have had without a stop.
type Snapshot struct {
	Type string    `json:"type"` // snapshotType
	Time time.Time `json:"time"`
	// Stream is when the stream of events was made, Events the sequence number
	// of the last event in the state.
	Stream time.Time `json:"stream"`
	Events uint64    `json:"events"`
	// Alerts is the sequence number of an alert that is no newer than the last
	// event's.
	Alerts     uint64            `json:"alerts"`
	Thresholds []threshold.State `json:"thresholds,omitempty"`
	Sensors    []Watched         `json:"sensors,omitempty"`
}

const (
	snapshotType = "nd.state.v1"
	// maxSnapshot bounds a state that is read, in bytes of JSON.
	maxSnapshot = 1 << 30
	saveTimeout = 20 * time.Second
	// lastSave is for the state that is stored at the end.
	lastSave = 2 * time.Second
	// readTimeout is for a state that is read at the start, readTries how often that is
	// tried: of an object with a part missing the rest is waited for.
	readTimeout = 3 * time.Second
	readTries   = 3
	// saveLeast is between two states that are stored on request.
	saveLeast = time.Second
	// maxAsked is how many requests for a state may wait.
	maxAsked = 64
)

// ErrNoState means that no state is stored under that name.
var ErrNoState = jetstream.ErrObjectNotFound

// ReadState reads the state that the ruled with a consumer's name has stored. It
// calls each with the state of every link.
func ReadState(ctx context.Context, js jetstream.JetStream, name string, each func(link.State) error) (Snapshot, error) {
	var head Snapshot
	err := func() error {
		store, err := js.ObjectStore(ctx, schemas.BucketState)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return ErrNoState
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
		lines := json.NewDecoder(io.LimitReader(unzipped, maxSnapshot))
		if err := lines.Decode(&head); err != nil {
			return err
		}
		if head.Type != snapshotType {
			return fmt.Errorf("its type is %q, not %s", head.Type, snapshotType)
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

// writeState stores a state.
func writeState(ctx context.Context, js jetstream.JetStream, name string, head Snapshot, states []link.State) error {
	store, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: schemas.BucketState, Description: "what nd-ruled knows of the links",
	})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", schemas.BucketState, err)
	}
	r, w := io.Pipe()
	go func() {
		zipped, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that exists
		lines := json.NewEncoder(zipped)
		err := lines.Encode(head)
		for i := range states {
			if err == nil {
				err = lines.Encode(&states[i])
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

// restore goes on from the stored state, once after the start. Without one, or
// with one that cannot be read, it begins with nothing.
func (e *evaluation) restore(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.restored {
		return nil
	}
	events, err := e.eventsInfo(ctx)
	if err != nil {
		return err
	}
	var head Snapshot
	if e.cfg.keepsState() {
		read, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		head, err = ReadState(read, e.conn.JetStream(), e.cfg.Consumer, e.links.Restore)
		if err != nil {
			e.unread++
		}
		away := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrConnectionClosed) || !e.conn.Connected()
		slow := read.Err() != nil || errors.Is(err, nats.ErrTimeout)
		switch {
		case err == nil:
		case errors.Is(err, ErrNoState):
		case ctx.Err() != nil, away, slow && e.unread < readTries:
			e.links = e.newTable()
			return err
		default:
			e.log.Warn("the state cannot be read: every station is new again", "error", err)
			e.links, head = e.newTable(), Snapshot{}
		}
	}
	e.thresholds.Restore(head.Thresholds)
	if head.Events > 0 && head.Stream.Equal(events.Created) {
		e.observed, e.resume = head.Events, true
	}
	if err := e.recallAlerts(ctx, head.Alerts); err != nil {
		e.links, e.observed, e.resume = e.newTable(), 0, false
		return err
	}
	e.sensors.restore(head.Sensors)
	e.created, e.restored = events.Created, true
	if stats := e.links.Stats(); stats.Links > 0 {
		e.log.Info("going on from the stored state", "links", stats.Links, "neighbours", stats.Addresses, "of", head.Time)
	}
	return nil
}

// eventsInfo returns what the server says of the stream of events.
func (e *evaluation) eventsInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := e.conn.JetStream().Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, err)
	}
	return stream.CachedInfo(), nil
}

// compare makes sure that what was observed is of the stream that is there: it may be
// another one, or have lost its newest events with the disk.
func (e *evaluation) compare(ctx context.Context) error {
	events, err := e.eventsInfo(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	last := events.State.LastSeq
	switch {
	case !events.Created.Equal(e.created):
		e.created, e.observed, e.resume = events.Created, 0, false
		e.gone += e.last.pending
	case e.observed > last:
		e.log.Warn("the newest events are gone from the stream, after they were evaluated", "stream", schemas.StreamEvents, "first", last+1, "last", e.observed)
		e.observed, e.resume = last, true
	}
	return nil
}

// save stores the state. It belongs to events whose alerts are stored, so that
// who goes on from it owes none.
func (e *evaluation) save(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	alerts, err := e.conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	e.mu.Lock()
	if !e.restored || e.halfway {
		e.mu.Unlock()
		return nil
	}
	head := Snapshot{
		Type: snapshotType, Time: time.Now().UTC(), Stream: e.created, Events: e.observed,
		Alerts: alerts.CachedInfo().State.LastSeq, Thresholds: e.thresholds.State(), Sensors: e.sensors.state(),
	}
	states, published := e.links.State(), e.alerts.Published()
	e.changed = false
	e.mu.Unlock()
	defer func() {
		if err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.changed = true
		}
	}()
	if e.room != nil {
		if err := e.room(); err != nil {
			return err
		}
	}
	if err := e.alerts.Wait(ctx, published); err != nil {
		return fmt.Errorf("store the alerts that belong to the state: %w", err)
	}
	return writeState(ctx, e.conn.JetStream(), e.cfg.Consumer, head, states)
}

// keepState stores the state now and then, and when somebody asks on NATS.
func (e *evaluation) keepState(ctx context.Context) error {
	if !e.cfg.keepsState() {
		return nil
	}
	// Requests that come while a state is stored share the next one. More than that
	// are dropped, which their senders see as no answer.
	asked := make(chan *nats.Msg, maxAsked)
	sub, err := e.conn.NATS().ChanSubscribe(schemas.StateSubject(e.cfg.Consumer), asked)
	if err != nil {
		return fmt.Errorf("subscribe to requests for the state: %w", err)
	}
	defer sub.Unsubscribe() // it fails only if the connection is closed
	ticker := time.NewTicker(e.cfg.StateInterval)
	defer ticker.Stop()
	var last time.Time
	for {
		var requests []*nats.Msg
		select {
		case <-ctx.Done():
			return ctx.Err()
		case request := <-asked:
			if err := pause(ctx, saveLeast-time.Since(last)); err != nil {
				return err
			}
			requests = append(requests, request)
			for n := len(asked); n > 0; n-- {
				requests = append(requests, <-asked)
			}
		case <-ticker.C:
			if !e.outOfDate() {
				continue
			}
		}
		err := e.save(ctx)
		last = time.Now()
		if err != nil && ctx.Err() == nil && e.conn.Connected() {
			e.log.Warn("the state is not stored", "error", err)
		}
		answer := "stored"
		if err != nil {
			answer = err.Error()
		}
		for _, request := range requests {
			if err := request.Respond([]byte(answer)); err != nil {
				e.log.Debug("a request for the state is not answered", "error", err)
			}
		}
	}
}

// pause waits so long, or until the context ends.
func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// outOfDate reports whether the stored state is.
func (e *evaluation) outOfDate() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// StoreState has the ruled with a consumer's name store its state, so that
// ReadState finds what is known now. It reports whether there is such a ruled.
func StoreState(ctx context.Context, nc *nats.Conn, name string) (running bool, err error) {
	msg, err := nc.RequestWithContext(ctx, schemas.StateSubject(name), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask ruled %s to store its state: %w", name, err)
	case string(msg.Data) != "stored":
		return true, fmt.Errorf("ruled %s does not store its state: %s", name, msg.Data)
	}
	return true, nil
}

// StoredStates returns the names under which states are stored.
func StoredStates(ctx context.Context, js jetstream.JetStream) ([]string, error) {
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
