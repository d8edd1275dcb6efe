package bench

import (
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
)

// The targets of idle processes: percent of a core, and bytes.
const (
	idleCPU    = 0.5
	partMemory = 25e6
	allMemory  = 80e6
)

func idle(r *run) {
	s := r.together(lab.NewRouter(r).Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2})
	s.rest([]resting{{"ndmon", s.ndmon, figure.Below(idleCPU), figure.Below(allMemory)}})
}

func idleApart(r *run) {
	s := r.apart(lab.NewRouter(r).Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2})
	s.rest([]resting{
		{"nd-sensor", s.sensor, figure.Below(idleCPU), figure.Below(partMemory)},
		{"nd-pinger", s.pinger, figure.Below(idleCPU), figure.Below(partMemory)},
		{"nd-ruled", s.ruled, figure.Below(idleCPU), nil},
		{"nats-server", s.server, nil, nil},
	})
}

// resting is an idle process with its targets.
type resting struct {
	name        string
	process     *lab.Process
	cpu, memory *figure.Target
}

// rest waits until the processes are idle and measures them.
func (s *system) rest(processes []resting) {
	s.Helper()
	s.pause(s.Duration / 3)
	begin := s.usage()
	before := make([]time.Duration, len(processes))
	for i, p := range processes {
		var err error
		before[i], err = proc.CPU(p.process.PID())
		s.must(err, "measure")
	}
	s.pause(s.Duration)
	for i, p := range processes {
		after, err := proc.CPU(p.process.PID())
		s.must(err, "measure")
		memory, _, err := proc.Memory(p.process.PID())
		s.must(err, "measure")
		share := (after - before[i]).Seconds() / time.Since(begin.since).Seconds()
		s.add(figure.Figure{Name: "processor, " + p.name, Value: 100 * share, Unit: figure.Percent, Target: p.cpu})
		s.add(figure.Figure{Name: "resident memory, " + p.name, Value: float64(memory), Unit: figure.Bytes, Target: p.memory})
	}
	begin.addOthers()
	s.stop()
}
