//go:build linux

package bench

import (
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
)

// What idle processes may take: of a core, and in bytes.
const (
	idleCPU    = 0.5
	partMemory = 25e6
	allMemory  = 80e6
)

func idle(r *run) {
	s := r.together(lab.NewRouter(r).Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2})
	s.rest([]resting{{"ndmon", s.ndmon, below(idleCPU), below(allMemory)}})
}

func idleApart(r *run) {
	s := r.apart(lab.NewRouter(r).Namespace, job{master: lab.Master, slaves: lab.Slave1 + "," + lab.Slave2})
	s.rest([]resting{
		{"nd-sensor", s.sensor, below(idleCPU), below(partMemory)},
		{"nd-pinger", s.pinger, below(idleCPU), below(partMemory)},
		{"nd-ruled", s.ruled, below(idleCPU), nil},
		{"nats-server", s.server, nil, nil},
	})
}

// resting is a process with what it may take.
type resting struct {
	name        string
	process     *lab.Process
	cpu, memory *Target
}

// rest lets the processes come to rest and measures what they take then.
func (s *system) rest(processes []resting) {
	s.Helper()
	s.pause(s.Duration / 3)
	begin := s.usage()
	before := make([]time.Duration, len(processes))
	for i, p := range processes {
		var err error
		before[i], err = cpuOf(p.process.PID())
		s.must(err, "measure")
	}
	s.pause(s.Duration)
	for i, p := range processes {
		after, err := cpuOf(p.process.PID())
		s.must(err, "measure")
		memory, _, err := memoryOf(p.process.PID())
		s.must(err, "measure")
		share := (after - before[i]).Seconds() / time.Since(begin.since).Seconds()
		s.add(Figure{Name: "processor, " + p.name, Value: 100 * share, Unit: Percent, Target: p.cpu})
		s.add(Figure{Name: "resident memory, " + p.name, Value: float64(memory), Unit: Bytes, Target: p.memory})
	}
	begin.addOthers()
	s.stop()
}
