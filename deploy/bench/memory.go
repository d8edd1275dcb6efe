package bench

import (
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
)

// idle measures processes that relay and have nothing to do.
func idle(r *run) {
	s := r.start(r, lab.NewRouter(r).Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2, interfaces: []string{lab.Master}})
	s.pause(settling * s.Duration)
	begin := s.usage()
	s.pause(s.Duration)
	end := s.usage()
	for i, p := range s.parts {
		share := (end.parts[i] - begin.parts[i]).Seconds() / end.since.Sub(begin.since).Seconds()
		s.add(figure.Figure{Name: "processor, " + p.name, Value: 100 * share, Unit: figure.Percent, Target: figure.Below(0.1)})
	}
	s.addMemory("", map[string]*figure.Target{ndmon: figure.Below(30e6), "nd-sensor": figure.Below(16e6), "nd-pinger": figure.Below(16e6)})
	begin.addOthers()
	s.stop()
}

const (
	// settling is how many times Config.Duration passes before a process is idle: what
	// it does once after its start is done then.
	settling = 5
	// afterwards is the time in which a process returns the memory of a flood.
	afterwards = 10 * time.Second
)

// flooded measures the memory of processes after a flood in which each frame comes from
// another station.
func flooded(r *run) {
	w := r.pair()
	s := r.start(r, w.watched, job{interfaces: []string{watchedEnd}})
	begin := r.usage()
	_, err := w.sender.Flood(r.ctx, r.rate, r.Duration, func(f *wire.Frame, n int) {
		f.SetSource(uint32(firstStation + n))
		f.Set(quietTargets, uint32(n))
	})
	r.must(err, "flood "+fromEnd)
	begin.addOthers()
	s.pause(afterwards)
	s.addMemory(", "+afterwards.String()+" after", map[string]*figure.Target{ndmon: figure.Below(64e6)})
	s.stop()
}
