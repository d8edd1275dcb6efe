package bench

import (
	"context"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
)

// Config selects what is measured and how.
type Config struct {
	// Bin is the folder of the binaries that are measured.
	Bin string
	// Server is the command that runs ServeNATS. An address and a folder are
	// appended.
	Server []string
	// Duration is how long a scenario measures, above 0.
	Duration time.Duration
	// Rate replaces the rate of every scenario, in frames or solicitations per
	// second. 0 keeps the scenarios' own.
	Rate int
	// Scenarios are names. Empty selects all.
	Scenarios []string
	// Log receives the output of the programs when a scenario fails.
	Log io.Writer
}

// maxRate keeps the number of frames within the numbers that a frame can have.
const maxRate = 10_000_000

// run is one run of a scenario. A failure ends it (lab.TB).
type run struct {
	lab.TB
	Config
	ctx       context.Context
	scenario  string
	rate      int
	dir       string // for files, removed at the end
	report    func(figure.Figure)
	processes []*lab.Process
}

// add reports a figure of the scenario.
func (r *run) add(f figure.Figure) {
	f.Scenario = r.scenario
	f.Met = f.Verdict()
	r.report(f)
}

// spread adds the minimum, median, 99th percentile and maximum of durations. A nil
// target is none.
func (r *run) spread(what string, took []time.Duration, median, p99 *figure.Target) {
	r.Helper()
	if len(took) == 0 {
		r.Fatalf("nothing was measured of %s", what)
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1)+0.5)].Seconds() }
	r.add(figure.Figure{Name: what + ", minimum", Value: at(0), Unit: figure.Seconds})
	r.add(figure.Figure{Name: what + ", median", Value: at(0.5), Unit: figure.Seconds, Target: median})
	r.add(figure.Figure{Name: what + ", p99", Value: at(0.99), Unit: figure.Seconds, Target: p99})
	r.add(figure.Figure{Name: what + ", maximum", Value: at(1), Unit: figure.Seconds})
}

func (r *run) must(err error, what string) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// patience is the time limit of eventually.
const patience = 30 * time.Second

// until polls done while the processes run and the run is not cancelled. It reports
// whether done returned true within wait.
func (r *run) until(wait time.Duration, done func() bool) bool {
	r.Helper()
	deadline := time.Now().Add(wait)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		r.alive()
		if time.Now().After(deadline) {
			return false
		}
		<-ticker.C
	}
	return true
}

// eventually fails the run if done does not return true within patience.
func (r *run) eventually(what string, done func() bool) {
	r.Helper()
	if !r.until(patience, done) {
		r.Fatalf("not within %v: %s", patience, what)
	}
}

// pause waits while the processes run.
func (r *run) pause(d time.Duration) { r.until(d, func() bool { return false }) }

func (r *run) alive() {
	r.Helper()
	if r.ctx.Err() != nil {
		r.Fatalf("%v", context.Cause(r.ctx))
	}
	for _, p := range r.processes {
		select {
		case <-p.Done():
			r.Fatalf("process %d has ended: %v", p.PID(), p.ProcessState())
		default:
		}
	}
}

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
