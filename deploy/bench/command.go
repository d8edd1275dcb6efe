package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/spf13/pflag"
)

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
