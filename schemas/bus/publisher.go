package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PublisherConfig has the limits and the hooks of a Publisher.
type PublisherConfig struct {
	// InFlight is the maximum number of messages that wait for an acknowledgement. The server
	// queues 10,000 messages for a stream, from all publishers together, and drops more.
	InFlight int
	// Buffer limits the messages in memory, sent or not, in bytes with overhead.
	Buffer int
	// AckTimeout is the time without any acknowledgement after which all messages
	// in flight are sent again.
	AckTimeout time.Duration
	// Stored, if set, is called before messages are sent again. It returns which
	// ids the stream has already. The server stores such a message only once, but
	// subscribers without JetStream would receive it twice.
	Stored func(context.Context) (func(msgID string) bool, error)
	// OnProgress, if set, is called after Acknowledged has grown. It must not block.
	OnProgress func()
	// OnStored, if set, is called for each acknowledged message, in order, with its sequence number
	// in the stream, 0 if that is unknown. The publisher is locked meanwhile.
	OnStored func(seq uint64)
	// Ready, if set, is called before a message is sent. Nothing is sent while it returns an error.
	Ready func() error
}

// Defaults of PublisherConfig.
const (
	DefaultInFlight   = 256
	DefaultAckTimeout = 5 * time.Second
)

// Publisher publishes to a stream and keeps each message until the server has acknowledged it.
// Several messages are in flight at a time, and the stream has them in the order of publication.
// After a lost connection or a missing acknowledgement, all messages without one are sent again. So
// a message without an id may be stored twice. None is lost, except those that the server refuses
// permanently, which are logged.
//
// PublishAsync of nats.go does most of this, but takes up to twice the CPU time per message
// and drops the messages in flight when the connection breaks. So does the server's fast batch
// publishing (jetstreamext.FastPublisher of orbit.go), which takes half the CPU time.
type Publisher struct {
	conn *Conn
	cfg  PublisherConfig
	log  *slog.Logger
	kick chan struct{} // makes Run send all messages in flight again

	mu    sync.Mutex
	moved *sync.Cond // head has changed
	queue
	paused   bool // nothing is sent until Run resumes
	waiters  int
	progress time.Time // of the last acknowledgement, or of the first message after idle time
	rejected uint64    // messages that the server refused permanently; they count as acknowledged
	refused  error     // why the server did not store a message, for Run
	// since is when the message at the head came there, and trouble the last error since then.
	since   time.Time
	trouble error
	// The reply subjects of the messages in flight, by number modulo InFlight. The epoch in them
	// changes when messages are sent again, so that late acknowledgements are recognised.
	replies []string
	epoch   int
}

// NewPublisher returns a publisher. It sends nothing until Run is called.
func NewPublisher(conn *Conn, cfg PublisherConfig, log *slog.Logger) *Publisher {
	p := &Publisher{
		conn:    conn,
		cfg:     cfg,
		log:     log,
		kick:    make(chan struct{}, 1),
		paused:  true,
		replies: make([]string, cfg.InFlight),
	}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// Health returns an error if messages wait and none was stored for AckTimeout.
func (p *Publisher) Health() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	waits := time.Since(p.since)
	if p.head == p.tail || waits < p.cfg.AckTimeout {
		return nil
	}
	err := fmt.Errorf("%d messages wait to be stored, the oldest for %v", p.tail-p.head, waits.Round(time.Millisecond))
	if p.trouble != nil {
		err = fmt.Errorf("%w: %w", err, p.trouble)
	}
	return err
}

func (p *Publisher) again() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// resume sends all messages without an acknowledgement, the oldest first.
func (p *Publisher) resume(ctx context.Context, inbox string) error {
	p.mu.Lock()
	p.paused = true
	second := p.next > p.head
	p.mu.Unlock()
	stored := func(string) bool { return false }
	if second && p.cfg.Stored != nil {
		var err error
		if stored, err = p.cfg.Stored(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	for seq := p.head; seq < p.next; seq++ {
		if m := p.at(seq); m.id != "" && stored(m.id) {
			m.acked = true
		}
	}
	p.epoch++
	prefix := inbox + "." + strconv.Itoa(p.epoch) + "."
	for slot := range p.replies {
		p.replies[slot] = prefix + strconv.Itoa(slot)
	}
	p.shift()
	p.next = p.head
	p.paused = false
	p.progress = time.Now()
	p.pump()
	p.mu.Unlock()
	p.progressed()
	return nil
}

func (p *Publisher) progressed() {
	if p.cfg.OnProgress != nil {
		p.cfg.OnProgress()
	}
}

// TryPublish queues a message with a copy of data. It does not block, and reports false if the
// buffer is full and the message was dropped. With an empty msgID, the message has no Nats-Msg-Id.
func (p *Publisher) TryPublish(subject, msgID string, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.room(data) {
		return false
	}
	p.add(subject, msgID, data)
	return true
}

// Publish is TryPublish, but waits until the buffer has room or the context ends.
func (p *Publisher) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(ctx, func() bool { return p.room(data) }); err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	p.add(subject, msgID, data)
	return nil
}

// Flush waits until all messages so far are acknowledged or the context ends.
func (p *Publisher) Flush(ctx context.Context) error {
	return p.Wait(ctx, p.Published())
}

// Wait waits until the first n messages that were queued are acknowledged or the context ends.
func (p *Publisher) Wait(ctx context.Context, n uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(ctx, func() bool { return p.head >= n }); err != nil {
		return fmt.Errorf("wait for the acknowledgement of %d messages: %w", n-p.head, err)
	}
	return nil
}

// Published returns the number of messages queued so far.
func (p *Publisher) Published() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail
}

// Acknowledged returns the number of messages, counted from the first one, that are
// stored without a gap.
func (p *Publisher) Acknowledged() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head
}

// wait is called with mu held.
func (p *Publisher) wait(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	p.waiters++
	defer func() { p.waiters-- }()
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved.Broadcast()
	})
	defer stop()
	for !done() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.moved.Wait()
	}
	return nil
}

// room reports whether a message fits into the buffer. An empty buffer has room for any message.
func (p *Publisher) room(data []byte) bool {
	return p.head == p.tail || p.bytes+len(data)+overhead <= p.cfg.Buffer
}

func (p *Publisher) add(subject, msgID string, data []byte) {
	if p.head == p.tail {
		p.since, p.trouble = time.Now(), nil
	}
	p.push(subject, msgID, data)
	p.pump()
}

// pump sends as many messages as may be in flight.
func (p *Publisher) pump() {
	if p.paused {
		return
	}
	if p.next == p.head {
		p.progress = time.Now()
	}
	for ; p.next < p.tail && p.next-p.head < uint64(p.cfg.InFlight); p.next++ {
		m := p.at(p.next)
		if m.acked {
			continue
		}
		if p.cfg.Ready != nil {
			if err := p.cfg.Ready(); err != nil {
				p.paused, p.refused = true, err
				p.again()
				return
			}
		}
		switch err := p.send(m, p.replies[p.next%uint64(p.cfg.InFlight)]); {
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
			p.reject(m, err)
		case err != nil:
			// Disconnected. Run resumes when the server is reached.
			p.paused = true
			return
		}
	}
	if p.head < p.next && p.at(p.head).acked {
		p.shift()
	}
}

func (p *Publisher) send(m *message, reply string) error {
	if m.id == "" {
		return p.conn.NATS().PublishRequest(m.subject, reply, m.data)
	}
	msg := nats.Msg{Subject: m.subject, Reply: reply, Data: m.data, Header: nats.Header{}}
	msg.Header.Set(jetstream.MsgIDHeader, m.id)
	return p.conn.NATS().PublishMsg(&msg)
}

func (p *Publisher) reject(m *message, err error) {
	m.acked = true
	p.rejected++
	p.log.Error("message dropped, the server refuses it permanently", "subject", m.subject, "bytes", len(m.data), "error", err)
}

// shift removes the acknowledged messages at the head of the queue.
func (p *Publisher) shift() {
	before := p.head
	p.pop(4*p.cfg.InFlight, func(m *message) {
		if p.cfg.OnStored != nil {
			p.cfg.OnStored(m.seq)
		}
	})
	if p.head == before {
		return
	}
	p.progress = time.Now()
	p.since, p.trouble = p.progress, nil
	if p.waiters > 0 {
		p.moved.Broadcast()
	}
}

// queue is a ring of messages, numbered from 0 on. Those from head to tail wait for
// their acknowledgement, and those before next have been sent.
type queue struct {
	ring             []message
	head, next, tail uint64
	bytes            int // of the messages, with overhead
	// large has memory for data that is longer than maxKept. It is freed when it is not used.
	large sync.Pool
}

type message struct {
	subject, id string
	data        []byte
	acked       bool
	seq         uint64 // in the stream
}

const (
	overhead = 128 // what a message costs in addition to its data, in bytes
	minRing  = 64  // messages
	// maxKept is how much memory for data a place in the ring keeps for its next message, in bytes.
	maxKept = 4096
)

func (q *queue) at(n uint64) *message { return &q.ring[n%uint64(len(q.ring))] }

func (q *queue) push(subject, id string, data []byte) {
	if q.tail-q.head == uint64(len(q.ring)) {
		larger := make([]message, max(2*len(q.ring), minRing))
		for n := q.head; n < q.tail; n++ {
			larger[n%uint64(len(larger))] = *q.at(n)
		}
		q.ring = larger
	}
	m := q.at(q.tail)
	if len(data) > maxKept {
		if large, ok := q.large.Get().(*[]byte); ok {
			m.data = *large
		}
	}
	*m = message{subject: subject, id: id, data: append(m.data[:0], data...)}
	q.tail++
	q.bytes += len(data) + overhead
}

// pop removes the acknowledged messages at the head and calls removed for each. It
// frees the memory of a ring that has grown beyond limit.
func (q *queue) pop(limit int, removed func(*message)) {
	for q.head < q.tail && q.at(q.head).acked {
		m := q.at(q.head)
		q.bytes -= len(m.data) + overhead
		m.acked = false
		if cap(m.data) > maxKept {
			data := m.data
			q.large.Put(&data)
			m.data = nil
		}
		q.head++
		removed(m)
	}
	q.next = max(q.next, q.head)
	if q.head == q.tail && len(q.ring) > limit {
		q.ring = nil
	}
}
