package bench

import (
	"fmt"

	"github.com/ndmon/ndmon/deploy/bench/figure"
)

func latency(r *run) {
	w := r.pair()
	r.alertLatency(w, r.together(w.watched, r.watching()), figure.Below(1e-3), figure.Below(5e-3))
}

func latencyApart(r *run) {
	w := r.pair()
	r.alertLatency(w, r.apart(w.watched, r.watching()), figure.Below(1e-3), figure.Below(5e-3))
}

func (r *run) alertLatency(w pair, s *system, median, p99 *figure.Target) {
	r.Helper()
	begin := r.usage()
	p := s.pass(w, r.rate, r.Duration, 1)
	r.addArrivals(p.arrivals)
	r.spread("frame to alert", p.arrivals.took(), median, p99)
	r.add(figure.Figure{Name: fmt.Sprintf("processor time a frame at %d/s", r.rate), Value: p.cpu.Seconds() / p.sent, Unit: figure.Seconds})
	begin.addOthers()
	s.stop()
}
