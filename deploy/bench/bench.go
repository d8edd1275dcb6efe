// Package bench measures the performance of ndmon's binaries on this machine. It
// runs them as users do, in network namespaces. The scenarios are here; wire sends
// and receives frames, proc reads what processes use, and figure holds the results.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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

	rate    int // per second, unless Config has another
	measure func(*run)
}

// Scenarios returns all scenarios in the order in which they run.
func Scenarios() []Scenario {
	return []Scenario{
		{"pipeline", "frames through sensor, NATS and ruled with 1,000 rules, none matching", 100_000, pipeline},
		{"pipeline-alerts", "the same, with 1 % of the frames alerting", 50_000, pipelineAlerts},
		{"highest", "the highest rate without loss, nothing alerting", 0, func(r *run) { r.search(0) }},
		{"highest-alerts", "the highest rate without loss, 1 % of the frames alerting", 0, func(r *run) { r.search(alertEvery) }},
		{"latency", "frame on the wire to alert at a NATS subscriber, ndmon", 200, func(r *run) { r.latency((*run).together) }},
		{"latency-apart", "the same, through separate processes", 200, func(r *run) { r.latency((*run).apart) }},
		{"relay", "Neighbor Solicitation leaving the master to solicitation leaving a slave, ndmon", 100, relay},
		{"relay-apart", "the same, through separate processes", 100, relayApart},
		{"relay-known", "Neighbor Solicitations leaving the master for targets already found", 20_000, func(r *run) { r.relayKnown(leaving) }},
		{"relay-answer", "the same arriving on the master, with --route --proxy: each is answered", 20_000,
			func(r *run) { r.relayKnown(arriving, "--route", "--proxy") }},
		{"relay-scan", "an address scan whose solicitations leave the master, for three times the duration", 2000, func(r *run) { r.scan(leaving) }},
		{"relay-scan-in", "the same arriving on the master, with --route --proxy", 2000, func(r *run) { r.scan(arriving, "--route", "--proxy") }},
		{"relay-move", "upstream pings a host behind slave 2 that moves to slave 1, with --route --proxy", 100, relayMove},
		{"idle", "processor time and memory of ndmon with nothing to do", 0, idle},
		{"idle-apart", "the same of separate processes", 0, idleApart},
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
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(cfg.Scenarios) > 0 && !slices.Contains(cfg.Scenarios, s.Name) {
			continue
		}
		if err := measure(ctx, cfg, s, report); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return errors.Join(failed...)
}

func measure(ctx context.Context, cfg Config, s Scenario, report func(figure.Figure)) error {
	dir, err := os.MkdirTemp("", "ndbench-")
	if err != nil {
		return fmt.Errorf("make a folder for files: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &run{Config: cfg, ctx: ctx, scenario: s.Name, rate: s.rate, dir: dir, report: report}
	if cfg.Rate != 0 {
		r.rate = cfg.Rate
	}
	return lab.Run(s.Name, cfg.Log, func(t lab.TB) {
		r.TB = t
		s.measure(r)
	})
}

// serveArgument is the hidden first argument that runs ServeNATS.
const serveArgument = "serve-nats"

const usageText = `ndbench measures the performance of ndmon on this machine, in network namespaces (needs root)

  ndbench                     run all scenarios
  ndbench pipeline latency    run these scenarios
`

// Command is ndbench. It runs the scenarios that the arguments select and writes a
// table, or JSON, to out. The programs inherit ndbench's environment: GOGC=400
// ndbench measures them with GOGC=400.
func Command(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) == 3 && args[0] == serveArgument {
		return ServeNATS(ctx, args[1], args[2])
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find ndbench's own file: %w", err)
	}
	cfg := Config{Server: []string{self, serveArgument}, Log: log}
	flags := pflag.NewFlagSet("ndbench", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Bin, "bin", filepath.Dir(self), "`DIRECTORY` of the programs")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "`TIME` that a scenario takes")
	flags.IntVar(&cfg.Rate, "rate", 0, "`RATE` in frames or solicitations per second, for all scenarios")
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

// ServeNATS runs a nats-server with JetStream until the context ends. The scenarios
// with separate processes run it as a process, as in a fleet.
func ServeNATS(ctx context.Context, address, dir string) error {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("serve NATS: port %q is no number", text)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "ndbench", Host: host, Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
	})
	if err != nil {
		return fmt.Errorf("serve NATS: %w", err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("serve NATS on " + address + ": it does not start")
	}
	<-ctx.Done()
	return nil
}
