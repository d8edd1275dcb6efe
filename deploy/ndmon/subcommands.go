package ndmon

import (
	"errors"
	"fmt"
	"io"

	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

// Subcommands are what ndmon does beside running, by name. They return the exit
// status.
func Subcommands() map[string]func(args []string, stdout, stderr io.Writer) int {
	return map[string]func(args []string, stdout, stderr io.Writer) int{"alerts": alertsCommand, "health": health, "keys": keysCommand}
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
		fmt.Fprintf(stderr, "ndmon %s: %v\n", flags.Name(), err)
	}
	fmt.Fprintf(stderr, "usage: ndmon %s\n%s", line, flags.FlagUsages())
	return false
}

func health(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("health", pflag.ContinueOnError)
	metrics := flags.String("metrics", "", "`ADDRESS` on which the running ndmon serves its metrics")
	if !arguments(flags, "health --metrics ADDRESS", 0, args, stderr) {
		return process.ExitUsage
	}
	return process.AskHealth("ndmon", "--metrics", *metrics, stdout, stderr)
}
