// Nd-ruled evaluates the central rules against the fleet's events on NATS and
// publishes alerts and relay commands. It also helps to write rules, shows the
// neighbours that it knows, and learns the routers of the fleet's links.
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
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

const usage = `  nd-ruled                 runs until it is told to stop; SIGHUP has it read its rules again
  nd-ruled check FILE      checks a rule file, - for standard input: exit status 0, or 1 with
                           its faults
  nd-ruled fields          lists the fields that rules can ask about
  nd-ruled builtin         prints the built-in rules
  nd-ruled neighbors       lists the neighbours that the running nd-ruled knows
  nd-ruled --learn 1h      learns the routers for that long and prints a configuration`

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if run, ok := subcommands()[args[0]]; ok {
			return run(args[1:], stdout, stderr)
		}
	}
	var cfg ruled.Config
	var nats bus.Config
	learn, args, err := learning(args)
	if err != nil {
		process.UsageError{Err: err}.Print(stderr, "nd-ruled")
		return process.ExitUsage
	}
	return process.Main(process.Program{
		Name:    "nd-ruled",
		Summary: "evaluates the central rules against the fleet's events on NATS",
		Usage:   usage,
		Prefix:  "RULED",
		Config:  &cfg,
		Shared:  &nats,
		Run: func(ctx context.Context, env process.Env) error {
			cfg.LearnFor(learn)
			return run(ctx, env, cfg, nats, stdout)
		},
	}, args, stdout, stderr)
}

// neighbourBytes is the memory of one remembered address, in bytes.
const neighbourBytes = 300

func run(ctx context.Context, env process.Env, cfg ruled.Config, nats bus.Config, stdout io.Writer) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	conn, err := bus.Connect(nats, bus.Options{Name: "nd-ruled", Log: env.Log, Registry: env.Registry})
	if err != nil {
		return process.UsageError{Err: err}
	}
	env.Health.Check("NATS", conn.Health)
	cfg.Buffer = process.WithinMemory("RULED_BUFFER", cfg.Buffer, int(env.Memory/8), 1<<20)
	cfg.Neighbours = process.WithinMemory("RULED_NEIGHBOURS", cfg.Neighbours, int(env.Memory/8/neighbourBytes), 1000)
	var written error
	err = ruled.Run(ctx, cfg, ruled.Deps{
		Log: env.Log, Registry: env.Registry, Conn: conn, Bus: conn, Hangup: hangup,
		Health:  env.Health.Part("events"),
		Check:   env.Health.Check,
		Learned: func(l ruled.Learned) { written = l.WriteRouters(stdout) },
	})
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, written, conn.Drain(drain))
}

// learning takes --learn DURATION out of the arguments.
func learning(args []string) (time.Duration, []string, error) {
	if len(args) == 0 || args[0] != "--learn" {
		return 0, args, nil
	}
	if len(args) == 1 {
		return 0, nil, errors.New("--learn: takes a duration such as 1h")
	}
	d, err := time.ParseDuration(args[1])
	if err != nil || d <= 0 {
		return 0, nil, fmt.Errorf("--learn: %q is not a duration such as 1h", args[1])
	}
	return d, args[2:], nil
}
