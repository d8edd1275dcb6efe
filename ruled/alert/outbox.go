package alert

import (
	"context"
	"sync"
	"time"
)

// outbox hands the alerts over to a program in this process, in their order: each when it is stored, so that
// an alert that was handed over is found again, or after giveAfter if it cannot be stored.
type outbox struct {
	give func(alert []byte, seq uint64)
	// most bounds the alerts that wait, in bytes.
	most int
	// lossless makes alerts wait for a slow program without end.
	lossless bool
	kick     chan struct{}

	mu    sync.Mutex
	moved *sync.Cond // the queue has become shorter
	queue []waiting
	bytes int
	// last is when the queue became shorter.
	last time.Time
	// given counts the alerts to be stored that were handed over or dropped, stored
	// those that count as stored. numbers are the sequence numbers of those between them.
	given, stored uint64
	numbers       []uint64
	dropped       uint64
}

// waiting is an alert that waits to be handed over.
type waiting struct {
	data []byte
	at   time.Time
	// stored is true if the alert is published to be stored.
	stored bool
}

const (
	// giveAfter is how long an alert waits to be stored before it is handed over.
	giveAfter = time.Second
	// stuckAfter is how long a program may need for one alert.
	stuckAfter = 2 * time.Second
)

func newOutbox(give func([]byte, uint64), most int, lossless bool) *outbox {
	o := &outbox{give: give, most: most, lossless: lossless, kick: make(chan struct{}, 1), last: time.Now()}
	o.moved = sync.NewCond(&o.mu)
	return o
}

// raise adds an alert, which is published to be stored or not. It waits for room as long as
// the program receives alerts. When the program is stuck, the oldest alert is dropped: that
// one is stored, and storing must not wait for the program.
func (o *outbox) raise(ctx context.Context, alert []byte, stored bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 && o.bytes+len(alert) > o.most && ctx.Err() == nil {
		patience := stuckAfter - time.Since(o.last)
		if !o.lossless && patience <= 0 {
			o.pop()
			o.dropped++
			continue
		}
		o.wait(ctx, max(patience, 0))
	}
	if len(o.queue) == 0 {
		o.last = time.Now()
	}
	o.queue = append(o.queue, waiting{alert, time.Now(), stored})
	o.bytes += len(alert)
	o.notify()
}

// wait waits until the queue has become shorter. Unless the outbox is lossless, it waits no longer than the duration.
func (o *outbox) wait(ctx context.Context, long time.Duration) {
	wake := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.moved.Broadcast()
	}
	defer context.AfterFunc(ctx, wake)()
	if !o.lossless {
		defer time.AfterFunc(long, wake).Stop()
	}
	o.moved.Wait()
}

// store notes that the next alert is stored, with a sequence number.
func (o *outbox) store(seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stored++; o.stored > o.given {
		o.numbers = append(o.numbers, seq)
	}
	o.notify()
}

func (o *outbox) notify() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

func (o *outbox) pop() (data []byte, seq uint64) {
	first := o.queue[0]
	data = first.data
	o.queue[0].data = nil
	o.queue = o.queue[1:]
	o.bytes -= len(data)
	if !first.stored {
		return data, 0
	}
	o.given++
	if len(o.numbers) > 0 {
		seq = o.numbers[0]
		o.numbers = o.numbers[1:]
	}
	return data, seq
}

// next returns the oldest alert if it is time to hand it over, or else how long that will take, 0 for unknown.
func (o *outbox) next(now time.Time) (data []byte, seq uint64, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.queue = nil // free its memory
		return nil, 0, 0
	}
	first := &o.queue[0]
	if age := now.Sub(first.at); first.stored && o.stored <= o.given && age < giveAfter {
		return nil, 0, giveAfter - age
	}
	data, seq = o.pop()
	o.last = now
	o.moved.Broadcast()
	return data, seq, 0
}

// run hands alerts over until the context ends, and then those that are left.
func (o *outbox) run(ctx context.Context) {
	timer := time.NewTimer(giveAfter)
	defer timer.Stop()
	for {
		now, ended := time.Now(), ctx.Err() != nil
		if ended { // the rest waits no longer to be stored
			now = now.Add(giveAfter)
		}
		data, seq, wait := o.next(now)
		switch {
		case data != nil:
			o.give(data, seq)
			continue
		case ended:
			return
		case wait > 0:
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
		case <-o.kick:
		case <-timer.C:
		}
	}
}
