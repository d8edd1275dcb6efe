package command

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Rules returns the commands check, fields and builtin, which help to write rules.
func Rules() []*cobra.Command {
	return []*cobra.Command{{
		Use:   "check FILE",
		Short: "Check a rule file (- for standard input)",
		Long:  "Check a rule file (- for standard input), and describe its rules.\n\nExit status: 0, or 1 with its faults, one per line.",
		Args:  process.Args(1, 1),
		RunE:  func(c *cobra.Command, args []string) error { return check(args[0], c.OutOrStdout()) },
	}, {
		Use:   "fields",
		Short: "List the fields that rules can match",
		Args:  process.Args(0, 0),
		RunE:  func(c *cobra.Command, _ []string) error { return rules.WriteFieldTable(c.OutOrStdout()) },
	}, {
		Use:   "builtin",
		Short: "Print the built-in rules",
		Args:  process.Args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(rulefile.BuiltinXML())
			return err
		},
	}}
}

func check(file string, stdout io.Writer) error {
	set, err := ReadRules(file, stdout)
	if err != nil {
		return err
	}
	for _, notice := range set.Notices {
		fmt.Fprintf(stdout, "%s (notice)\n", notice)
	}
	for i := range set.Rules {
		if r := &set.Rules[i]; r.Threshold != nil && !slices.ContainsFunc(r.Threshold.Track, func(f *schemas.Field) bool { return f.Name == "host" }) {
			fmt.Fprintf(stdout, "%s: rule %s tracks no host: in a fleet, its threshold counts the hosts of each of the %d partitions of the events separately (notice)\n", file, r.ID, schemas.Partitions)
		}
	}
	fmt.Fprintf(stdout, "%s: %d rules are good\n", file, len(set.Rules))
	return set.Describe(stdout)
}

// ReadFile reads a rule file, or standard input for "-".
func ReadFile(file string) ([]byte, error) {
	f := os.Stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	// The file may be a pipe without end: rulefile.Parse refuses it for the one byte too many.
	return io.ReadAll(io.LimitReader(f, rulefile.MaxSize+1))
}

// ReadRules reads a rule file, or standard input for "-". It writes the faults of the rules
// to w, one per line, and returns a process.Status then.
func ReadRules(file string, w io.Writer) (*rulefile.Set, error) {
	data, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	set, err := rulefile.Parse(file, data)
	if err != nil {
		fmt.Fprintln(w, err)
		return nil, process.Status(process.ExitFailure)
	}
	return set, nil
}

// Settings returns the configuration of ruled from the environment, and the table of
// vendors that it names. Errors are a process.UsageError.
func Settings() (ruled.Config, *vendors.Table, error) {
	var cfg ruled.Config
	if err := process.Load("RULED", &cfg); err != nil {
		return cfg, nil, err
	}
	table, err := cfg.VendorTable()
	if err != nil {
		return cfg, nil, process.UsageError{Err: err}
	}
	return cfg, table, nil
}
