package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

// subcommands are what nd-ruled does beside running, by name.
func subcommands() map[string]func(args []string, stdout, stderr io.Writer) int {
	return map[string]func(args []string, stdout, stderr io.Writer) int{
		"check": check, "fields": fields, "builtin": builtin, "neighbors": neighbors, "neighbours": neighbors,
	}
}

// arguments reads the arguments of a subcommand, whose usage line says what they
// are. It returns false after having said what is wrong with them.
func arguments(flags *pflag.FlagSet, line string, positional int, args []string, stderr io.Writer) bool {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if err == nil && flags.NArg() != positional {
		err = fmt.Errorf("%d arguments, takes %d", flags.NArg(), positional)
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stderr, "nd-ruled %s: %v\n", flags.Name(), err)
	}
	fmt.Fprintf(stderr, "usage: nd-ruled %s\n%s", line, flags.FlagUsages())
	return false
}

func newFlags(name string) *pflag.FlagSet { return pflag.NewFlagSet(name, pflag.ContinueOnError) }

// fail says why a subcommand fails.
func fail(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "nd-ruled: %v\n", err)
	return process.ExitFailure
}

func check(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("check")
	if !arguments(flags, "check FILE (-: standard input)", 1, args, stderr) {
		return process.ExitUsage
	}
	set, status := parse(flags.Arg(0), stdout, stderr)
	if set == nil {
		return status
	}
	for _, notice := range set.Notices {
		fmt.Fprintf(stdout, "%s (notice)\n", notice)
	}
	fmt.Fprintf(stdout, "%s: %d rules are good\n", flags.Arg(0), len(set.Rules))
	if err := set.Describe(stdout); err != nil {
		return fail(stderr, err)
	}
	return process.ExitOK
}

// parse reads a rule file. Without one it has said what is wrong, and returns
// the exit status.
func parse(file string, stdout, stderr io.Writer) (*rulefile.Set, int) {
	data, err := readRules(file)
	if err != nil {
		return nil, fail(stderr, err)
	}
	set, err := rulefile.Parse(file, data)
	if err != nil {
		fmt.Fprintln(stdout, err)
		return nil, process.ExitFailure
	}
	return set, process.ExitOK
}

// readRules reads a rule file, or standard input for "-". It may be a pipe, of which
// no more is read than rules.Parse needs to refuse it.
func readRules(file string) ([]byte, error) {
	f := os.Stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	return io.ReadAll(io.LimitReader(f, rulefile.MaxSize+1))
}

func fields(args []string, stdout, stderr io.Writer) int {
	if !arguments(newFlags("fields"), "fields", 0, args, stderr) {
		return process.ExitUsage
	}
	if err := rules.WriteFieldTable(stdout); err != nil {
		return fail(stderr, err)
	}
	return process.ExitOK
}

func builtin(args []string, stdout, stderr io.Writer) int {
	if !arguments(newFlags("builtin"), "builtin", 0, args, stderr) {
		return process.ExitUsage
	}
	if _, err := stdout.Write(rulefile.BuiltinXML()); err != nil {
		return fail(stderr, err)
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
