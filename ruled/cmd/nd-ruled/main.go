// Nd-ruled evaluates the central rules against the fleet's events on NATS and
// publishes alerts and relay commands. It also checks rule files and lists the
// fields that rules can ask about.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

func command(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 2 && args[0] == "check":
		return check(args[1], stdout, stderr)
	case len(args) == 1 && args[0] == "fields":
		if err := rules.WriteFieldTable(stdout); err != nil {
			return process.ExitFailure
		}
		return process.ExitOK
	case len(args) > 0 && (args[0] == "check" || args[0] == "fields"):
		fmt.Fprintln(stderr, "usage: nd-ruled check FILE, nd-ruled fields")
		return process.ExitUsage
	}
	var cfg ruled.Config
	var nats bus.Config
	return process.Main(process.Program{
		Name:    "nd-ruled",
		Summary: "evaluates the central rules against the fleet's events on NATS",
		Usage: `  nd-ruled             runs until it is told to stop; SIGHUP has it read its rules again
  nd-ruled check FILE  checks a rule file: exit status 0, or 1 with its faults
  nd-ruled fields      lists the fields that rules can ask about`,
		Prefix: "RULED",
		Config: &cfg,
		Shared: &nats,
		Run:    func(ctx context.Context, env process.Env) error { return run(ctx, env, cfg, nats) },
	}, args, stdout, stderr)
}

func check(file string, stdout, stderr io.Writer) int {
	data, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintf(stderr, "nd-ruled: %v\n", err)
		return process.ExitFailure
	}
	set, err := rules.Parse(file, data)
	if err != nil {
		fmt.Fprintln(stdout, err)
		return process.ExitFailure
	}
	for _, notice := range set.Notices {
		fmt.Fprintf(stdout, "%s (notice)\n", notice)
	}
	alerting, relaying := 0, 0
	for _, rule := range set.Rules {
		if rule.Severity != "" {
			alerting++
		}
		if rule.Relay {
			relaying++
		}
	}
	fmt.Fprintf(stdout, "%s: %d rules are good, %d alert, %d relay\n", file, len(set.Rules), alerting, relaying)
	return process.ExitOK
}

func run(ctx context.Context, env process.Env, cfg ruled.Config, nats bus.Config) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	conn, err := bus.Connect(nats, bus.Options{Name: "nd-ruled", Log: env.Log, Registry: env.Registry})
	if err != nil {
		return process.UsageError{Err: err}
	}
	err = ruled.Run(ctx, cfg, ruled.Deps{Log: env.Log, Registry: env.Registry, Conn: conn, Bus: conn, Hangup: hangup})
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, conn.Drain(drain))
}
