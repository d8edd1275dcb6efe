package bench

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// The parameters of the pipeline scenarios.
const (
	ruleCount = 1000
	// One frame in alertEvery alerts: 1 %.
	alertEvery = 100
	// onPace is the share of the rate that the sender has to reach.
	onPace = 0.99
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

func (r *run) watching() job {
	return job{interfaces: []string{watchedEnd}, rules: writeRules(ruleCount), counted: true, env: []string{"SENSOR_REPORT=" + report.String()}}
}

// passage is the result of a flood.
type passage struct {
	wire.Flood
	counts
	sent float64 // frames that were on the wire
	lost float64
	cpu  time.Duration // of the processes
	late time.Duration // from the last frame to its evaluation
	// arrivals is nil unless frames alert.
	*arrivals
}

// pass floods the system and waits until all frames are evaluated or lost. One frame
// in every alerts; with 0, none.
func (s *system) pass(w pair, rate int, d time.Duration, every int) passage {
	s.Helper()
	fill := func(f *wire.Frame, number int) { f.Set(quietTargets, uint32(number)) }
	var a *arrivals
	if every > 0 {
		a = s.expect(int(float64(rate)*d.Seconds()) / every)
		defer a.end()
		fill = func(f *wire.Frame, number int) {
			if n := number / every; number%every == every-1 {
				f.Set(alertTargets, uint32(n))
				a.leaves(n)
			} else {
				f.Set(quietTargets, uint32(number))
			}
		}
	}
	dropped := w.from.Link(fromEnd).Attrs().Statistics.TxDropped
	before, cpu := s.counts(), s.usage().cpu
	flood, err := w.sender.Flood(s.ctx, rate, d, fill)
	s.must(err, "flood "+fromEnd)
	p := passage{Flood: flood, arrivals: a}
	p.sent = float64(flood.Frames) - float64(w.from.Link(fromEnd).Attrs().Statistics.TxDropped-dropped)
	moved := time.Now()
	s.until(drained, func() bool {
		now := s.counts().minus(before)
		if now.evaluated != p.evaluated {
			moved = time.Now()
		}
		p.counts = now
		return now.evaluated+now.lost() >= p.sent || time.Since(moved) > still
	})
	p.late = moved.Sub(flood.End)
	p.cpu = s.usage().cpu - cpu
	p.lost = max(p.sent-p.evaluated, p.counts.lost(), 0)
	if a != nil {
		s.until(still, func() bool {
			missing, _ := a.outcome()
			return missing == 0
		})
	}
	return p
}

func pipeline(r *run) {
	r.throughput(0, r.addPassage)
}

func pipelineAlerts(r *run) {
	r.throughput(alertEvery, func(p passage) {
		r.addPassage(p)
		r.addArrivals(p.arrivals)
		r.spread("frame to alert meanwhile", p.arrivals.took(), nil, nil)
	})
}

// throughput measures one flood.
func (r *run) throughput(every int, add func(passage)) {
	r.Helper()
	w := r.pair()
	s := r.together(w.watched, r.watching())
	begin := r.usage()
	p := s.pass(w, r.rate, r.Duration, every)
	_, peak, err := proc.Memory(s.ndmon.PID())
	r.must(err, "measure")
	add(p)
	r.add(figure.Figure{Name: "resident memory, ndmon, at most", Value: float64(peak), Unit: figure.Bytes})
	begin.addOthers()
	s.stop()
}

func (r *run) addPassage(p passage) {
	r.add(figure.Figure{Name: "frames sent a second", Value: p.Rate(), Unit: figure.PerSecond, Target: figure.AtLeast(onPace * float64(r.rate))})
	r.add(figure.Figure{Name: "frames sent", Value: p.sent, Unit: figure.Count})
	r.add(figure.Figure{Name: "frames evaluated", Value: p.evaluated, Unit: figure.Count})
	r.add(figure.Figure{Name: "frames lost", Value: p.lost, Unit: figure.Count, Target: figure.Exactly(0)})
	if p.lost > 0 {
		r.add(figure.Figure{Name: "lost by the kernel's queue", Value: p.inKernel, Unit: figure.Count})
		r.add(figure.Figure{Name: "lost by the sensor's buffer", Value: p.inBuffer, Unit: figure.Count})
		r.add(figure.Figure{Name: "lost by the stream", Value: p.inStream, Unit: figure.Count})
	}
	r.add(figure.Figure{Name: "all evaluated after the last frame", Value: max(0, p.late.Seconds()), Unit: figure.Seconds})
	r.add(figure.Figure{Name: "processor time an evaluated frame, ndmon", Value: p.cpu.Seconds() / max(1, p.evaluated), Unit: figure.Seconds})
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
func (r *run) search(every int) {
	r.Helper()
	w := r.pair()
	s := r.together(w.watched, r.watching())
	begin := r.usage()
	d := max(r.Duration/4, 100*time.Millisecond)
	sustained := func(rate int) bool {
		for range tries {
			p := s.pass(w, rate, d, every)
			missing := 0
			if p.arrivals != nil {
				missing, _ = p.arrivals.outcome()
			}
			if p.Rate() >= onPace*float64(rate) && p.lost == 0 && missing == 0 && p.late < behind {
				return true
			}
		}
		return false
	}
	low, high := 0, firstRate
	if r.rate > 0 {
		high = r.rate
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
	r.add(figure.Figure{Name: "frames a second without loss", Value: float64(low), Unit: figure.PerSecond})
	begin.addOthers()
	s.stop()
}

func (r *run) latency(start func(*run, *lab.Namespace, job) *system) {
	r.Helper()
	w := r.pair()
	s := start(r, w.watched, r.watching())
	begin := r.usage()
	p := s.pass(w, r.rate, r.Duration, 1)
	r.addArrivals(p.arrivals)
	r.spread("frame to alert", p.arrivals.took(), figure.Below(1e-3), figure.Below(5e-3))
	r.add(figure.Figure{Name: fmt.Sprintf("processor time a frame at %d/s", r.rate), Value: p.cpu.Seconds() / p.sent, Unit: figure.Seconds})
	begin.addOthers()
	s.stop()
}

// arrivals records when a NATS subscriber received the alerts of frames, which are
// numbered from 0.
type arrivals struct {
	end func()

	mu      sync.Mutex
	left    []time.Time // right before the frame was sent
	arrived []time.Time // zero: not yet
	missing int
	again   int
	alert   schemas.Alert
	event   schemas.Event
}

// expect subscribes to the alerts of a number of frames.
func (s *system) expect(frames int) *arrivals {
	s.Helper()
	a := &arrivals{left: make([]time.Time, frames), arrived: make([]time.Time, frames), missing: frames}
	sub := s.subscribe(schemas.SubjectAlerts, a.arrives)
	a.end = func() { sub.Unsubscribe() }
	return a
}

// leaves records that a frame is being sent.
func (a *arrivals) leaves(number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left[number] = time.Now()
}

func (a *arrivals) arrives(data []byte) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if json.Unmarshal(data, &a.alert) != nil {
		return
	}
	n, ok := alerted(&a.alert, &a.event)
	switch {
	case !ok || int(n) >= len(a.left) || a.left[n].IsZero():
	case !a.arrived[n].IsZero():
		a.again++
	default:
		a.arrived[n] = now
		a.missing--
	}
}

// outcome returns the numbers of missing alerts and of repeated alerts.
func (a *arrivals) outcome() (missing, again int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing, a.again
}

// took returns the times from frames to their alerts.
func (a *arrivals) took() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for n, at := range a.arrived {
		if !at.IsZero() {
			took = append(took, at.Sub(a.left[n]))
		}
	}
	return took
}

// addArrivals adds the numbers of missing and repeated alerts.
func (r *run) addArrivals(a *arrivals) {
	missing, again := a.outcome()
	r.add(figure.Figure{Name: "frames that alert", Value: float64(len(a.left)), Unit: figure.Count})
	r.add(figure.Figure{Name: "alerts that never came", Value: float64(missing), Unit: figure.Count, Target: figure.Exactly(0)})
	r.add(figure.Figure{Name: "alerts that came again", Value: float64(again), Unit: figure.Count, Target: figure.Exactly(0)})
}

// The targets of frames that match no rule, and of those that alert.
var (
	quietTargets = netip.MustParsePrefix("2001:db8:5:0:1::/96")
	alertTargets = netip.MustParsePrefix("2001:db8:5:0:2::/96")
)

// writeRules returns a rule file with count rules that match no frame of ndbench,
// and one that alerts on alertTargets. Each rule tests the kind of message, and an
// address, a prefix or a number.
func writeRules(count int) string {
	var b strings.Builder
	b.WriteString("<rules>\n")
	rule := func(field, value string) {
		b.WriteString(`<rule><match field="nd.ns"/><match field="` + field + `" value="` + value + "\"/></rule>\n")
	}
	for i := range uint32(count) {
		switch i % 3 {
		case 0:
			rule("nd.ns.targetaddress", wire.Numbered(netip.MustParsePrefix("2001:db8:6::/96"), i).String())
		case 1:
			rule("inet6.source", netip.PrefixFrom(wire.Numbered(netip.MustParsePrefix("2001:db8:7::/96"), i<<8), 120).String())
		case 2:
			// RFC 8200, section 3: beyond what an Ethernet frame holds.
			rule("inet6.payload", strconv.Itoa(2000+int(i%60000)))
		}
	}
	b.WriteString(`<rule id="` + alertRule + `"><match field="nd.ns.targetaddress" value="` + alertTargets.String() + "\"/></rule>\n")
	b.WriteString("</rules>\n")
	return b.String()
}

const alertRule = "ndbench"

// alerted returns the number of the frame that an alert is about.
func alerted(alert *schemas.Alert, event *schemas.Event) (uint32, bool) {
	if alert.Rule != alertRule || event.ParseJSON(alert.Event) != nil || event.ND == nil || event.ND.NS == nil {
		return 0, false
	}
	return wire.Number(alertTargets, event.ND.NS.TargetAddress)
}
