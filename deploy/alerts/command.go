package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// config is the configuration of the command, from variables with the prefix ALERTS.
type config struct {
	Output string `split_words:"true" default:"text" desc:"format of the alerts: text or json"`
}

// Validate implements process.Program's.
func (c config) Validate() error {
	if c.Output != "text" && c.Output != "json" {
		return fmt.Errorf("ALERTS_OUTPUT: %q is not a format: use text or json", c.Output)
	}
	return nil
}

// Receivers are options for where alerts go instead of standard output.
type Receivers interface {
	// Define adds the options to a command.
	Define(c *cobra.Command)
	// Check returns what is wrong with the values of the options, and whether there are receivers.
	Check() (given bool, err error)
	// Run delivers the alerts that the filter selects until the context ends.
	Run(ctx context.Context, conn *bus.Conn, filter Filter, env process.Env) error
}

// options are the options of the command.
type options struct {
	Filter
	to      Receivers
	deliver bool   // there are receivers
	output  string // empty for that of the configuration
	verbose bool
}

func (o *options) define(c *cobra.Command) {
	c.Flags().SortFlags = false
	o.Options(c)
	o.HostOption(c)
	c.Flags().StringVarP(&o.output, "output", "o", "", "`FORMAT`: text or json (default: ALERTS_OUTPUT)")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "write also descriptions, ids and the fields of the events, as text")
	o.to.Define(c)
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *options) check(changed func(string) bool, now time.Time) (err error) {
	if o.output != "" && o.output != "text" && o.output != "json" {
		return fmt.Errorf("--output: %q is not a format: use text or json", o.output)
	}
	if o.deliver, err = o.to.Check(); err == nil && o.deliver && (changed("since") || changed("output") || changed("verbose")) {
		err = errors.New("--to: excludes --since, --output and --verbose, which are for standard output")
	}
	return errors.Join(err, o.Check(now))
}

// format returns the format for a standard output.
func (o *options) format(c config, out io.Writer) Format {
	if cmp.Or(o.output, c.Output) == "json" {
		return JSONLine
	}
	return TextFor(out, o.verbose).Format()
}

// Command returns the command alerts, a daemon that writes the alerts of a fleet from a time
// on, or delivers them to receivers. It needs the rights of a viewer.
func Command(to Receivers) *cobra.Command {
	var cfg config
	var nats bus.Config
	o := options{to: to}
	var c *cobra.Command
	c = process.Program{
		Name: "alerts", Summary: "Write the alerts of a fleet to standard output, from now on or since a time",
		Prefix: "ALERTS", Config: &cfg, Shared: &nats,
		Run: func(ctx context.Context, env process.Env) error {
			conn, err := bus.Connect(nats, bus.Options{Name: "ndmon-alerts", Log: env.Log, Registry: env.Registry})
			if err != nil {
				return process.UsageError{Err: err}
			}
			env.Health.Check("NATS", conn.Health)
			out := c.OutOrStdout()
			if o.deliver {
				err = to.Run(ctx, conn, o.Filter, env)
			} else {
				f := follower{
					conn: conn, reader: reader{log: env.Log, since: o.Since}, writer: writer{out, o.format(cfg, out)}, filter: o.Filter,
					log: env.Log, health: env.Health.Part("alerts"),
				}
				err = f.run(ctx)
			}
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			return errors.Join(err, conn.Drain(drain))
		},
	}.Command()
	o.define(c)
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.check(c.Flags().Changed, time.Now()); err != nil {
			return process.UsageError{Err: err}
		}
		return run(c, args)
	}
	return c
}

const (
	// readInterval is how often the stream is read without a sign of a new alert.
	readInterval = time.Second
	// noAlertInterval is how often messages that are not alerts are logged.
	noAlertInterval = 30 * time.Second
	drainTimeout    = 200 * time.Millisecond
)

// follower writes the alerts that are stored, in their order, and those that come.
type follower struct {
	conn   *bus.Conn
	reader reader
	writer writer
	filter Filter
	log    *slog.Logger
	health func(error)

	// noAlerts counts the messages that are not alerts since that was last logged.
	noAlerts int
	logged   time.Time
}

func (f *follower) run(ctx context.Context) error {
	// An alert arrives here when it is published, which may be before it is stored: then
	// the next read finds it.
	published := make(chan struct{}, 1)
	if _, err := f.conn.Subscribe(schemas.SubjectAlerts, func(string, []byte) {
		select {
		case published <- struct{}{}:
		default:
		}
	}); err != nil {
		return err
	}
	tick := time.NewTicker(readInterval)
	defer tick.Stop()
	for {
		if f.conn.Connected() {
			err := f.reader.read(ctx, f.conn.JetStream(), f.write)
			if errors.As(err, new(writeError)) {
				return err
			}
			f.health(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-published:
		case <-tick.C:
		}
	}
}

// write writes a message, if it is an alert that the filter selects.
func (f *follower) write(message *jetstream.RawStreamMsg) error {
	a, err := read(message.Data)
	if err == nil && f.filter.Match(&a) {
		err = f.writer.write(message.Data)
	}
	if err == nil || errors.As(err, new(writeError)) {
		return err
	}
	if f.noAlerts++; time.Since(f.logged) > noAlertInterval {
		f.logged = time.Now()
		f.log.Warn("messages in the stream of alerts are not alerts", "messages", f.noAlerts, "last", err)
		f.noAlerts = 0
	}
	return nil
}

// read reads an alert, also one of a foreign writer with other members than ours.
func read(message []byte) (a schemas.Alert, err error) {
	if err = json.Unmarshal(message, &a); err == nil && a.Type != schemas.TypeAlert {
		err = fmt.Errorf("its type is %q, not %s", a.Type, schemas.TypeAlert)
	}
	return a, err
}
