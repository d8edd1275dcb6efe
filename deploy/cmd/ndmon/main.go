// Ndmon monitors and relays IPv6 Neighbor Discovery on one router: sensor,
// ruled and pinger in one process, with a NATS server of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/ndmon/ndmon/deploy/ndmon"
	"github.com/ndmon/ndmon/schemas/process"
	"golang.org/x/term"
)

func main() { os.Exit(command()) }

func command() int {
	if len(os.Args) > 1 {
		if run, ok := ndmon.Subcommands()[os.Args[1]]; ok {
			return run(os.Args[2:], os.Stdout, os.Stderr)
		}
	}
	terminal := term.IsTerminal(int(os.Stdout.Fd()))
	cfg, err := ndmon.ParseArgs(os.Args[1:], terminal, os.Stdout)
	switch {
	case errors.Is(err, ndmon.ErrHelp):
		return process.ExitOK
	case errors.Is(err, ndmon.ErrVersion):
		fmt.Println(process.Version("ndmon"))
		return process.ExitOK
	case err != nil:
		return fail(err, process.ExitUsage)
	}
	if cfg.Daemon && !ndmon.IsDaemon() {
		pid, err := ndmon.Daemonize()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			return exit.ExitCode()
		case err != nil:
			return fail(err, process.ExitFailure)
		}
		fmt.Fprintf(os.Stderr, "ndmon: running in the background, process %d\n", pid)
		return process.ExitOK
	}

	// The stream of events is most of the heap and hardly changes: collecting
	// it half as often saves 5 % of the processor time of a flood.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	log, alerts := ndmon.NewWriter(os.Stderr), ndmon.NewWriter(os.Stdout)
	env := process.Env{Log: process.NewLogger(log, cfg.Level), Registry: process.NewRegistry(), Health: new(process.Health)}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Who reads the alerts may go: that is an error of the write then, and not
	// the end of a process that has tables and folders to remove.
	signal.Ignore(syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if err := process.ServeMetrics(ctx, cfg.Metrics, env); err != nil {
		return fail(fmt.Errorf("--metrics: %w", err), process.ExitUsage)
	}
	err = ndmon.Run(ctx, cfg, ndmon.Deps{
		Log: env.Log, Registry: env.Registry, Health: env.Health, Alerts: alerts, Hangup: hangup,
		Memory: process.LimitMemory(),
		Colour: terminal && os.Getenv("NO_COLOR") == "",
		Started: func() {
			if ndmon.IsDaemon() {
				if err := ndmon.Background(log, alerts); err != nil {
					env.Log.Error("going to the background", "error", err)
				}
			}
		},
	})
	switch usage := (process.UsageError{}); {
	case errors.As(err, &usage):
		usage.Print(os.Stderr, "ndmon")
		return process.ExitUsage
	case err != nil:
		return fail(err, process.ExitFailure)
	}
	return process.ExitOK
}

func fail(err error, status int) int {
	fmt.Fprintf(os.Stderr, "ndmon: %v\n", err)
	return status
}
