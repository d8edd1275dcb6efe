package bench

import (
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
)

// The parameters of the pipeline scenarios.
const (
	ruleCount = 1000
	// One frame in alertEvery alerts: 1 %.
	alertEvery = 100
	// onPace is the share of the rate that the sender has to reach.
	onPace = 0.99
	// learning is the highest rate at which stations are learned.
	learning = 20_000
	// report is the interval at which the sensor reports lost frames. A pipeline
	// that counts nothing for still has evaluated all frames.
	report = time.Second
	still  = 3 * report
	// drained is the time limit for the pipeline to evaluate what it holds after
	// the last frame.
	drained = time.Minute
)

// pair is a veth pair: frames are sent on one end and captured on the other.
type pair struct {
	watched *lab.Namespace
	from    *lab.Namespace
	sender  *wire.Sender
}

// The interfaces of a pair.
const (
	watchedEnd = "r0"
	fromEnd    = "h0"
)

func (r *run) pair() pair {
	r.Helper()
	w := pair{watched: lab.New(r, "router"), from: lab.New(r, "host")}
	w.watched.Veth(watchedEnd, w.from, fromEnd)
	w.watched.Address(watchedEnd, "2001:db8:5::1/64")
	w.watched.LinkLocal(watchedEnd)
	w.from.LinkLocal(fromEnd)
	w.sender = wire.NewSender(r, w.from, fromEnd)
	return w
}

// load is the traffic of a pipeline, and what it meets.
type load struct {
	rules int // that match no frame
	// every is 0, or one frame in every alerts.
	every int
	// stations is how many stations send the frames, all of them known before; 0 is one.
	stations int
}

// begin starts the program on a pair, and lets it learn the stations.
func (r *run) begin(l load) (*system, pair) {
	r.Helper()
	w := r.pair()
	s := r.start(r, w.watched, job{interfaces: []string{watchedEnd}, rules: writeRules(l.rules), counted: true, env: []string{"SENSOR_REPORT=" + report.String()}})
	if l.stations > 0 {
		learn := min(r.rate, learning)
		s.pass(w, learn, time.Duration(l.stations)*time.Second/time.Duration(learn)+wire.Tick, load{stations: l.stations})
	}
	return s, w
}

// firstStation keeps the numbers of stations apart from those of other hosts.
const firstStation = 1 << 16

// passage is the result of a flood.
type passage struct {
	wire.Flood
	counts
	sent          float64 // frames that were on the wire
	lost          float64
	before, after usage
	late          time.Duration // from the last frame to its evaluation
	// arrivals is nil unless frames alert.
	*arrivals
}

// pass floods the system and waits until all frames are evaluated or lost.
func (s *system) pass(w pair, rate int, d time.Duration, l load) passage {
	s.Helper()
	var a *arrivals
	if l.every > 0 {
		a = s.expect(int(float64(rate)*d.Seconds()) / l.every)
		defer a.end()
	}
	fill := func(f *wire.Frame, number int) {
		if l.stations > 0 {
			f.SetSource(uint32(firstStation + number%l.stations))
		}
		if a != nil && number%l.every == l.every-1 {
			f.Set(alertTargets, uint32(number/l.every))
			a.leaves(number / l.every)
		} else {
			f.Set(quietTargets, uint32(number))
		}
	}
	dropped := w.from.Link(fromEnd).Attrs().Statistics.TxDropped
	before := s.counts()
	p := passage{arrivals: a, before: s.usage()}
	var err error
	p.Flood, err = w.sender.Flood(s.ctx, rate, d, fill)
	s.must(err, "flood "+fromEnd)
	p.sent = float64(p.Frames) - float64(w.from.Link(fromEnd).Attrs().Statistics.TxDropped-dropped)
	s.drain(&p, before)
	if a != nil {
		s.until(still, func() bool {
			missing, _ := a.outcome()
			return missing == 0
		})
	}
	return p
}

// drain waits until the frames of a passage are evaluated or lost.
func (s *system) drain(p *passage, before counts) {
	s.Helper()
	moved := time.Now()
	s.until(drained, func() bool {
		now := s.counts().minus(before)
		if now.evaluated != p.evaluated {
			moved = time.Now()
		}
		p.counts = now
		return now.evaluated+now.lost() >= p.sent || time.Since(moved) > still
	})
	p.late = moved.Sub(p.End)
	p.after = s.usage()
	p.lost = max(p.sent-p.evaluated, p.counts.lost(), 0)
}

// pipeline measures one flood.
func pipeline(l load) func(*run) {
	return func(r *run) {
		s, w := r.begin(l)
		begin := r.usage()
		p := s.pass(w, r.rate, r.Duration, l)
		r.addPassage(p)
		if p.arrivals != nil {
			r.addArrivals(p.arrivals)
			r.spread("frame to alert meanwhile", p.took(), nil, nil)
		}
		r.addMemory("", nil)
		begin.addOthers()
		s.stop()
	}
}

func (r *run) addPassage(p passage) {
	r.add(figure.Figure{Name: "frames sent a second", Value: p.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(r.rate))})
	r.add(figure.Figure{Name: "frames sent", Value: p.sent, Unit: figure.Count})
	r.add(figure.Figure{Name: "frames evaluated", Value: p.evaluated, Unit: figure.Count})
	r.add(figure.Figure{Name: "frames lost", Value: p.lost, Unit: figure.Count, Target: figure.Exactly(0)})
	for where, frames := range map[string]float64{"the kernel's queue": p.inKernel, "the sensor's buffer": p.inBuffer, "the stream": p.inStream} {
		if frames > 0 {
			r.add(figure.Figure{Name: "lost by " + where, Value: frames, Unit: figure.Count})
		}
	}
	r.add(figure.Figure{Name: "all evaluated after the last frame", Value: max(0, p.late.Seconds()), Unit: figure.Seconds})
	var limit *figure.Target
	switch r.rate {
	case 20_000: // each tick wakes a program up for fewer frames
		limit = r.own(figure.Times(1.6, bare))
	case 100_000:
		limit = r.own(figure.Times(1.3, bare))
	}
	r.addCost("processor time a frame", p.before, p.after, p.evaluated, limit)
	r.add(figure.Figure{Name: "processor time a frame, sending and delivery", Value: p.CPU.Seconds() / max(1, p.sent), Unit: figure.Seconds})
}

// The search for the highest rate.
const (
	// firstRate is doubled until it is too much.
	firstRate = 10_000
	// precision ends the search, as a share of the rate.
	precision = 0.05
	// behind is the time limit from the last frame to its evaluation at a
	// sustainable rate. More means that a queue grows.
	behind = 200 * time.Millisecond
	// tries is how often a rate is tried, because other programs use the machine
	// too.
	tries = 2
)

// search finds the highest rate at which nothing is lost and no queue grows.
func search(l load) func(*run) {
	return func(r *run) {
		s, w := r.begin(l)
		begin := r.usage()
		d := max(r.Duration/4, 100*time.Millisecond)
		sustained := func(rate int) bool {
			for range tries {
				p := s.pass(w, rate, d, l)
				missing := 0
				if p.arrivals != nil {
					missing, _ = p.outcome()
				}
				if p.Rate() >= onPace*float64(rate) && p.lost == 0 && missing == 0 && p.late < behind {
					return true
				}
			}
			return false
		}
		low := r.highest(sustained)
		r.compare(figure.Figure{Name: "frames a second without loss", Value: float64(low), Unit: figure.PerSecond, Target: r.own(figure.AtLeastTimes(0.9, bare))})
		begin.addOthers()
		s.stop()
	}
}

// highest returns the highest rate that is sustained, from firstRate or Config.Rate on.
func (r *run) highest(sustained func(rate int) bool) int {
	low, high := 0, firstRate
	if r.Rate > 0 {
		high = r.Rate
	}
	for ; high <= maxRate && sustained(high); high *= 2 {
		low = high
	}
	for float64(high-low) > precision*float64(high) && high > firstRate/100 {
		if middle := (low + high) / 2; sustained(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// latency measures the time from a frame to its alert, or to its line of tcpdump.
func latency(r *run) {
	s, w := r.begin(load{rules: ruleCount})
	begin := r.usage()
	p := s.pass(w, r.rate, r.Duration, load{every: 1})
	r.addArrivals(p.arrivals)
	r.spread("frame to alert", p.took(), r.own(map[string]*figure.Target{printed: figure.Times(2, dumper), subscribed: figure.Times(3, dumper)}[r.program.name]), nil)
	r.addCost("processor time a frame", p.before, p.after, p.sent, nil)
	begin.addOthers()
	s.stop()
}
