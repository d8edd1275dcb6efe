package probe

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
)

// learned checks by samples whether the kernel learns the targets that answer the Prober:
// a firewall and a reverse-path filter are between the link and the kernel, but not
// between the link and the Prober.
type learned struct {
	kernel  Kernel
	solicit func([]wire.Solicitation)
	log     *slog.Logger
	// timer runs for the oldest sample.
	timer *time.Timer
	// repeated counts the samples that wait for a second answer, so that advertisements
	// are cheap without any.
	repeated atomic.Int32

	mu      sync.Mutex
	samples []*sample
	ports   map[int]*hearing // by index
}

// sample is a target that has answered.
type sample struct {
	target netip.Addr
	on     *port.Port
	due    time.Time
	// repeated: the kernel did not learn it, so it was solicited again. answered: it has
	// answered again.
	repeated, answered bool
}

// hearing says what the samples of a port have shown.
type hearing struct {
	next time.Time // when there may be another sample
	deaf bool      // the kernel does not learn what is behind the port, which was logged
}

const (
	// learnWithin is how long the kernel has to learn a target: it solicits every second.
	learnWithin = 2 * time.Second
	// repeatWait is how long a target may take to answer again.
	repeatWait = 500 * time.Millisecond
	// sampleEvery is the shortest time between two samples of a port.
	sampleEvery = 10 * time.Second
	// maxHearings bounds the ports that are remembered.
	maxHearings = 256
)

func newLearned(kernel Kernel, solicit func([]wire.Solicitation), log *slog.Logger) *learned {
	l := &learned{kernel: kernel, solicit: solicit, log: log, timer: time.NewTimer(time.Hour), ports: make(map[int]*hearing)}
	l.timer.Stop()
	return l
}

// expect notes that a target behind a port has answered, and that the kernel solicits for
// it now.
func (l *learned) expect(target netip.Addr, on *port.Port, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.ports[on.Index]
	if h == nil {
		if len(l.ports) >= maxHearings {
			maps.DeleteFunc(l.ports, func(_ int, old *hearing) bool { return now.After(old.next) })
		}
		if len(l.ports) >= maxHearings {
			return
		}
		h = &hearing{}
		l.ports[on.Index] = h
	}
	if now.Before(h.next) {
		return
	}
	h.next = now.Add(sampleEvery)
	l.samples = append(l.samples, &sample{target: target, on: on, due: now.Add(learnWithin)})
	l.arm(now)
}

// arm sets the timer for the sample that is due first. l.mu is held.
func (l *learned) arm(now time.Time) {
	if len(l.samples) > 0 {
		first := slices.MinFunc(l.samples, func(a, b *sample) int { return a.due.Compare(b.due) })
		l.timer.Reset(first.due.Sub(now))
	}
}

// heard notes that a target has answered a solicitation.
func (l *learned) heard(target netip.Addr, on *port.Port) {
	if l.repeated.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.samples {
		if s.repeated && s.target == target && s.on.Index == on.Index {
			s.answered = true
		}
	}
}

// check checks the samples that are due.
func (l *learned) check(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var again []wire.Solicitation
	l.samples = slices.DeleteFunc(l.samples, func(s *sample) bool {
		if now.Before(s.due) {
			return false
		}
		_, mac, err := l.kernel.Neighbour(s.target, s.on.Index)
		if known := err != nil || mac != nil; !known && !s.repeated {
			s.repeated, s.due = true, now.Add(repeatWait)
			l.repeated.Add(1)
			again = append(again, wire.Solicitation{On: s.on, Target: s.target})
			return false
		} else if known || s.answered {
			l.judge(s, !known)
		}
		if s.repeated {
			l.repeated.Add(-1)
		}
		return true
	})
	l.solicit(again)
	l.arm(now)
}

// judge logs that the kernel has become deaf to a port, or hears again. l.mu is held.
func (l *learned) judge(s *sample, deaf bool) {
	h := l.ports[s.on.Index]
	if h == nil || h.deaf == deaf {
		return
	}
	if h.deaf = deaf; !deaf {
		l.log.Info("the kernel learns the hosts behind "+s.on.Name+" again", "slave", s.on.Name)
		return
	}
	l.log.Warn("hosts behind "+s.on.Name+" answer, but the kernel does not learn them: a firewall of this host drops their Neighbor Advertisements, or a reverse-path filter does",
		"slave", s.on.Name, "target", s.target,
		"remedy", "accept ICMPv6 type 136 that comes in on "+s.on.Name+" (nft list ruleset, ip6tables -S); for a reverse-path filter: --route (PINGER_ROUTE), or IPv6_rpfilter=no in firewalld.conf")
}
