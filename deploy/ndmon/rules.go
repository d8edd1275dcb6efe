package ndmon

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ndmon/ndmon/deploy/trial"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

// rulesCommand is ndmon rules.
func rulesCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "test" {
		fmt.Fprintln(stderr, "usage: ndmon rules test RULES CAPTURE")
		return process.ExitUsage
	}
	return rulesTest(args[1:], stdout, stderr)
}

func failTest(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "ndmon rules test: %v\n", err)
	return process.ExitFailure
}

// parseRules reads a rule file, or standard input for "-". Without a set it has said
// what is wrong, and returns the exit status.
func parseRules(file string, stderr io.Writer) (*rulefile.Set, int) {
	f := os.Stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, failTest(stderr, err)
		}
		defer f.Close()
	}
	// It may be a pipe, of which no more is read than rules.Parse needs to refuse it.
	data, err := io.ReadAll(io.LimitReader(f, rulefile.MaxSize+1))
	if err != nil {
		return nil, failTest(stderr, err)
	}
	set, err := rulefile.Parse(file, data)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, process.ExitFailure
	}
	return set, process.ExitOK
}

func rulesTest(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("rules test", pflag.ContinueOnError)
	why := flags.Int("why", 0, "say what each rule makes of the frame with this `NUMBER`, from 1 on")
	host := flags.String("host", "", "`NAME` of the host that the frames are taken to come from (default: this host's)")
	iface := flags.String("interface", "", "`NAME` of the interface that they are taken to come from (default: as the capture file says, or its own name)")
	if status, ok := arguments(flags, `rules test RULES CAPTURE (RULES: a rule file, - for standard input, or "builtin")`, 2, args, stdout, stderr); !ok {
		return status
	}
	if flags.Changed("why") && *why < 1 {
		fmt.Fprintln(stderr, "ndmon rules test: --why: takes the number of a frame, from 1 on")
		return process.ExitUsage
	}
	set, status := rulefile.Builtin(), process.ExitOK
	if file := flags.Arg(0); strings.TrimSpace(file) != "builtin" {
		if set, status = parseRules(file, stderr); set == nil {
			return status
		}
	}
	name := *host
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return failTest(stderr, fmt.Errorf("find this host's name (--host sets another): %w", err))
		}
	}
	cfg, makers, err := settings()
	if err != nil {
		process.UsageError{Err: err}.Print(stderr, "ndmon rules test")
		return process.ExitUsage
	}
	if err := trial.Run(stdout, trial.Config{
		Set: set, Capture: flags.Arg(1), Host: name, Interface: *iface, Why: *why,
		Link: link.Config{Neighbours: cfg.Neighbours, ClaimTimeout: cfg.ClaimTimeout, Silence: cfg.Silence, Vendor: makers.Lookup},
	}); err != nil {
		return failTest(stderr, err)
	}
	return process.ExitOK
}

// settings returns ruled's settings from the environment.
func settings() (ruled.Config, *vendors.Table, error) {
	var cfg ruled.Config
	if err := process.Environment("RULED", &cfg); err != nil {
		return cfg, nil, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, nil, err
	}
	makers, err := ruled.LoadVendors(cfg.Vendors)
	return cfg, makers, err
}
