package notify

import (
	"context"
	"path/filepath"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/daemon"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Options are the options of a command that delivers alerts of a fleet.
type Options struct {
	to        []string
	state     string
	receivers []*Receiver
}

// Define adds the options to a command.
func (o *Options) Define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&o.to, "to", nil, "deliver alerts to this `RECEIVER` instead: "+Syntax+"; may be repeated")
	flags.StringVar(&o.state, "state", "", "`DIRECTORY` with the position of each receiver (default: receivers in /var/lib/ndmon, without root in ~/.local/state/ndmon)")
}

// Check reads the options. It reports whether there are receivers.
func (o *Options) Check() (given bool, err error) {
	if o.state == "" {
		o.state = filepath.Join(daemon.StateDirectory(), Directory)
	}
	o.receivers, err = Parse("--to", o.to)
	return len(o.receivers) > 0, err
}

// Directory is the default name of the directory with the positions.
const Directory = "receivers"

// Run delivers the alerts that the filter selects until the context ends.
func (o *Options) Run(ctx context.Context, conn *bus.Conn, filter alerts.Filter, env process.Env) error {
	n, err := New(ctx, Config{
		Receivers: o.receivers, Filter: filter, Directory: o.state, Conn: conn, Log: env.Log, Registry: env.Registry, Health: env.Health,
	})
	if err != nil {
		return process.UsageError{Err: err}
	}
	return n.Run(ctx)
}
