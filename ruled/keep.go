package ruled

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/ruled/alert"
	"github.com/ndmon/ndmon/ruled/feed"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/sensors"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	saveTimeout = 20 * time.Second
	// lastSave is the time to store the state at the end.
	lastSave = 2 * time.Second
	// saveLeast is between two states that are stored on request.
	saveLeast = time.Second
	// maxRequests is how many requests for a state may wait.
	maxRequests = 64
	// manyAlerts is after how many alerts the state is stored early, so that the next ruled can recall the alerts behind it.
	manyAlerts = 1 << 14
	// readTimeout is for reading the state at the start, readTries how often to try: reading
	// an object with a part missing waits for that part.
	readTimeout = 3 * time.Second
	readTries   = 3
)

// keeper stores what the judge remembers, and restores it.
type keeper struct {
	Config
	name      string // of the state
	partition int
	log       *slog.Logger
	conn      *bus.Conn
	judge     *judge.Judge
	alerts    *alert.Raiser
	room      func() error // see Deps.Room
	unread    int          // how often the state could not be read
}

// restore has the judge go on from the stored state. Without one, or with one that cannot be
// read, it begins with nothing. The stream of events was made at the time, zero if events come
// from this process, each once.
func (k *keeper) restore(ctx context.Context, stream time.Time) (judge.Position, error) {
	links, head, err := k.readState(ctx)
	if err != nil {
		return judge.Position{}, err
	}
	memory := judge.Memory{Position: judge.Position{Stream: stream}, Thresholds: head.Thresholds, Sensors: head.Sensors}
	if head.Stream.Equal(stream) {
		memory.Position.Events, memory.Position.Part = head.Events, head.Part
	}
	if !stream.IsZero() {
		if err := k.alerts.Recall(ctx, head.Alerts); err != nil {
			return judge.Position{}, err
		}
	}
	k.judge.Restore(memory, links)
	if stats := links.Stats(); stats.Links > 0 {
		k.log.Info("going on from the stored state", "links", stats.Links, "neighbours", stats.Addresses, "of", head.Time)
	}
	return memory.Position, nil
}

// readState reads the stored state. It returns an error if another try may succeed, and an
// empty state if there is none to be read.
func (k *keeper) readState(ctx context.Context) (*link.Table, state.Head, error) {
	links := link.New(k.judge.Link)
	if !k.keepsState() {
		return links, state.Head{}, nil
	}
	read, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	head, err := state.Read(read, k.conn.JetStream(), k.name, links.Restore)
	if errors.Is(err, state.ErrNone) && k.partition != feed.EveryPartition {
		head, err = k.readEarlier(read, links)
	}
	if err == nil {
		return links, head, nil
	}
	k.unread++
	away := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrConnectionClosed) || !k.conn.Connected()
	slow := read.Err() != nil || errors.Is(err, nats.ErrTimeout)
	switch {
	case errors.Is(err, state.ErrNone):
	case ctx.Err() != nil, away, slow && k.unread < readTries:
		return nil, state.Head{}, err
	default:
		k.log.Warn("the state cannot be read: every station is new again", "error", err)
	}
	return link.New(k.judge.Link), state.Head{}, nil
}

// readEarlier reads the partition's share of the state of an earlier version, which had one for all.
func (k *keeper) readEarlier(ctx context.Context, links *link.Table) (state.Head, error) {
	other := func(host string) bool { return schemas.Partition(host) != k.partition }
	head, err := state.Read(ctx, k.conn.JetStream(), k.Consumer, func(s link.State) error {
		if other(s.Host) {
			return nil
		}
		return links.Restore(s)
	})
	head.Thresholds = slices.DeleteFunc(head.Thresholds, func(t threshold.State) bool { return other(t.Host) })
	head.Sensors = slices.DeleteFunc(head.Sensors, func(w sensors.Watched) bool { return other(w.Heartbeat.Host) })
	return head, err
}

// save stores the state. It waits until the alerts of its events are stored, because a ruled
// that goes on from it does not raise them.
func (k *keeper) save(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	alerts, err := k.conn.JetStream().Stream(ctx, schemas.StreamAlerts)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.StreamAlerts, err)
	}
	memory, ok := k.judge.Snapshot()
	if !ok {
		return nil
	}
	defer func() {
		if err != nil {
			k.judge.Outdate()
		}
	}()
	if k.room != nil {
		if err := k.room(); err != nil {
			return err
		}
	}
	if err := k.alerts.Wait(ctx, memory.Published); err != nil {
		return fmt.Errorf("store the alerts that belong to the state: %w", err)
	}
	return state.Write(ctx, k.conn.JetStream(), k.name, state.Head{
		Time: time.Now().UTC(), Stream: memory.Position.Stream, Events: memory.Position.Events, Part: memory.Position.Part,
		Alerts: alerts.CachedInfo().State.LastSeq, Thresholds: memory.Thresholds, Sensors: memory.Sensors,
	}, memory.Links)
}

// run stores the state at intervals, and when a request for it arrives on NATS.
func (k *keeper) run(ctx context.Context) error {
	if !k.keepsState() {
		return nil
	}
	// Requests that arrive while a state is stored share the next one. More than maxRequests
	// are dropped, so that their senders get no answer.
	incoming := make(chan *nats.Msg, maxRequests)
	sub, err := k.conn.NATS().ChanSubscribe(schemas.StateSubject(k.name), incoming)
	if err != nil {
		return fmt.Errorf("subscribe to requests for the state: %w", err)
	}
	defer sub.Unsubscribe() // it fails only if the connection is closed
	ticker := time.NewTicker(k.StateInterval)
	defer ticker.Stop()
	look := time.NewTicker(saveLeast)
	defer look.Stop()
	var last time.Time
	var published uint64 // alerts at the last state
	for {
		var requests []*nats.Msg
		select {
		case <-ctx.Done():
			return ctx.Err()
		case request := <-incoming:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(saveLeast - time.Since(last)):
			}
			requests = append(requests, request)
			for n := len(incoming); n > 0; n-- {
				requests = append(requests, <-incoming)
			}
		case <-ticker.C:
			if !k.judge.OutOfDate() {
				continue
			}
		case <-look.C:
			if !k.judge.OutOfDate() || k.alerts.Published()-published < manyAlerts {
				continue
			}
		}
		published = k.alerts.Published()
		err := k.save(ctx)
		last = time.Now()
		if err != nil && ctx.Err() == nil && k.conn.Connected() {
			k.log.Warn("the state is not stored", "error", err)
		}
		k.answer(requests, err)
	}
}

func (k *keeper) answer(requests []*nats.Msg, err error) {
	answer := state.Done
	if err != nil {
		answer = err.Error()
	}
	for _, request := range requests {
		if err := request.Respond([]byte(answer)); err != nil {
			k.log.Debug("a request for the state is not answered", "error", err)
		}
	}
}
