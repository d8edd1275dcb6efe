// Package bench measures the performance of ndmon's binaries on this machine. It
// runs them as users do, in network namespaces. The scenarios are here; wire sends
// and receives frames, proc reads what processes use, and figure holds the results.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/spf13/pflag"
)

// Validate returns an error for the first invalid setting.
func (c Config) Validate() error {
	switch {
	case c.Duration <= 0:
		return errors.New("--duration: use a duration above 0, such as 10s")
	case c.Rate < 0 || c.Rate > maxRate:
		return fmt.Errorf("--rate: use 0 to %d per second", maxRate)
	}
	if c.Hosts < 0 || c.Servers < 1 || c.Ruled < 1 {
		return errors.New("--hosts, --servers, --ruled: use numbers above 0")
	}
	for _, name := range c.Scenarios {
		if !slices.ContainsFunc(Scenarios(), func(s Scenario) bool { return s.Name == name }) {
			return fmt.Errorf("there is no scenario %q, see --help", name)
		}
	}
	for _, name := range []string{"ndmon", "nd-sensor", "nd-ruled", "nd-pinger"} {
		if _, err := os.Stat(filepath.Join(c.Bin, name)); err != nil {
			return fmt.Errorf("--bin: %w (go build -o bin/ work makes it)", err)
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, to make network namespaces")
	}
	return nil
}

// Scenario is a measurement that can be run alone.
type Scenario struct {
	// Name selects the scenario. Doc describes in one line what it measures.
	Name, Doc string

	// rates are per second, unless Config has another one.
	rates    []int
	programs []program
	// measure measures one program at one rate.
	measure func(*run)
}

// Scenarios returns all scenarios in the order in which they run. In each, what ndmon is
// compared with comes first.
func Scenarios() []Scenario {
	looped := append([]program{loop()}, ours()...)
	relayed := append([]program{relayLoop()}, ours()...)
	proxied := slices.Concat([]program{relayLoop()}, proxies(), ours())
	relays := append([]program{{odhcpd, odhcpd, (*run).odhcpd}}, ours()...)
	newTargets := relay{count: 200, slaves: bothSlaves}
	newProxied := relay{count: 200, slaves: bothSlaves, arriving: true, p99: figure.Times(1, odhcpd)}
	due := relay{count: 500, slaves: lab.Slave2}
	dueProxied := relay{count: 500, slaves: lab.Slave2, arriving: true, median: figure.Times(2, odhcpd)}
	hosts := []program{{name: "simulated hosts"}}
	return []Scenario{
		{"floor", "frames that are read and nothing else, and programs that do little more", []int{20_000, 100_000, 200_000}, watchers(), pipeline(load{})},
		{"pipeline", "frames against 1,000 rules, none matching", []int{20_000, 100_000, 200_000}, looped, pipeline(load{rules: ruleCount})},
		{"pipeline-rules", "the same with 10,000 rules", []int{20_000, 100_000, 200_000}, looped, pipeline(load{rules: 10 * ruleCount})},
		{"pipeline-known", "the same with 1,000 rules, and frames from 50,000 known neighbours", []int{20_000, 100_000, 200_000}, looped,
			pipeline(load{rules: ruleCount, stations: 50_000})},
		{"pipeline-alerts", "the same with one neighbour, and 1 % of the frames alerting", []int{50_000}, ours(), pipeline(load{rules: ruleCount, every: alertEvery})},
		{"pipeline-apart", "frames against 1,000 rules through separate processes, none matching", []int{100, 20_000, 200_000}, fleet(),
			pipeline(load{rules: ruleCount})},
		{"highest", "the highest rate without loss, nothing alerting", nil, looped, search(load{rules: ruleCount})},
		{"highest-alerts", "the highest rate without loss, 1 % of the frames alerting", nil, ours(), search(load{rules: ruleCount, every: alertEvery})},
		{"latency", "frame on the wire to alert, or to the line of tcpdump", []int{200}, tellers(), latency},
		{"read", "a capture file of 1,000,000 frames", []int{100_000}, readers(), read},
		{"relay", "Neighbor Solicitation leaving the master to solicitation leaving a slave", []int{100}, slices.Concat(relayed, fleet()), newTargets.measure},
		{"relay-new", "the same at the rate of a busy link", []int{2000}, relayed, newTargets.measure},
		{"relay-new-in", "the same arriving on the master, with --route --proxy", []int{2000}, proxied, newProxied.measure},
		{"relay-due", "500 solicitations leaving the master at once, for one slave", []int{10_000}, relayed, due.measure},
		{"relay-due-in", "the same arriving on the master, with --route --proxy", []int{10_000}, proxied, dueProxied.measure},
		{"relay-known", "Neighbor Solicitations leaving the master for targets already found", []int{20_000, 60_000}, ours(), relayKnown(false)},
		{"relay-answer", "the same arriving on the master, with --route --proxy: each is answered", []int{20_000, 60_000},
			append(proxies(), ours()...), relayKnown(true)},
		{"relay-scan", "an address scan whose solicitations leave the master, for three times the duration", []int{2000}, ours(), func(r *run) { r.scan(false) }},
		{"relay-scan-in", "the same arriving on the master, with --route --proxy", []int{2000}, ours(), func(r *run) { r.scan(true) }},
		{"relay-move", "upstream pings a host behind slave 2 that moves to slave 1, with --route --proxy", []int{100}, ours(), relayMove},
		{"lan", "hosts that make their addresses, plugged in behind the slaves and moved, with --route --proxy --ra", []int{20},
			relays, lan},
		{"lan-soak", "pings while advertisements, reachability and temporary addresses change, for the duration", []int{10}, relays, lanSoak},
		{"fleet-cost", "events of simulated hosts in a cluster of NATS, against 1,000 rules, none matching", []int{4000}, hosts, sizes(fleetCost, 10, 100, 1000)},
		{"fleet-rate", "the highest rate without loss there", nil, hosts, sizes(fleetRate, 10, 1000)},
		{"fleet-catchup", "catching up there after six times the duration without nd-ruled", []int{1000}, hosts, sizes(fleetCatchUp, 100)},
		{"fleet-takeover", "alerts after faults of nd-ruled and nats-server there", []int{250}, hosts, sizes(fleetTakeover, 50)},
		{"fleet-edges", "alerts of edges there, and after faults of nats-server", []int{1000}, hosts, sizes(fleetEdges, 1000)},
		{"idle", "processor time and memory with nothing to do", nil, append(ours(), fleet()...), idle},
		{"flooded", "memory after a flood in which each frame comes from another station", []int{100_000}, append(ours(), fleet()...), flooded},
	}
}

// Run measures the scenarios in order and reports each figure immediately. It goes
// on after a scenario that fails; the error joins the errors of all scenarios.
func Run(ctx context.Context, cfg Config, report func(figure.Figure)) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	var failed []error
	for _, s := range Scenarios() {
		if len(cfg.Scenarios) > 0 && !slices.Contains(cfg.Scenarios, s.Name) {
			continue
		}
		rates := s.rates
		if rates == nil {
			rates = []int{0}
		} else if cfg.Rate != 0 {
			rates = []int{cfg.Rate}
		}
		for _, rate := range rates {
			var before []figure.Figure
			for _, p := range s.programs {
				if ctx.Err() != nil {
					return errors.Join(append(failed, context.Cause(ctx))...)
				}
				if !p.installed() {
					continue
				}
				r := &run{Config: cfg, program: p, ctx: ctx, scenario: s.Name, rate: rate, report: report, before: &before}
				if err := r.measure(s.measure); err != nil {
					failed = append(failed, fmt.Errorf("%s, %s: %w", s.Name, p.name, err))
				}
			}
		}
	}
	return errors.Join(failed...)
}

// measure runs a scenario in a folder and networks of its own.
func (r *run) measure(scenario func(*run)) (err error) {
	if r.dir, err = os.MkdirTemp("", "ndbench-"); err != nil {
		return fmt.Errorf("make a folder for files: %w", err)
	}
	defer os.RemoveAll(r.dir)
	return lab.Run(r.scenario, r.Log, func(t lab.TB) {
		r.TB = t
		scenario(r)
	})
}

// within runs a part of a scenario in a folder and networks of its own.
func (r *run) within(part func(*run)) {
	r.Helper()
	inner := *r
	inner.parts = nil
	r.must(inner.measure(part), "a part of it")
}

const usageText = `ndbench measures the performance of ndmon on this machine, in network namespaces (needs root)

  ndbench                     run all scenarios
  ndbench pipeline latency    run these scenarios
`

// Command is ndbench. It runs the scenarios that the arguments select and writes a
// table, or JSON, to out. The programs inherit ndbench's environment: GOGC=400
// ndbench measures them with GOGC=400.
func Command(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) > 1 {
		if process, ok := hidden()[args[0]]; ok {
			return process(ctx, args[1:])
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find ndbench's own file: %w", err)
	}
	cfg := Config{Self: self, Log: log}
	flags := pflag.NewFlagSet("ndbench", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Bin, "bin", filepath.Dir(self), "`DIRECTORY` of the programs")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "`TIME` that a scenario takes")
	flags.IntVar(&cfg.Rate, "rate", 0, "`RATE` in frames or solicitations per second, for all scenarios")
	flags.IntVar(&cfg.Hosts, "hosts", 0, "`NUMBER` of simulated hosts, for all scenarios of fleets")
	flags.IntVar(&cfg.Servers, "servers", 3, "`NUMBER` of nats-server in a simulated fleet")
	flags.IntVar(&cfg.Ruled, "ruled", 2, "`NUMBER` of nd-ruled there")
	flags.StringVar(&cfg.Corpus, "corpus", "sensor/testdata/corpus", "`FOLDER` of the captures that simulated hosts have captured")
	asJSON := flags.Bool("json", false, "write JSON")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(out, usageText, "\nScenarios:\n")
		for _, s := range Scenarios() {
			fmt.Fprintf(out, "  %-16s  %s\n", s.Name, s.Doc)
		}
		fmt.Fprint(out, "\nOptions:\n", flags.FlagUsages())
		return nil
	} else if err != nil {
		return fmt.Errorf("%w, see ndbench --help", err)
	}
	cfg.Scenarios = flags.Args()
	if err := cfg.Validate(); err != nil {
		return err
	}
	report := figure.Report{Machine: figure.ThisMachine(cfg.Bin), Figures: []figure.Figure{}}
	failed := Run(ctx, cfg, func(f figure.Figure) { report.Figures = append(report.Figures, f) })
	write := report.WriteText
	if *asJSON {
		write = report.WriteJSON
	}
	return errors.Join(write(out), failed)
}
