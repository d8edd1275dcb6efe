// Package process runs the programs of ndmon: their command line and exit status, the
// configuration from the environment, the log, metrics, health, memory limit and version.
// What a program does is not here.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Program is a daemon that is configured by environment variables.
type Program struct {
	// Name is the name of the command, Summary one line on what it does, without a full stop.
	Name, Summary string
	// Prefix is the prefix of its variables, such as SENSOR.
	Prefix string
	// Config points to a struct for envconfig. Its fields have no envconfig tags except
	// split_words: with an envconfig tag, envconfig also reads a variable without the
	// prefix, and HOST may well be set for other reasons. If it has a method
	// Validate() error, that is called after the variables are read.
	Config any
	// Shared points to the part of the configuration whose variables have no prefix.
	Shared any
	// Run does the work until the context ends.
	Run func(ctx context.Context, env Env) error
}

// common are the variables that every program has, with its prefix.
type common struct {
	LogLevel string        `split_words:"true" default:"info" desc:"log level: off, error, warn, info, debug or trace"`
	Metrics  string        `desc:"address that serves Prometheus metrics and the health, such as 127.0.0.1:9100 (default: none)"`
	Alone    time.Duration `split_words:"true" default:"0s" desc:"exit after this long without any interface up except loopback, for a container that shares another container's network: after that one restarts, only a restart joins its new network; 0s: never"`
}

// Main runs a daemon until it ends and returns the exit status.
func Main(p Program, args []string, stdout, stderr io.Writer) int {
	return Execute(p.Command(), args, stdout, stderr)
}

// Command returns the program's command, with a command health that checks the running program.
func (p Program) Command() *cobra.Command {
	var table strings.Builder
	writeTable(&table, p.variables(&common{}))
	c := &cobra.Command{
		Use:   p.Name,
		Short: p.Summary,
		Args:  Args(0, 0),
		RunE:  func(c *cobra.Command, _ []string) error { return p.run(c.CommandPath(), c.ErrOrStderr()) },
	}
	c.Long = p.Summary + ".\n\nIt is configured by environment variables:\n\n" + strings.TrimRight(table.String(), "\n")
	c.AddCommand(&cobra.Command{
		Use:   "health",
		Short: fmt.Sprintf("Check the running program that has the same environment (%s_METRICS)", p.Prefix),
		Long: fmt.Sprintf("Ask the running program that has the same environment for its health, at %s_METRICS.\n\n"+
			"Exit status: 0 if it is healthy, 1 if not, with the reason.", p.Prefix),
		Args: Args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			var shared common
			if err := Load(p.Prefix, &shared); err != nil {
				return err
			}
			return CheckHealth(p.Name, p.Prefix+"_METRICS", shared.Metrics, c.OutOrStdout())
		},
	})
	return c
}

func (p *Program) variables(c *common) []variables {
	return []variables{{p.Prefix, p.Config}, {p.Prefix, c}, {"", p.Shared}}
}

// run reads the environment and runs the program until it ends or gets SIGINT or SIGTERM.
func (p *Program) run(path string, stderr io.Writer) error {
	var shared common
	var errs []error
	for _, v := range p.variables(&shared) {
		errs = append(errs, Load(v.prefix, v.spec))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	level, err := ParseLevel(shared.LogLevel)
	if err != nil {
		return UsageError{Err: fmt.Errorf("%s_LOG_LEVEL: %w", p.Prefix, err)}
	}
	if shared.Alone != 0 && shared.Alone < minWithoutInterfaces {
		return UsageError{Err: fmt.Errorf("%s_ALONE: must be 0s or at least %v", p.Prefix, minWithoutInterfaces)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := Env{Name: path, Log: NewLogger(stderr, level), Registry: NewRegistry(), Health: new(Health), Memory: LimitMemory()}
	if err := ServeMetrics(ctx, shared.Metrics, env); err != nil {
		return ListenError(fmt.Errorf("%s_METRICS: %w", p.Prefix, err))
	}
	go ReturnMemory(ctx)
	env.Log.Info("starting", "version", versionLine(path))
	for _, name := range unknownVariables(p.Prefix, p.variables(&shared)) {
		env.Log.Warn("unknown variable, it has no effect; see --help", "variable", name)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if shared.Alone > 0 {
		go func() { end(waitNoInterfaces(ctx, shared.Alone, net.Interfaces)) }()
	}
	err = p.Run(ctx, env)
	if context.Cause(ctx) == errNoInterfaces {
		err = errNoInterfaces
	}
	switch {
	case errors.As(err, new(UsageError)):
		return err
	case err != nil && !errors.Is(err, context.Canceled):
		env.Log.Error("failed", "error", err)
		return Status(ExitFailure)
	}
	env.Log.Info("stopped")
	return nil
}

// errNoInterfaces ends a process whose network namespace has no interfaces left.
var errNoInterfaces = errors.New("no network interface is up except loopback: exiting, so that a restart joins the new network namespace")

// minWithoutInterfaces is the smallest value of the variable ALONE besides 0.
const minWithoutInterfaces = time.Second

// waitNoInterfaces returns errNoInterfaces once no interface except loopback has been up
// for the given time, or nil when the context ends. A container that shares another
// container's network keeps that namespace when the other container stops, without its
// interfaces. Only a restart joins the new namespace.
func waitNoInterfaces(ctx context.Context, after time.Duration, interfaces func() ([]net.Interface, error)) error {
	const checks = 10
	tick := time.NewTicker(after / checks)
	defer tick.Stop()
	for without := 0; without < checks; without++ {
		// A failed listing proves nothing.
		if list, err := interfaces(); err != nil || anyUp(list) {
			without = -1
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return errNoInterfaces
}

func anyUp(list []net.Interface) bool {
	for _, i := range list {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return true
		}
	}
	return false
}
