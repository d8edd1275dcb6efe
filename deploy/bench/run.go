package bench

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/proc"
	"github.com/ndmon/ndmon/deploy/lab"
)

// Config selects what is measured and how.
type Config struct {
	// Bin is the folder of the binaries that are measured.
	Bin string
	// Self is ndbench's own file, which runs the nats-server and the bare loops.
	Self string
	// Duration is how long a scenario measures, above 0.
	Duration time.Duration
	// Rate replaces the rate of every scenario, in frames or solicitations per
	// second. 0 keeps the scenarios' own.
	Rate int
	// Hosts, if not 0, replaces the numbers of simulated hosts. Servers and Ruled are the
	// numbers of nats-server and nd-ruled that a simulated fleet has, above 0.
	Hosts, Servers, Ruled int
	// Corpus is the folder of captures whose frames the simulated hosts capture.
	Corpus string
	// Scenarios are names. Empty selects all.
	Scenarios []string
	// Log receives the output of the programs when a scenario fails.
	Log io.Writer
}

// maxRate keeps the number of frames within the numbers that a frame can have.
const maxRate = 10_000_000

// run is one run of a scenario with one program at one rate. A failure ends it (lab.TB).
type run struct {
	lab.TB
	Config
	program
	ctx      context.Context
	scenario string
	rate     int
	dir      string // for files, removed at the end
	report   func(figure.Figure)
	parts    []part // the processes that run
	// before has the figures that other programs had in this scenario at this rate.
	before *[]figure.Figure
}

// part is a process that is measured.
type part struct {
	name string
	*lab.Process
	*output
}

// add reports a figure of the scenario.
func (r *run) add(f figure.Figure) {
	f.Scenario, f.Program = r.scenario, r.program.name
	if r.rate > 0 {
		f.Program += " at " + figure.PerSecond.Text(float64(r.rate))
	}
	f.Met = f.Verdict()
	r.report(f)
}

// compare is add with the ratios to the other programs that were measured before.
func (r *run) compare(f figure.Figure) {
	for _, other := range *r.before {
		if other.Name == f.Name && other.Value > 0 && !strings.HasPrefix(other.Program, ndmon) {
			f.Ratios = append(f.Ratios, figure.Ratio{To: other.Program, Times: f.Value / other.Value})
		}
	}
	r.add(f)
	f.Program = r.program.name
	*r.before = append(*r.before, f)
}

// own returns a target if it is ndmon that is measured, after the program that the target
// names.
func (r *run) own(t *figure.Target) *figure.Target {
	named := t == nil || t.To == "" || slices.ContainsFunc(*r.before, func(f figure.Figure) bool { return f.Program == t.To })
	if !named || !strings.HasPrefix(r.program.name, ndmon) {
		return nil
	}
	return t
}

// spread adds the median, 99th percentile and maximum of durations.
func (r *run) spread(what string, took []time.Duration, median, p99 *figure.Target) {
	r.Helper()
	if len(took) == 0 {
		r.Fatalf("nothing was measured of %s", what)
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1)+0.5)].Seconds() }
	r.compare(figure.Figure{Name: what + ", median", Value: at(0.5), Unit: figure.Seconds, Target: median})
	r.compare(figure.Figure{Name: what + ", p99", Value: at(0.99), Unit: figure.Seconds, Target: p99})
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
	for _, p := range r.parts {
		select {
		case <-p.Done():
			r.Fatalf("%s has ended: %v", p.name, p.ProcessState())
		default:
		}
	}
}

// usage is the processor time that programs have used so far.
type usage struct {
	r     *run
	since time.Time
	cpu   time.Duration   // of the processes that are measured
	parts []time.Duration // of each
	own   time.Duration   // of this process
	all   time.Duration
}

func (r *run) usage() usage {
	r.Helper()
	u := usage{r: r, since: time.Now()}
	for _, p := range r.parts {
		used, err := proc.CPU(p.PID())
		r.must(err, "measure")
		u.cpu += used
		u.parts = append(u.parts, used)
	}
	var err error
	u.own, err = proc.CPU(os.Getpid())
	r.must(err, "measure")
	u.all, err = proc.Busy()
	r.must(err, "measure")
	return u
}

// addCost reports the processor time of the processes between two usages for each of a
// number of frames.
func (r *run) addCost(what string, before, after usage, frames float64, target *figure.Target) {
	frames = max(1, frames)
	if len(r.parts) > 1 {
		for i, p := range r.parts {
			r.add(figure.Figure{Name: what + ", " + p.name, Value: (after.parts[i] - before.parts[i]).Seconds() / frames, Unit: figure.Seconds})
		}
	}
	r.compare(figure.Figure{Name: what, Value: (after.cpu - before.cpu).Seconds() / frames, Unit: figure.Seconds, Target: target})
}

// addMemory reports the resident memory of each process now, and its peak.
func (r *run) addMemory(when string, targets map[string]*figure.Target) {
	r.Helper()
	for _, p := range r.parts {
		now, peak, err := proc.Memory(p.PID())
		r.must(err, "measure")
		r.add(figure.Figure{Name: "resident memory, " + p.name + when, Value: float64(now), Unit: figure.Bytes, Target: targets[p.name]})
		if float64(peak) > 1.05*float64(now) {
			r.add(figure.Figure{Name: "resident memory, " + p.name + ", at most", Value: float64(peak), Unit: figure.Bytes})
		}
	}
}

// addOthers reports the share of a core that went to programs other than ndbench
// and those that it measures: the larger it is, the less reliable are the other
// figures.
func (u usage) addOthers() {
	now := u.r.usage()
	others := (now.all - u.all) - (now.cpu - u.cpu) - (now.own - u.own)
	u.r.add(figure.Figure{Name: "taken by others on this machine", Value: 100 * max(0, others.Seconds()) / now.since.Sub(u.since).Seconds(), Unit: figure.Percent})
}
