// Package feed delivers the events of the stream to the judge, in their order, and
// acknowledges the batches that they are stored in once their alerts are stored.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/internal/message"
	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/judge"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
)

const (
	// MaxPending is how many batches may be evaluated and not yet acknowledged: so many are
	// delivered again after a loss of the connection.
	MaxPending = 16384
	// pullBytes bounds the batches that wait to be evaluated.
	pullBytes = 8 << 20
	// ackWait is for a ruled that hangs. One that was killed resets the consumer when it starts again.
	ackWait = 30 * time.Second
	// heartbeat is half the time after which the loss of a pull is noticed.
	heartbeat  = time.Second
	pullExpiry = 30 * time.Second
	// sessionWait is the time between two tries to read the events.
	sessionWait = 500 * time.Millisecond
)

// Alerts counts the alerts, which decide when an event can be acknowledged.
type Alerts interface {
	// Published returns how many alerts were published, Acknowledged how many of them are stored without a gap.
	Published() uint64
	Acknowledged() uint64
}

// EveryPartition is a Config.Partition.
const EveryPartition = -1

// Config has what a Feed works with.
type Config struct {
	// Consumer is the name of the durable consumer, Events the subject of the events, or a
	// pattern of subjects.
	Consumer, Events string
	// Partition is that of the events to deliver, EveryPartition for all.
	Partition int
	// Stored is true if the judge's position is stored, so that the acknowledged batches matter only without one.
	Stored bool
	// New is true to read only events that are published from now on.
	New bool

	Log     *slog.Logger
	Metrics *metrics.Metrics
	Conn    *bus.Conn
	Judge   *judge.Judge
	Alerts  Alerts
	// Restore restores the judge before the first event and returns its position. The stream
	// of events was made at the time.
	Restore func(ctx context.Context, stream time.Time) (judge.Position, error)
	// Health is called with nil when reading begins, and with an error when it ends.
	Health func(error)
}

// Feed reads the events. Sessions follow each other: one ends when the connection, the
// consumer or the order of its messages is lost. The next begins behind the last
// acknowledgement; alerts of events that are delivered again are recognised by their ids.
type Feed struct {
	Config
	acks      *acks
	reader    message.Reader
	reading   atomic.Bool
	delivered atomic.Uint64 // number of the last batch of the consumer that was evaluated
	pending   atomic.Uint64 // batches of the stream behind it when it was delivered
	first     atomic.Uint64 // sequence number of the first message of the stream
	deleted   chan struct{} // receives when the stream was deleted

	// The rest is that of the session.
	last     delivery // of the last batch, zero before the first of a session
	position judge.Position
	filter   []string // of the consumer
	restored bool     // the judge is restored
	resume   bool     // begin behind the position, not behind the acknowledged batches
	gone     uint64   // batches that the stream dropped unread and that were not reported yet
}

// New returns a Feed.
func New(c Config) *Feed {
	return &Feed{Config: c, reader: message.NewReader(), acks: newAcks(c.Alerts.Acknowledged), deleted: make(chan struct{}, 1)}
}

// Progressed notes that more alerts are stored.
func (f *Feed) Progressed() { f.acks.progressed() }

// Flush acknowledges all batches whose alerts are stored.
func (f *Feed) Flush() { f.acks.flush() }

// Pending returns how many batches of the stream were behind the last one that was evaluated when that was delivered.
func (f *Feed) Pending() uint64 { return f.pending.Load() }

// subjects returns the subjects that the consumer reads. Earlier versions stored batches without a partition, and
// single events: they are read as long as the stream has any.
func (f *Feed) subjects(ctx context.Context, stream jetstream.Stream) ([]string, error) {
	batches, _ := Batches(f.Events) // it was validated
	partition := "*"
	if f.Partition != EveryPartition {
		partition = strconv.Itoa(f.Partition)
	}
	subjects := []string{batches + "." + partition}
	for _, earlier := range []string{batches, f.Events} {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(earlier))
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", schemas.StreamEvents, err)
		}
		if len(info.State.Subjects) > 0 {
			subjects = append(subjects, earlier)
		}
	}
	return subjects, nil
}

// Batches returns the subject of the batches with the events on a subject, such as nd.batches.r1.* for nd.events.r1.>.
func Batches(events string) (string, error) {
	rest, ok := strings.CutPrefix(events, schemas.PrefixEvents)
	tokens := strings.Split(rest, ".")
	if last := tokens[len(tokens)-1]; !ok || len(tokens) > 3 || last != ">" && (len(tokens) < 3 || last != "*") || slices.Contains(tokens, "") {
		return "", fmt.Errorf("%q is not a subject of all kinds of events, such as nd.events.r1.> or nd.events.*.eth0.*", events)
	}
	host, iface := tokens[0], "*"
	if host == ">" {
		host = "*"
	}
	if len(tokens) > 1 && tokens[1] != ">" {
		iface = tokens[1]
	}
	return schemas.PrefixBatches + host + "." + iface, nil
}

// delivery is the delivery of a message by the consumer.
type delivery struct {
	// stored is the sequence number of the message in the stream.
	stored uint64
	// at is when it was stored, in nanoseconds since 1970 by the server's clock.
	at uint64
	// pending is how many batches of the stream were behind it.
	pending uint64
	// number counts what the consumer has delivered since it was reset, from 1. A gap is a
	// lost message, which acknowledging the next one would acknowledge too.
	number uint64
}

// parseDelivery reads the reply subject of a message from a consumer, $JS.ACK.….<stored>.<number>.<time>.<pending>.
func parseDelivery(reply string) (delivery, error) {
	rest, numbers := reply, [4]uint64{}
	var err error
	for i := range numbers {
		dot := strings.LastIndexByte(rest, '.')
		if numbers[i], err = strconv.ParseUint(rest[dot+1:], 10, 64); err != nil {
			break
		}
		rest = rest[:max(dot, 0)]
	}
	if err != nil || !strings.HasPrefix(reply, "$JS.ACK.") {
		return delivery{}, fmt.Errorf("message with reply subject %q does not come from a consumer", reply)
	}
	return delivery{stored: numbers[3], number: numbers[2], at: numbers[1], pending: numbers[0]}, nil
}

// setReading notes that a session reads events, or no longer. What sensors published before,
// the judge may not have received.
func (f *Feed) setReading(reading bool) {
	f.reading.Store(reading)
	f.Judge.Deaf()
}

// Reading reports whether events are delivered now.
func (f *Feed) Reading() bool { return f.reading.Load() && f.Conn.Connected() }

// handle has the events of one batch evaluated. A message on a subject of events, as sensors stored them
// up to this version, is a batch of one. An error means that the session cannot go on.
func (f *Feed) handle(ctx context.Context, msg jetstream.Msg) error {
	at, err := parseDelivery(msg.Reply())
	if err != nil {
		return err
	}
	if at.number != f.last.number+1 {
		return fmt.Errorf("expected batch %d of the consumer, got %d", f.last.number+1, at.number)
	}
	f.gone += f.dropped(at.stored)
	f.last = at
	f.pending.Store(at.pending)
	again := at.stored < f.position.Events || at.stored == f.position.Events && f.position.Part == 0
	if !again && f.mine(msg.Subject()) {
		if err := f.judge(ctx, msg, at); err != nil {
			return err
		}
	} // else it was not acknowledged yet. Its alerts are published, and the judge must not see it twice.
	f.acks.finished(msg, f.Alerts.Published())
	f.delivered.Store(at.number)
	return nil
}

// mine reports whether a message is of the partition: those of earlier versions reach the feeds of all.
func (f *Feed) mine(subject string) bool {
	partitioned := strings.HasPrefix(subject, schemas.PrefixBatches) && strings.Count(subject, ".") == 4
	if f.Partition == EveryPartition || partitioned {
		return true
	}
	tokens := strings.Split(subject, ".") // at least four, as of the filter
	host, err := schemas.UnescapeToken(tokens[2])
	return err != nil && f.Partition == 0 || err == nil && schemas.Partition(host) == f.Partition
}

// dropped returns how many messages of the stream, of all partitions, were dropped between the last one and this one.
func (f *Feed) dropped(stored uint64) uint64 {
	next := f.last.stored + 1
	if end := min(stored, f.first.Load()); f.last.stored != 0 && end > next {
		return end - next
	}
	return 0
}

// judge has the events of a batch evaluated, those behind the position.
func (f *Feed) judge(ctx context.Context, msg jetstream.Msg, stored delivery) error {
	at := judge.Position{Stream: f.position.Stream, Events: stored.stored}
	done := 0
	if stored.stored == f.position.Events {
		done = f.position.Part
	}
	invalid, reason := 0, error(nil)
	for line := range message.Lines(msg.Data()) {
		if at.Part++; at.Part <= done {
			continue
		}
		if err := f.reader.Read(msg.Subject(), line); err != nil {
			invalid, reason = invalid+1, err
			continue
		}
		if err := f.Judge.Judge(ctx, judge.Input{
			Event: &f.reader.Event, Data: line, Stored: time.Unix(0, int64(stored.at)), Missed: f.gone, Position: at,
		}); err != nil {
			return err
		}
		f.gone, f.position = 0, at
	}
	if invalid > 0 {
		f.Metrics.Invalid.Add(float64(invalid))
		f.Log.Debug("dropped lines that are no events of their subject", "subject", msg.Subject(), "lines", invalid, "last error", reason)
	}
	at.Part = 0
	f.position = at
	f.Judge.Move(at)
	return nil
}
