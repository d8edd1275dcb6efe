// Package bench measures the performance of ndmon's binaries on this machine. It
// runs them as users do, in network namespaces. The scenarios are here; wire sends
// and receives frames, proc reads what processes use, and figure holds the results.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/lab"
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

// maxRate keeps the number of frames within the numbers that a frame can have.
const maxRate = 10_000_000

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
		{"highest", "the highest rate without loss, nothing alerting", 0, highest},
		{"highest-alerts", "the highest rate without loss, 1 % of the frames alerting", 0, highestAlerts},
		{"latency", "frame on the wire to alert at a NATS subscriber, ndmon", 200, latency},
		{"latency-apart", "the same, through separate processes", 200, latencyApart},
		{"relay", "Neighbor Solicitation leaving the master to solicitation leaving a slave, ndmon", 100, relay},
		{"relay-apart", "the same, through separate processes", 100, relayApart},
		{"relay-known", "Neighbor Solicitations leaving the master for targets already found", 20_000, relayKnown},
		{"relay-answer", "the same arriving on the master, with --route --proxy: each is answered", 20_000, relayAnswer},
		{"relay-scan", "an address scan whose solicitations leave the master, for three times the duration", 2000, relayScan},
		{"relay-scan-in", "the same arriving on the master, with --route --proxy", 2000, relayScanIn},
		{"relay-way", "upstream pings a host behind slave 2 that moves to slave 1, with --route --proxy", 100, relayWay},
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
