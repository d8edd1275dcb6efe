package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PublisherConfig bounds a Publisher.
type PublisherConfig struct {
	// InFlight is how many messages may wait for their acknowledgement at a
	// time. The server's queue for a stream holds 10,000 of all publishers
	// together and drops what is beyond.
	InFlight int
	// Buffer is how many bytes may wait, sent or not, the publisher's own
	// bookkeeping included.
	Buffer int
	// AckTimeout is after how long without any acknowledgement everything that
	// waits for one is sent again.
	AckTimeout time.Duration
	// Stored, if set, is asked before messages are sent a second time, for the
	// ids of those that the stream has. The server drops a message with an id
	// that it has, but not before subscribers without JetStream have got it.
	Stored func(context.Context) (func(msgID string) bool, error)
	// OnProgress, if set, is called when Acknowledged has grown. It must be
	// quick.
	OnProgress func()
	// OnStored, if set, is called for each message when it counts as acknowledged, in
	// order, with its sequence number in the stream, 0 where that is not known. It is
	// called with the publisher locked.
	OnStored func(seq uint64)
	// Ready, if set, is asked before a message is sent. While it returns an error,
	// nothing is sent.
	Ready func() error
}

// Defaults of PublisherConfig.
const (
	DefaultInFlight   = 2048
	DefaultAckTimeout = 5 * time.Second
)

// Publisher publishes to a stream and keeps each message until the server has
// acknowledged it. Several messages are in flight at a time; they are stored in
// the order in which they were given. When the connection was lost or an
// acknowledgement does not come, all that has none is sent again, so a message
// may be stored twice unless it has an id, but is never lost in silence.
//
// nats.go's PublishAsync does much of that, at more than twice the CPU time for
// a message, and gives up what was in flight when the connection breaks.
type Publisher struct {
	conn *Conn
	cfg  PublisherConfig
	log  *slog.Logger
	kick chan struct{} // asks Run to send again

	mu    sync.Mutex
	moved *sync.Cond // head or closed has changed
	// The queue is a ring: messages head up to tail wait for acknowledgement,
	// those up to next have been sent.
	ring             []message
	head, next, tail uint64
	bytes            int
	paused           bool // nothing is sent until Run says so
	waiters          int
	progress         time.Time // of the last acknowledgement, or sending after idleness
	rejected         uint64
	refused          error // why the server did not store a message, for Run
	// since is when the oldest message that waits became the oldest, trouble what
	// was last wrong since then.
	since   time.Time
	trouble error
	// The reply subject of a message is its place in the window of messages in
	// flight; the epoch, in the prefix, tells late acknowledgements of a message
	// that was sent again.
	replies []string
	epoch   int
}

type message struct {
	subject, id string
	data        []byte
	acked       bool
	seq         uint64 // in the stream
}

// overhead is what a message costs beside its data, in bytes.
const overhead = 128

// NewPublisher makes a publisher; Run makes it publish.
func NewPublisher(conn *Conn, cfg PublisherConfig, log *slog.Logger) *Publisher {
	p := &Publisher{
		conn:    conn,
		cfg:     cfg,
		log:     log,
		kick:    make(chan struct{}, 1),
		ring:    make([]message, 64),
		paused:  true,
		replies: make([]string, cfg.InFlight),
	}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// Run sends what is published until the context ends. It returns the context's
// error, or that of the subscription to acknowledgements.
func (p *Publisher) Run(ctx context.Context) error {
	inbox := p.conn.NATS().NewInbox()
	sub, err := p.conn.NATS().Subscribe(inbox+".*.*", p.acknowledged)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	defer sub.Unsubscribe()
	p.conn.OnConnect(func(bool) { p.again() })
	p.again()

	timer := time.NewTimer(p.cfg.AckTimeout)
	defer timer.Stop()
	var refusals backoff
	var ill error
	for {
		was := ill
		if ill = p.Health(); was != nil && ill == nil {
			p.log.Info("messages are stored again")
		}
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.paused = true
			p.mu.Unlock()
			return ctx.Err()
		case <-timer.C:
			p.mu.Lock()
			late := !p.paused && p.next > p.head && time.Since(p.progress) >= p.cfg.AckTimeout
			p.mu.Unlock()
			if late {
				p.mu.Lock()
				p.trouble = ErrNoAnswer
				p.mu.Unlock()
				p.log.Warn("no acknowledgement from NATS, sending again", "after", p.cfg.AckTimeout)
				p.again()
			}
		case <-p.kick:
			p.mu.Lock()
			err, head := p.refused, p.head
			p.refused = nil
			p.mu.Unlock()
			if err == nil && p.conn.Connected() { // else OnConnect kicks again
				err = p.resume(ctx, inbox)
			}
			if err != nil {
				p.mu.Lock()
				p.trouble = err
				p.mu.Unlock()
				refusals.wait(ctx, head, func(next time.Duration) {
					p.log.Warn("cannot publish, trying again", "in", next, "error", err)
				})
				p.again()
			}
		}
		timer.Reset(p.cfg.AckTimeout)
	}
}

// ErrNoAnswer is in the error of Publisher.Health of a server that is connected and does
// not answer, as one whose disk was full.
var ErrNoAnswer = errors.New("no acknowledgement (a nats-server whose disk was full stores again when it is restarted)")

// Health returns an error while messages wait and for AckTimeout none was stored.
func (p *Publisher) Health() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	waits := time.Since(p.since)
	if p.head == p.tail || waits < p.cfg.AckTimeout {
		return nil
	}
	err := fmt.Errorf("%d messages wait to be stored, for %v now", p.tail-p.head, waits.Round(time.Millisecond))
	if p.trouble != nil {
		err = fmt.Errorf("%w: %w", err, p.trouble)
	}
	return err
}

// backoff waits longer each time that nothing was stored since the last.
type backoff struct {
	head   uint64
	next   time.Duration
	logged time.Time
}

const (
	firstWait  = 50 * time.Millisecond
	longWait   = 2 * time.Second
	logRefusal = 30 * time.Second // the same trouble is logged that often
)

func (b *backoff) wait(ctx context.Context, head uint64, log func(next time.Duration)) {
	if b.next == 0 || head != b.head {
		*b = backoff{head: head, next: firstWait, logged: b.logged}
	}
	if time.Since(b.logged) >= logRefusal {
		b.logged = time.Now()
		log(b.next)
	}
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	b.next = min(2*b.next, longWait)
}

func (p *Publisher) again() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// resume sends everything that has no acknowledgement, from the oldest on.
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
	p.pop()
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

func (p *Publisher) at(seq uint64) *message { return &p.ring[seq%uint64(len(p.ring))] }

// TryPublish queues a message and returns; it copies the data. It reports false
// when the buffer is full and the message was dropped. An empty msgID sends no
// Nats-Msg-Id.
func (p *Publisher) TryPublish(subject, msgID string, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.room(data) {
		return false
	}
	p.push(subject, msgID, data)
	return true
}

// Publish is TryPublish but waits for room in the buffer until the context
// ends.
func (p *Publisher) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(ctx, func() bool { return p.room(data) }); err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	p.push(subject, msgID, data)
	return nil
}

// Flush waits until every message so far is acknowledged or the context ends.
func (p *Publisher) Flush(ctx context.Context) error {
	return p.Wait(ctx, p.Published())
}

// Wait waits until the first n messages that were queued are acknowledged or the
// context ends.
func (p *Publisher) Wait(ctx context.Context, n uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(ctx, func() bool { return p.head >= n }); err != nil {
		return fmt.Errorf("wait for the acknowledgement of %d messages: %w", n-p.head, err)
	}
	return nil
}

// Published returns the number of messages that were queued so far.
func (p *Publisher) Published() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail
}

// Acknowledged returns how many messages, counted from the first that was
// queued, are stored without a gap.
func (p *Publisher) Acknowledged() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head
}

// Rejected returns how many messages the server will never take, such as those
// over its size limit. They count as acknowledged.
func (p *Publisher) Rejected() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rejected
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

// room always has a place for one message, however large.
func (p *Publisher) room(data []byte) bool {
	return p.head == p.tail || p.bytes+len(data)+overhead <= p.cfg.Buffer
}

func (p *Publisher) push(subject, msgID string, data []byte) {
	if p.tail-p.head == uint64(len(p.ring)) {
		larger := make([]message, 2*len(p.ring))
		for seq := p.head; seq < p.tail; seq++ {
			larger[seq%uint64(len(larger))] = *p.at(seq)
		}
		p.ring = larger
	}
	if p.head == p.tail {
		p.since, p.trouble = time.Now(), nil
	}
	m := p.at(p.tail)
	*m = message{subject: subject, id: msgID, data: append(m.data[:0], data...)}
	p.tail++
	p.bytes += len(data) + overhead
	p.pump()
}

// pump sends what the window has room for.
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
			// The connection is away; Run resumes when it is back.
			p.paused = true
			return
		}
	}
	if p.head < p.next && p.at(p.head).acked {
		p.pop()
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
	p.log.Error("message can never be published, dropped", "subject", m.subject, "bytes", len(m.data), "error", err)
}

// pop takes the acknowledged messages from the head of the queue.
func (p *Publisher) pop() {
	before := p.head
	for p.head < p.tail && p.at(p.head).acked {
		m := p.at(p.head)
		p.bytes -= len(m.data) + overhead
		m.acked = false
		p.head++
		if p.cfg.OnStored != nil {
			p.cfg.OnStored(m.seq)
		}
	}
	p.next = max(p.next, p.head)
	if p.head == before {
		return
	}
	p.progress = time.Now()
	p.since, p.trouble = p.progress, nil
	if p.head == p.tail && len(p.ring) > 4*p.cfg.InFlight {
		p.ring = make([]message, 64) // give back what an outage has filled
	}
	if p.waiters > 0 {
		p.moved.Broadcast()
	}
}

// acknowledged takes the server's answer to a message, on <inbox>.<epoch>.<slot>.
func (p *Publisher) acknowledged(m *nats.Msg) {
	epoch, slot, ok := replyPlace(m.Subject)
	if !ok || slot >= p.cfg.InFlight {
		return
	}
	refusal := refusalOf(m)
	p.mu.Lock()
	if epoch != p.epoch || p.paused {
		p.mu.Unlock()
		return
	}
	window := uint64(p.cfg.InFlight)
	seq := p.head + (uint64(slot)+window-p.head%window)%window
	if seq >= p.next {
		p.mu.Unlock()
		return
	}
	switch {
	case refusal == nil:
		p.at(seq).acked = true
		if p.cfg.OnStored != nil {
			p.at(seq).seq = storedAs(m.Data)
		}
	case refusal.permanent:
		p.reject(p.at(seq), refusal)
	default:
		p.paused = true
		p.refused = refusal
		p.mu.Unlock()
		p.again()
		return
	}
	before := p.head
	p.pop()
	p.pump()
	moved := p.head != before
	p.mu.Unlock()
	if moved {
		p.progressed()
	}
}

func replyPlace(subject string) (epoch, slot int, ok bool) {
	rest, last, ok := cutLast(subject)
	if !ok {
		return 0, 0, false
	}
	_, first, ok := cutLast(rest)
	if !ok {
		return 0, 0, false
	}
	epoch, err1 := strconv.Atoi(first)
	slot, err2 := strconv.Atoi(last)
	return epoch, slot, err1 == nil && err2 == nil && slot >= 0
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// storedAs returns the sequence number in an acknowledgement, 0 where it has none.
func storedAs(ack []byte) uint64 {
	var a jetstream.PubAck
	if err := json.Unmarshal(ack, &a); err != nil {
		return 0
	}
	return a.Sequence
}

// refusal is an answer that is no acknowledgement.
type refusal struct {
	text      string
	permanent bool // sending again will not help
}

func (r *refusal) Error() string { return r.text }

// refusalOf returns nil for an acknowledgement.
func refusalOf(m *nats.Msg) *refusal {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			return &refusal{text: "no stream takes the subject (is nd-ruled running, which makes the streams, and is JetStream enabled on the NATS server?)"}
		}
		return &refusal{text: "empty answer, status " + strconv.Quote(m.Header.Get("Status"))}
	}
	// A PubAck begins {"stream": and a refusal {"error":, but be sure.
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return &refusal{text: fmt.Sprintf("answer that is not understood: %v", err)}
	case answer.Error == nil && answer.Stream != "":
		return nil
	case answer.Error == nil:
		return &refusal{text: "answer without a stream"}
	}
	return &refusal{text: answer.Error.Error(), permanent: answer.Error.ErrorCode == errMessageTooLarge}
}

// errMessageTooLarge is the server's JSStreamMessageExceedsMaximumErr.
const errMessageTooLarge jetstream.ErrorCode = 10054
