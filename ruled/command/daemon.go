// Package command holds the commands of nd-ruled, of which ndmon has some too: the daemon,
// learning the routers, checking rules and listing the neighbours. What they work with is
// in ruled and its packages.
package command

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
	"github.com/ndmon/ndmon/ruled/source"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Daemon returns the command nd-ruled with its subcommands.
func Daemon() *cobra.Command {
	var learn learnTime
	c := program("nd-ruled", "Evaluate rules on the events of a fleet on NATS, and publish alerts and relay commands", &learn)
	c.Use = "nd-ruled [OPTIONS]"
	c.Flags().Var(&learn, "learn", "learn the routers for this `TIME`, such as 1h, print a configuration that lists them, and exit")
	c.AddCommand(Rules()...)
	c.AddCommand(Neighbors(), &cobra.Command{
		Use:                "test",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return process.UsageError{Err: errors.New("is now ndmon rules test")}
		},
	})
	return c
}

// Learn returns a command that does what nd-ruled --learn does.
func Learn() *cobra.Command {
	var learn learnTime
	c := program("learn", "Learn the routers of a fleet for a time such as 1h, and print a configuration that lists them", &learn)
	c.Use = "learn TIME"
	c.RemoveCommand(c.Commands()...) // health: it ends by itself
	c.Args = func(c *cobra.Command, args []string) error {
		if err := process.Args(1, 1)(c, args); err != nil {
			return err
		}
		return learn.Set(args[0])
	}
	return c
}

// learnTime is an option with a duration above 0.
type learnTime time.Duration

func (t *learnTime) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a duration such as 1h", s)
	}
	*t = learnTime(d)
	return nil
}

func (t *learnTime) String() string { return "" } // no default in the help
func (t *learnTime) Type() string   { return "duration such as 1h" }

func program(name, summary string, learn *learnTime) *cobra.Command {
	var cfg ruled.Config
	var nats bus.Config
	var c *cobra.Command
	c = process.Program{
		Name: name, Summary: summary, Prefix: "RULED", Config: &cfg, Shared: &nats,
		Run: func(ctx context.Context, env process.Env) error {
			cfg.LearnFor(time.Duration(*learn))
			return run(ctx, env, cfg, nats, c.OutOrStdout())
		},
	}.Command()
	return c
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
	service, err := presence.Serve(conn, schemas.ServiceRuled, "", env.Health)
	if err != nil {
		return err
	}
	cfg.Buffer = process.WithinMemory("RULED_BUFFER", cfg.Buffer, int(env.Memory/8), 1<<20)
	cfg.Neighbours = process.WithinMemory("RULED_NEIGHBOURS", cfg.Neighbours, int(env.Memory/2/neighbourBytes/schemas.Partitions), 1000)
	var written error
	err = ruled.Run(ctx, cfg, ruled.Deps{
		Log: env.Log, Registry: env.Registry, Conn: conn, Hangup: hangup,
		Health:  env.Health.Part("events"),
		Check:   env.Health.Check,
		Status:  service.Describe,
		Central: source.Central{Make: true},
		Learned: func(l ruled.Learned) { written = l.WriteRouters(stdout) },
	})
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, written, conn.Drain(drain))
}
