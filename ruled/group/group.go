// Package group shares the partitions of the events among any number of nd-ruled, its members.
//
// The members meet in a key-value store on NATS. Each stores a heartbeat there several times a second, and every partition has a
// key with the id of its owner, which is changed by compare-and-swap. A member owns its even share: beyond it, it releases
// partitions, and below it, it claims free ones. The order of the store is the clock: a member is gone when several of
// my heartbeats were stored behind its last one. No clocks are compared, and a process that was stopped for a while
// cannot take the others for gone.
//
// A member that hangs may continue later. So each has a fence: a message in the stream of alerts that each of its alerts
// names, as the last one on the fence's subject. Before its partitions are taken over, another message is stored there, and
// from then on the server refuses its alerts. Nothing depends on whether it knows.
package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	// beat is the time between two heartbeats. A member that has stored none during missed of another's is gone.
	beat   = 400 * time.Millisecond
	missed = 4
	// requestTimeout is for what a heartbeat does on NATS.
	requestTimeout = 2 * time.Second
	// fenceTTL is when a fence expires. Its owner then stores another one.
	fenceTTL = time.Hour
	// leaveTimeout is for giving back the partitions at the end.
	leaveTimeout = time.Second
)

// ErrFenced means that another member has taken over.
var ErrFenced = errors.New("another nd-ruled has taken over the partitions, because this one did not answer")

// Config is the configuration of a Member.
type Config struct {
	// Name is that of the group, Replicas that of bus.StreamConfig.
	Name     string
	Replicas int
	Conn     *bus.Conn
	Log      *slog.Logger
	// Hold evaluates a partition until the context ends, and returns when its state is stored. The cause of the context
	// is ErrFenced if another member may own the partition already.
	Hold func(ctx context.Context, partition int)
	// Changed is called when the member owns other partitions, or the number of members differs.
	Changed func(owned []int, members int)
}

// Member is a member of a group, from Join until Run returns.
type Member struct {
	Config
	id     string
	bucket jetstream.KeyValue
	fenced chan struct{} // receives when the server has refused an alert

	mu    sync.Mutex
	fence uint64        // the sequence number of the fence
	holds map[int]*hold // the partitions that are evaluated

	last     uint64             // the sequence number of the last heartbeat
	missing  map[string]silence // of the other members
	expelled map[string]bool    // members that are fenced off
	shown    string             // what Changed was called with
	logged   string             // the last error
}

// hold is the evaluation of a partition.
type hold struct {
	stop      context.CancelCauseFunc
	done      chan struct{}
	releasing bool // it ends, for another member
}

// silence counts the own heartbeats behind another member's last one.
type silence struct {
	last  uint64 // sequence number of the last one
	beats int
	// left is set when it was removed. No other member gets its id, but a server that was down may still show it.
	left bool
}

// Join makes a member with a fence. The stream of alerts must exist.
func Join(ctx context.Context, cfg Config) (*Member, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m := &Member{Config: cfg, id: nuid.Next(), fenced: make(chan struct{}, 1), holds: map[int]*hold{}, missing: map[string]silence{}, expelled: map[string]bool{}}
	var err error
	if m.bucket, err = bus.KeyValue(ctx, cfg.Conn.JetStream(), jetstream.KeyValueConfig{
		Bucket: schemas.BucketRuled, Description: "which nd-ruled evaluates which partition of the events", Replicas: cfg.Replicas,
		LimitMarkerTTL: time.Minute, // of the heartbeats of members that have left
	}); err != nil {
		return nil, err
	}
	if m.last, err = m.bucket.Create(ctx, m.key("members", m.id), nil); err != nil {
		return nil, fmt.Errorf("store a heartbeat in bucket %s: %w", schemas.BucketRuled, err)
	}
	return m, m.putFence(ctx)
}

// Fence is bus.PublisherConfig.Fence, and Fenced is bus.PublisherConfig.Fenced.
func (m *Member) Fence() (subject string, last uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return schemas.FenceSubject(m.id), m.fence
}

// Fenced notes that the server has refused an alert, or that the fence is gone: Run looks at it soon.
func (m *Member) Fenced() {
	select {
	case m.fenced <- struct{}{}:
	default:
	}
}

// putFence stores a fence where there is none.
func (m *Member) putFence(ctx context.Context) error {
	ack, err := m.Conn.JetStream().Publish(ctx, schemas.FenceSubject(m.id), []byte(m.id),
		jetstream.WithMsgTTL(fenceTTL), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil {
		return fmt.Errorf("store a fence in stream %s: %w", schemas.StreamAlerts, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fence = ack.Sequence
	return nil
}
