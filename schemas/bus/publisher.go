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
	"github.com/nats-io/nuid"
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
	// Fence, if set, returns a subject and the sequence number of the last message there. The server refuses a
	// message if another message has followed on that subject; then Fenced is called, in a goroutine of the connection.
	Fence  func() (subject string, last uint64)
	Fenced func()
}

// Defaults of PublisherConfig.
const (
	DefaultInFlight   = 256
	DefaultAckTimeout = 2 * time.Second
)

// maxUnit bounds the messages that are sent as one batch, in bytes, unless one alone is larger.
const maxUnit = 1 << 20

// Publisher publishes to a stream and keeps each message until the server has acknowledged it.
// Several messages are in flight at a time, and the stream has them in the order of publication.
// After a lost connection or a missing acknowledgement, all messages without one are sent again. So
// a message without an id may be stored twice. None is lost, except those that the server refuses
// permanently, which are logged.
//
// A cluster may lose the first messages in flight with the leader of the stream, and its next leader may
// store those behind them. So there the messages that wait are sent as an atomic batch, of which the
// server stores all or none (ADR-50), and the next batch follows its acknowledgement.
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
	units    bool // the server is one of a cluster: one batch is in flight at a time
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
	p.units = clustered(p.conn.NATS())
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
	if p.units {
		p.pumpUnit()
		return
	}
	for ; p.next < p.tail && p.next-p.head < uint64(p.cfg.InFlight); p.next++ {
		if m := p.at(p.next); !m.acked && !p.send(m, p.replies[p.next%uint64(p.cfg.InFlight)], nil) {
			return
		}
	}
	p.skip()
}

// skip removes the messages at the head that are stored, or were rejected.
func (p *Publisher) skip() {
	if p.head < p.next && p.at(p.head).acked {
		p.shift()
	}
}

// pumpUnit sends the messages that wait as one batch, unless one is in flight.
func (p *Publisher) pumpUnit() {
	for p.skip(); p.next == p.head && p.next < p.tail; p.skip() {
		var unit []*message
		size, last := 0, p.head
		for ; last < p.tail && last-p.head < uint64(p.cfg.InFlight); last++ {
			m := p.at(last)
			if size += len(m.data); size > maxUnit && len(unit) > 0 {
				break
			}
			if !m.acked {
				unit = append(unit, m)
			}
		}
		p.next = last
		batch, reply := nuid.Next(), p.replies[(last-1)%uint64(p.cfg.InFlight)]
		for i, m := range unit {
			header, to, end := nats.Header{}, "", i == len(unit)-1
			if end {
				to = reply
			}
			if len(unit) > 1 {
				InBatch(header, batch, i+1, end)
			}
			if !p.send(m, to, header) {
				return
			}
		}
	}
}

// send sends a message with a header, and reports false if nothing more can be sent now.
func (p *Publisher) send(m *message, reply string, header nats.Header) bool {
	if p.cfg.Ready != nil {
		if err := p.cfg.Ready(); err != nil {
			p.paused, p.refused = true, err
			p.again()
			return false
		}
	}
	switch err := p.write(m, reply, header); {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		p.reject(m, err)
	case err != nil:
		// Disconnected. Run resumes when the server is reached.
		p.paused = true
		return false
	}
	return true
}

func (p *Publisher) write(m *message, reply string, header nats.Header) error {
	if m.id == "" && p.cfg.Fence == nil && len(header) == 0 {
		return p.conn.NATS().PublishRequest(m.subject, reply, m.data)
	}
	if header == nil {
		header = nats.Header{}
	}
	if m.id != "" {
		header.Set(jetstream.MsgIDHeader, m.id)
	}
	if p.cfg.Fence != nil {
		subject, last := p.cfg.Fence()
		header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, subject)
		header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	}
	return p.conn.NATS().PublishMsg(&nats.Msg{Subject: m.subject, Reply: reply, Data: m.data, Header: header})
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
