package bench

import (
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
)

// load has the hosts send events at a rate, and waits until they are evaluated.
func (f *thinFleet) load(rate int, d time.Duration) passage {
	f.Helper()
	before, sent := f.counts(), f.sent()
	p := passage{before: f.usage()}
	p.Flood = f.turns(f.ctx, max(1, rate/burst), d, (*simulated).capture)
	p.sent = float64(f.sent() - sent)
	f.drain(&p, before)
	return p
}

// joinAll has each host send all its frames once.
func (f *thinFleet) joinAll() { f.join(len(f.hosts), len(f.hosts)*len(f.frames)/burst) }

// rest has the hosts send nothing but heartbeats. It returns the resident memory of all nd-ruled.
func (f *thinFleet) rest(d time.Duration) (bytes float64) {
	f.Helper()
	f.turns(f.ctx, max(1, len(f.hosts)/2), d, (*simulated).beat)
	for _, p := range f.parts {
		if strings.HasPrefix(p.name, ndRuled) {
			now, _, err := proc.Memory(p.PID())
			f.must(err, "measure")
			bytes += float64(now)
		}
	}
	return bytes
}

// fleetCost measures what hosts cost, first when they are quiet, then under load.
func fleetCost(f *thinFleet) {
	hosts := len(f.hosts)
	few := max(1, hosts/10) // whatever does not depend on the number of hosts is in use with these
	f.join(few, hosts*len(f.frames)/burst)
	first := *f
	first.hosts = f.hosts[:few]
	base := first.rest(f.Duration / 2)
	f.joinAll()
	quiet := figure.Figure{Name: "memory of all nd-ruled, a quiet host", Value: max(0, f.rest(f.Duration/2)-base) / float64(max(1, hosts-few)), Unit: figure.Bytes}
	if hosts >= 1000 { // with fewer, memory that comes and goes is more than that
		quiet.Target = figure.Below(20e3)
	}
	f.add(quiet)
	before := f.usage()
	f.rest(f.Duration)
	after := f.usage()
	f.addCost("processor time a second with quiet hosts", before, after, after.since.Sub(before.since).Seconds(), nil)
	p := f.load(f.rate, f.Duration)
	f.add(figure.Figure{Name: "events sent a second", Value: burst * p.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(f.rate))})
	f.add(figure.Figure{Name: "events lost", Value: p.lost, Unit: figure.Count, Target: figure.Exactly(0)})
	f.add(figure.Figure{Name: "all evaluated after the last event", Value: max(0, p.late.Seconds()), Unit: figure.Seconds})
	var limit *figure.Target
	if first := (*f.run.before)[0].Program; first != f.program.name {
		limit = figure.Times(1.3, first)
	}
	f.addCost("processor time an event", p.before, p.after, p.evaluated, limit)
	f.addMemory("", nil)
	before.addOthers()
	f.stop()
}

// fleetRate finds the highest rate at which nothing is lost and no queue grows.
func fleetRate(f *thinFleet) {
	f.joinAll()
	begin := f.usage()
	rate := f.highest(func(rate int) bool {
		for range tries {
			if p := f.load(rate, max(f.Duration/4, 100*time.Millisecond)); burst*p.Rate() >= onPace*float64(rate) && p.lost == 0 && p.late < behind {
				return true
			}
		}
		return false
	})
	f.compare(figure.Figure{Name: "events a second without loss", Value: float64(rate), Unit: figure.PerSecond})
	begin.addOthers()
	f.stop()
}

// away is how many times Config.Duration a fleet has no nd-ruled.
const away = 6

// fleetCatchUp measures how fast a fleet catches up after it had no nd-ruled, while the hosts
// go on.
func fleetCatchUp(f *thinFleet) {
	f.joinAll()
	for n := range f.Ruled {
		f.take(ndRuled, n).Stop()
	}
	before, bursts := f.sent(), max(1, f.rate/burst)
	f.turns(f.ctx, bursts, away*f.Duration, (*simulated).capture)
	end := f.during(bursts, (*simulated).capture)
	waiting, start := f.sent()-before, time.Now()
	for n := range f.Ruled {
		f.evaluate(n)
	}
	evaluated, took := 0.0, time.Duration(0)
	f.eventually("it catches up", func() bool {
		evaluated, took = f.counts().evaluated, time.Since(start)
		return float64(f.sent()-before)-evaluated < float64(f.rate)*behind.Seconds()
	})
	end()
	f.add(figure.Figure{Name: "events that waited", Value: float64(waiting), Unit: figure.Count})
	f.add(figure.Figure{Name: "caught up after", Value: took.Seconds(), Unit: figure.Seconds})
	f.add(figure.Figure{Name: "events evaluated a second", Value: evaluated / took.Seconds(), Unit: figure.PerSecond, Target: figure.AtLeast(3 * float64(f.rate))})
	f.eventually("the last events are evaluated", func() bool { return f.counts().evaluated >= float64(f.sent()-before) })
	f.stop()
}
