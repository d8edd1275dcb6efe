package feed

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// acks acknowledges batches to the stream once their alerts are stored. An acknowledgement also
// acknowledges all earlier batches, so only one in many is sent.
type acks struct {
	// stored returns how many alerts are stored without a gap.
	stored func() uint64

	mu      sync.Mutex
	waiting []done // batches in order whose alerts are not stored yet
	newest  done   // everything up to it is done
	undone  int    // batches since the last acknowledgement
	timer   *time.Timer
}

// done is the newest of one or more batches that are finished when a number of alerts is stored.
type done struct {
	alerts uint64
	msg    jetstream.Msg
}

const (
	ackEvery = 512
	ackAfter = 50 * time.Millisecond
)

func newAcks(stored func() uint64) *acks {
	a := &acks{stored: stored}
	a.timer = time.AfterFunc(time.Hour, a.flush)
	a.timer.Stop()
	return a
}

// finished notes that a batch was evaluated, and how many alerts were published by then.
func (a *acks) finished(msg jetstream.Msg, alerts uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.undone++; a.undone == 1 {
		a.timer.Reset(ackAfter)
	}
	next := done{alerts, msg}
	if n := len(a.waiting); n > 0 && a.waiting[n-1].alerts == alerts {
		a.waiting[n-1] = next
	} else {
		a.waiting = append(a.waiting, next)
	}
	a.advance(a.undone >= ackEvery)
}

func (a *acks) progressed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(false)
}

func (a *acks) flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(true)
	if len(a.waiting) > 0 {
		a.timer.Reset(ackAfter)
	}
}

// reset forgets the batches of a session that has ended: they are delivered again.
func (a *acks) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer.Stop()
	a.waiting, a.newest, a.undone = nil, done{}, 0
}

func (a *acks) advance(send bool) {
	stored := a.stored()
	n := 0
	for n < len(a.waiting) && a.waiting[n].alerts <= stored {
		a.newest = a.waiting[n]
		n++
	}
	if n > 0 {
		a.waiting = append(a.waiting[:0], a.waiting[n:]...)
	}
	if !send {
		return
	}
	if a.newest.msg != nil {
		a.newest.msg.Ack() // it only fails if the connection is lost, and then all batches are delivered again
	}
	a.newest, a.undone = done{}, 0
}
