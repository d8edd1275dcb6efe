package alert

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outbox hands the alerts over to a program in this process, in their order.
type outbox struct {
	give func(alert []byte, id string, after uint64)
	// most bounds the alerts that wait, in bytes. The oldest are dropped: they are stored.
	most    int
	dropped prometheus.Counter
	kick    chan struct{}
	taken   chan struct{} // receives when an alert was handed over

	mu    sync.Mutex
	queue []raised
	bytes int
	stuck bool // none was handed over for stuckAfter
}

// raised are the arguments of give.
type raised struct {
	alert []byte
	id    string
	after uint64
}

func newOutbox(give func([]byte, string, uint64), most int, dropped prometheus.Counter) *outbox {
	return &outbox{give: give, most: most, dropped: dropped, kick: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// raise adds an alert. It waits for room as long as the program receives alerts. When the
// program is stuck, the oldest alerts are dropped.
func (o *outbox) raise(ctx context.Context, a raised) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 && o.bytes+len(a.alert) > o.most && ctx.Err() == nil {
		if o.stuck {
			o.pop()
			o.dropped.Inc()
			continue
		}
		stuck := false
		o.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-o.taken:
		case <-time.After(stuckAfter):
			stuck = true
		}
		o.mu.Lock()
		o.stuck = o.stuck || stuck
	}
	o.queue = append(o.queue, a)
	o.bytes += len(a.alert)
	signal(o.kick)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (o *outbox) pop() raised {
	first := o.queue[0]
	o.queue[0] = raised{}
	o.queue = o.queue[1:]
	o.bytes -= len(first.alert)
	return first
}

// next returns the oldest alert, if there is one.
func (o *outbox) next() (a raised, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.queue = nil // free its memory
		return raised{}, false
	}
	o.stuck = false
	signal(o.taken)
	return o.pop(), true
}

// run hands alerts over until the context ends, and then those that are left.
func (o *outbox) run(ctx context.Context) {
	for {
		ended := ctx.Err() != nil
		if a, ok := o.next(); ok {
			o.give(a.alert, a.id, a.after)
			continue
		}
		if ended {
			return
		}
		select {
		case <-ctx.Done():
		case <-o.kick:
		}
	}
}
