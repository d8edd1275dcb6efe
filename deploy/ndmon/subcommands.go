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
	return map[string]func(args []string, stdout, stderr io.Writer) int{
		"alerts": alertsCommand, "find": FindCommand, "health": health, "keys": keysCommand, "rules": rulesCommand,
	}
}

// arguments reads the arguments of a subcommand, whose usage line says what they
// are. It returns false and the exit status after having said what is wrong with
// them, or the help that was asked for.
func arguments(flags *pflag.FlagSet, line string, positional int, args []string, stdout, stderr io.Writer) (status int, ok bool) {
	flags.SetOutput(io.Discard)
	usage := fmt.Sprintf("usage: ndmon %s\n%s", line, flags.FlagUsages())
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return process.ExitOK, false
	}
	if err == nil && flags.NArg() != positional {
		err = fmt.Errorf("%d arguments, takes %d", flags.NArg(), positional)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ndmon %s: %v\n%s", flags.Name(), err, usage)
		return process.ExitUsage, false
	}
	return process.ExitOK, true
}

func health(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("health", pflag.ContinueOnError)
	metrics := flags.String("metrics", "", "`ADDRESS` on which the running ndmon serves its metrics")
	if status, ok := arguments(flags, "health --metrics ADDRESS", 0, args, stdout, stderr); !ok {
		return status
	}
	return process.AskHealth("ndmon", "--metrics", *metrics, stdout, stderr)
}
