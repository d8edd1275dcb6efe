package process

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	ExitOK = 0
	// ExitFailure: the program ran and failed.
	ExitFailure = 1
	// ExitUsage: the command line, the configuration or the surroundings are wrong. A restart
	// does not help.
	ExitUsage = 2
)

// Status is an error that ends the program with this exit status. Nothing is printed,
// because the command has printed the reason.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// UsageError is a fault of the command line, of the configuration, or of the surroundings, such as a
// missing capability, that a restart does not cure.
type UsageError struct {
	Err error
	// Located says that each line of the error begins with FILE:LINE. It is printed
	// without the name of the command then, so that editors recognise it.
	Located bool
}

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e UsageError) Unwrap() error { return e.Err }

// ListenError returns the error of listening on a configured address as a UsageError, unless it
// passes when an interface that comes later has the address.
func ListenError(err error) error {
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return err
	}
	return UsageError{Err: err}
}

// Execute runs a command line and returns the exit status. The root gets the option
// --version and the commands help, version and completion. An error of a command is
// printed here, and only here: each line begins with the name of the command.
func Execute(root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.Version = versionLine(root.Name())
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().BoolP("version", "V", false, "show the version")
	root.CompletionOptions.DisableDefaultCmd = true
	help := helpCommand()
	root.SetHelpCommand(help)
	root.AddCommand(versionCommand(), completionCommand())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(optionError)
	prepare(root)
	prepare(help)
	// The word for flags is options, as in NS-Monitor and in the errors.
	root.SetUsageTemplate(strings.NewReplacer("Flags:", "Options:", "Available Commands:", "Commands:", "[command]", "COMMAND").Replace(root.UsageTemplate()))
	parsed := false
	root.PersistentPreRun = func(*cobra.Command, []string) { parsed = true }
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(append([]string{}, args...)) // nil would be os.Args
	c, err := root.ExecuteC()
	var status Status
	var usage UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &status):
		return int(status)
	case !parsed:
		printError(stderr, c, fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
		return ExitUsage
	case errors.As(err, &usage) && usage.Located:
		fmt.Fprintln(stderr, err)
		return ExitUsage
	}
	printError(stderr, c, err)
	if errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitFailure
}

func printError(w io.Writer, c *cobra.Command, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", c.CommandPath(), strings.TrimSuffix(line, "\n"))
	}
}

// prepare sets what cobra lacks in a command and its commands: the description of --help, and
// that a command which only groups others needs one of them.
func prepare(c *cobra.Command) {
	c.Flags().BoolP("help", "h", false, "show this help")
	c.DisableFlagsInUseLine = true
	for _, sub := range c.Commands() {
		prepare(sub)
	}
	if c.Runnable() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		var names []string
		for _, sub := range c.Commands() {
			names = append(names, sub.Name())
		}
		return fmt.Errorf("needs a command: %s", strings.Join(names, ", "))
	}
	c.RunE = func(*cobra.Command, []string) error { return nil }
}

// Args returns a check of the number of arguments of a command.
func Args(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) >= least && len(args) <= most:
			return nil
		case most == 0 && c.HasSubCommands():
			return unknownCommand(c, args[0])
		case most == 0:
			return fmt.Errorf("unexpected argument %q", args[0])
		}
		return fmt.Errorf("wrong number of arguments: %s", c.UseLine())
	}
}

// unknownCommand returns an error that suggests the commands with a similar name.
func unknownCommand(c *cobra.Command, name string) error {
	c.SuggestionsMinimumDistance = 2
	return fmt.Errorf("unknown command %q%s", name, suggest("", c.SuggestionsFor(name)))
}

func suggest(prefix string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, strings.Join(names, " or "+prefix))
}

// optionError describes an error of pflag in terms of what the user has typed.
func optionError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var lacking *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		return fmt.Errorf("unknown option %q%s", dashed(name), suggest("--", similarOptions(c, name)))
	case errors.As(err, &lacking):
		return fmt.Errorf("%s: needs a value", dashed(lacking.GetSpecifiedName()))
	case errors.As(err, &invalid):
		value := invalid.GetFlag().Value
		return fmt.Errorf("--%s: %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), describeType(value.Type()))
	}
	return err
}

// describeType says for a user what values of a Go type, or of a pflag type, look like.
func describeType(name string) string {
	switch {
	case name == "bool":
		return "true or false"
	case name == "time.Duration", name == "duration":
		return "a duration such as 10s or 1m30s"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	}
	return "a " + name
}

func dashed(option string) string {
	if len(option) == 1 {
		return "-" + option
	}
	return "--" + option
}

// similarOptions returns the options with a similar name, by cobra's comparison of the names
// of commands.
func similarOptions(c *cobra.Command, name string) []string {
	if len(name) == 1 {
		return nil
	}
	options := &cobra.Command{SuggestionsMinimumDistance: 2}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		options.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	return options.SuggestionsFor(name)
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		Args: func(c *cobra.Command, args []string) error {
			if of, rest, err := c.Root().Find(args); err != nil || len(rest) > 0 {
				return unknownCommand(of, args[len(args)-max(len(rest), 1)])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			of, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  Args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), c.Root().Version)
			return err
		},
	}
}

func completionCommand() *cobra.Command {
	write := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"zsh":  (*cobra.Command).GenZshCompletion,
	}
	shells := []string{"bash", "fish", "zsh"}
	return &cobra.Command{
		Use:               "completion SHELL",
		Short:             "Print the completion script of a shell: bash, fish or zsh",
		Example:           "  source <(COMMAND completion bash)",
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || write[args[0]] == nil {
				return errors.New("needs the name of a shell: " + strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return write[args[0]](c.Root(), c.OutOrStdout())
		},
	}
}

// ParseTime reads a time in RFC 3339 or as a date, with or without a time of day, in local time, or how long ago it
// was. An empty text is the zero time.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: use 2026-11-17T10:00:00Z, '2026-11-17 10:00' in local time, or 36h for so long ago", s)
}
