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

const usageText = `ndbench: measures ndmon on this machine, in network namespaces of its own (as root)

  ndbench                     measure everything
  ndbench pipeline latency    measure these scenarios
`

// Command is ndbench: it measures what the arguments ask for and writes the
// table, or JSON, to out. The programs inherit ndbench's environment: GOGC=400
// ndbench measures them with it.
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
	flags.StringVar(&cfg.Bin, "bin", filepath.Dir(self), "`DIRECTORY` of the programs to measure")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "`TIME` that a scenario measures")
	flags.IntVar(&cfg.Rate, "rate", 0, "frames or solicitations a second, in place of each scenario's own `RATE`")
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
