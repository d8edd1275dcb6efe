package probe

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// troubles logs why the kernel does not accept what is sent out of a port: a cause once,
// and once more when it comes back. Results and counters report each failure.
type troubles struct {
	log *slog.Logger
	// standing counts those that are not over, so that a success is cheap without any.
	standing atomic.Int32

	mu   sync.Mutex
	list map[outlet]*trouble
}

// outlet identifies one kind of message out of one port. Each can fail on its own.
type outlet struct{ slave, kind string }

const (
	echoes        = "echo request"
	solicitations = "solicitation"
)

// trouble is why an outlet fails.
type trouble struct {
	cause  string
	since  time.Time
	warned time.Time // zero if it was never logged
	// over: it has succeeded since. reported: that it fails was logged, and not yet that
	// it is over.
	over, reported bool
}

const (
	// maxTroubles bounds the outlets that are remembered.
	maxTroubles = 256
	// mendAfter is how long a failure lasts before it is logged if the pinger tries to
	// mend it.
	mendAfter = time.Second
	// warnEvery is how often a cause that comes and goes is logged at most.
	warnEvery = 10 * time.Second
)

// failed notes a failure.
func (t *troubles) failed(o outlet, f *failure, now time.Time) {
	if f.cause == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	standing := t.list[o]
	if standing == nil || standing.cause != f.cause {
		if len(t.list) >= maxTroubles {
			maps.DeleteFunc(t.list, func(_ outlet, old *trouble) bool { return old.over })
		}
		if standing == nil && len(t.list) >= maxTroubles {
			return
		}
		if standing == nil || standing.over {
			t.standing.Add(1)
		}
		standing = &trouble{cause: f.cause, since: now}
		t.list[o] = standing
	} else if standing.over {
		standing.over, standing.since = false, now
		t.standing.Add(1)
	}
	if standing.reported || f.mends && now.Sub(standing.since) < mendAfter || !standing.warned.IsZero() && now.Sub(standing.warned) < warnEvery {
		return
	}
	standing.warned, standing.reported = now, true
	t.log.Warn("no "+o.kind+" leaves "+o.slave, "slave", o.slave, "why", f.why, "remedy", f.remedy())
}

// succeeded notes that the kernel has accepted what was sent.
func (t *troubles) succeeded(o outlet) {
	if t.standing.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	standing := t.list[o]
	if standing == nil || standing.over {
		return
	}
	t.standing.Add(-1)
	if standing.over = true; standing.reported {
		standing.reported = false
		t.log.Info(o.kind+"s leave "+o.slave+" again", "slave", o.slave)
	}
}
