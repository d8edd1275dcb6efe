package bench

import (
	"os"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
)

// usage is the processor time that programs have used so far.
type usage struct {
	r     *run
	since time.Time
	cpu   time.Duration // of the processes that are measured
	own   time.Duration // of this process
	all   time.Duration
}

func (r *run) usage() usage {
	r.Helper()
	u := usage{r: r, since: time.Now()}
	for _, p := range r.processes {
		used, err := proc.CPU(p.PID())
		r.must(err, "measure")
		u.cpu += used
	}
	var err error
	u.own, err = proc.CPU(os.Getpid())
	r.must(err, "measure")
	u.all, err = proc.Busy()
	r.must(err, "measure")
	return u
}

// addOthers reports the share of a core that went to programs other than ndbench
// and those that it measures: the larger it is, the less reliable are the other
// figures.
func (u usage) addOthers() {
	now := u.r.usage()
	others := (now.all - u.all) - (now.cpu - u.cpu) - (now.own - u.own)
	u.r.add(figure.Figure{Name: "taken by others on this machine", Value: 100 * max(0, others.Seconds()) / now.since.Sub(u.since).Seconds(), Unit: figure.Percent})
}
