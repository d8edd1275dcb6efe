package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoAnswer is wrapped by the error of Publisher.Health if the server is connected
// but does not acknowledge, as after its disk was full.
var ErrNoAnswer = errors.New("no acknowledgement (after a full disk, nats-server stores messages only when it is restarted)")

// Run sends the published messages until the context ends. It returns the error of
// the context, or of the subscription to acknowledgements.
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
	refusals := backoff{first: firstWait}
	if p.cfg.Fence != nil {
		refusals.first = fenceWait
	}
	var health error
	for {
		former := health
		if health = p.Health(); former != nil && health == nil {
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
			if late {
				p.trouble = ErrNoAnswer
			}
			p.mu.Unlock()
			if late {
				p.log.Warn("no acknowledgement from NATS, sending again", "after", p.cfg.AckTimeout)
				p.again()
			}
		case <-p.kick:
			p.mu.Lock()
			err, head := p.refused, p.head
			p.refused = nil
			p.mu.Unlock()
			if err == nil && p.conn.Connected() { // otherwise OnConnect kicks
				err = p.resume(ctx, inbox)
			}
			if err != nil {
				p.mu.Lock()
				p.trouble = err
				p.mu.Unlock()
				refusals.wait(ctx, head, func(next time.Duration) {
					p.log.Warn("cannot publish, retrying", "in", next, "error", err)
				})
				p.again()
			}
		}
		timer.Reset(p.cfg.AckTimeout)
	}
}

func (p *Publisher) acknowledged(m *nats.Msg) {
	epoch, slot, ok := replySlot(m.Subject)
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
		first := seq
		if p.units {
			first = p.head // it is the last of its batch
		}
		for n := first; n <= seq; n++ {
			p.at(n).acked = true
		}
		if p.cfg.OnStored != nil {
			p.at(seq).seq = storedAs(m.Data)
		}
	case refusal.permanent:
		p.reject(p.at(seq), refusal)
	default:
		p.paused = true
		p.refused = refusal
		p.mu.Unlock()
		if refusal.fenced && p.cfg.Fenced != nil {
			p.cfg.Fenced()
		}
		p.again()
		return
	}
	before := p.head
	p.shift()
	p.pump()
	moved := p.head != before
	p.mu.Unlock()
	if moved {
		p.progressed()
	}
}

// backoff waits longer each time that nothing was stored since the last time.
type backoff struct {
	first  time.Duration
	head   uint64
	next   time.Duration
	logged time.Time
}

const (
	firstWait = 50 * time.Millisecond
	// fenceWait is the first wait of a publisher with a fence, which its owner may have to store again. Subscribers
	// without JetStream receive each attempt.
	fenceWait = 500 * time.Millisecond
	longWait  = time.Second
)

func (b *backoff) wait(ctx context.Context, head uint64, log func(next time.Duration)) {
	if b.next == 0 || head != b.head {
		*b = backoff{first: b.first, head: head, next: b.first, logged: b.logged}
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

// replySlot reads the subject of a reply, <inbox>.<epoch>.<slot>.
func replySlot(subject string) (epoch, slot int, ok bool) {
	rest, last := cutLast(subject)
	_, first := cutLast(rest)
	epoch, err1 := strconv.Atoi(first)
	slot, err2 := strconv.Atoi(last)
	return epoch, slot, err1 == nil && err2 == nil && slot >= 0
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '.')
	return s[:max(i, 0)], s[i+1:]
}

// storedAs returns the sequence number in an acknowledgement, 0 if it has none.
func storedAs(ack []byte) uint64 {
	var a jetstream.PubAck
	if err := json.Unmarshal(ack, &a); err != nil {
		return 0
	}
	return a.Sequence
}

type refusal struct {
	text      string
	permanent bool // to send the message again does not help
	fenced    bool // another message has followed on the subject of the fence
}

func (r *refusal) Error() string { return r.text }

func refusalOf(m *nats.Msg) *refusal {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			return &refusal{text: "no stream has this subject (is nd-ruled running, which makes the streams, and is JetStream enabled on the NATS server?)"}
		}
		return &refusal{text: "empty reply, status " + strconv.Quote(m.Header.Get("Status"))}
	}
	// An acknowledgement begins with {"stream": and a refusal with {"error":. Other
	// orders of members are read too.
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var reply struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(m.Data, &reply); {
	case err != nil:
		return &refusal{text: fmt.Sprintf("invalid reply: %v", err)}
	case reply.Error == nil && reply.Stream != "":
		return nil
	case reply.Error == nil:
		return &refusal{text: "reply without a stream"}
	}
	code := reply.Error.ErrorCode
	return &refusal{text: reply.Error.Error(), permanent: code == errMessageTooLarge, fenced: code == jetstream.JSErrCodeStreamWrongLastSequence}
}

// errMessageTooLarge is the server's JSStreamMessageExceedsMaximumErr.
const errMessageTooLarge jetstream.ErrorCode = 10054
