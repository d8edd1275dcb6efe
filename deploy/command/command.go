// Package command holds the command line of ndmon: running in one process, and the commands
// of an operator. What the commands do is in packages of their own.
package command

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/find"
	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/deploy/history"
	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/deploy/notify"
	"github.com/ndmon/ndmon/deploy/replay"
	"github.com/ndmon/ndmon/deploy/revisions"
	"github.com/ndmon/ndmon/deploy/top"
	"github.com/ndmon/ndmon/deploy/trial"
	"github.com/ndmon/ndmon/deploy/web"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// New returns the command ndmon. Terminal says that standard output is one.
func New(terminal bool) *cobra.Command {
	c := newRun(terminal, run)
	c.AddCommand(alerts.Command(new(notify.Options)), find.Command(), fleet.Command(), history.Command(time.Now), ruled.Neighbors(), newRules(), replay.Command(time.Now), top.Command(), newKeys(), newHealth(), web.Command(), newMan())
	return c
}

func newHealth() *cobra.Command {
	c := &cobra.Command{
		Use:   "health",
		Short: "Check the running ndmon that serves its metrics at --metrics ADDRESS",
		Long: "Ask the running ndmon that serves its metrics at --metrics ADDRESS for its health.\n\n" +
			"Exit status: 0 if it is healthy, 1 if not, with the reason.",
		Args: process.Args(0, 0),
	}
	metrics := c.Flags().String("metrics", "", "`ADDRESS` of the metrics, as given to the running ndmon")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return process.CheckHealth("ndmon", "--metrics", *metrics, c.OutOrStdout())
	}
	return c
}

// newMan returns the hidden command man, which packages use.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the man pages of ndmon and its commands into a directory",
		Hidden: true,
		Args:   process.Args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			c.Root().DisableAutoGenTag = true
			if err := doc.GenManTree(c.Root(), &doc.GenManHeader{Section: "8", Source: "ndmon"}, args[0]); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			return nil
		},
	}
}

func newKeys() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Make the keys of a fleet and the configuration of its NATS server"}
	var server keys.Server
	var client keys.Client
	var force bool
	create := newKeysCommand("init", "Make the keys of a fleet and the configuration of its NATS server",
		func(dir string, hosts keys.Hosts) error { return keys.Init(dir, hosts, server, client, force) })
	flags := create.Flags()
	flags.StringSliceVar(&server.Cluster, "servers", nil, "`NAMES` or addresses of the NATS servers of a cluster, three or more, separated by commas, each with or without a port (default 4222); the port for routes is 2000 higher, that for edges 3200")
	flags.StringVar(&server.Data, "data", keys.DefaultData, "`DIRECTORY` of what the NATS server stores, as a path on the server")
	flags.StringVar(&server.Cert, "tls-cert", "", "PEM `FILE` with the server's certificate, as a path on the server (default: none, or for a cluster new ones)")
	flags.StringVar(&server.Key, "tls-key", "", "PEM `FILE` with the key of that certificate, as a path on the server")
	flags.StringVar(&server.CA, "tls-ca", "", "PEM `FILE` with the authorities of client certificates, as a path on the server; clients must have one then")
	flags.StringVar(&client.URL, "url", keys.DefaultURL, "`URL` of the NATS server in the contexts of the command nats; for a cluster, by default those of all servers")
	flags.StringVar(&client.CA, "ca", "", "PEM `FILE` with the authorities of the server's certificate, in these contexts")
	flags.BoolVar(&force, "force", false, "replace all keys of the directory by new ones: the old ones no longer work")
	c.AddCommand(create,
		newKeysCommand("add", "Make the keys of more hosts", keys.Add),
		newKeysCommand("remove", "Remove the keys of hosts", keys.Remove))
	return c
}

// newKeysCommand returns a command that changes the keys of hosts in a directory.
func newKeysCommand(name, short string, change func(dir string, hosts keys.Hosts) error) *cobra.Command {
	c := &cobra.Command{
		Use:     name + " DIRECTORY --hosts r1,r2",
		Short:   short,
		Args:    process.Args(1, 1),
		Example: "  ndmon keys " + name + " keys --hosts r1,r2",
	}
	c.Flags().SortFlags = false
	var hosts keys.Hosts
	c.Flags().StringSliceVar(&hosts.Thin, "hosts", nil, "`NAMES` of the hosts with sensors and pingers, as in SENSOR_HOST and PINGER_HOST, separated by commas")
	c.Flags().StringSliceVar(&hosts.Edges, "edges", nil, "`NAMES` of the hosts whose ndmon has the option --hub, separated by commas")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := change(args[0], hosts); err != nil {
			return err
		}
		files, err := keys.ServerFiles(args[0])
		if err != nil {
			return err
		}
		restart := "must reload it (nats-server --signal reload) or restart"
		if name == "remove" && len(hosts.Edges) > 0 {
			restart = "must restart: a reload does not end the connection of an edge" // as nats-server 2.15 does it
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "nats-server -c runs with %s; a running server %s\n", strings.Join(files, ", "), restart)
		return err
	}
	return c
}

func newRules() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "Write rules: check and test them, list their fields, learn the routers; push them to a fleet"}
	c.AddCommand(ruled.Rules()...)
	c.AddCommand(revisions.Commands()...)
	c.AddCommand(newTest(), ruled.Learn())
	return c
}

func newTest() *cobra.Command {
	var cfg trial.Config
	c := &cobra.Command{
		Use:   "test RULES CAPTURE",
		Short: "Test rules on a capture file",
		Long: "Evaluate rules on the frames of a capture file (pcap or pcapng), and print which frame\n" +
			"matches which rule. RULES is a rule file, - for standard input, or \"builtin\".\n\n" +
			"The variables RULED_NEIGHBOURS, RULED_CLAIM_TIMEOUT, RULED_SILENCE and RULED_VENDORS apply, see\n" +
			"ndmon rules learn --help.",
		Example: "  ndmon rules test builtin capture.pcap\n  ndmon rules test rules.xml capture.pcap --why 2",
		Args:    process.Args(2, 2),
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.IntVar(&cfg.Why, "why", 0, "print for each rule why it matches the frame with this `NUMBER`, or why not; frames count from 1")
	flags.StringVar(&cfg.Host, "host", "", "`NAME` of the host of the frames (default: this host's)")
	flags.StringVar(&cfg.Interface, "interface", "", "`NAME` of the interface of the frames (default: that in the capture file, or the file's name)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if flags.Changed("why") && cfg.Why < 1 {
			return process.UsageError{Err: errors.New("--why: frames count from 1")}
		}
		cfg.Set, cfg.Capture = rulefile.Builtin(), args[1]
		var err error
		if file := args[0]; strings.TrimSpace(file) != "builtin" {
			if cfg.Set, err = ruled.ReadRules(file, c.ErrOrStderr()); err != nil {
				return err
			}
		}
		if cfg.Host == "" {
			if cfg.Host, err = os.Hostname(); err != nil {
				return fmt.Errorf("find this host's name (--host sets another): %w", err)
			}
		}
		settings, makers, err := ruled.Settings()
		if err != nil {
			return err
		}
		cfg.Link = link.Config{Neighbours: settings.Neighbours, ClaimTimeout: settings.ClaimTimeout, Silence: settings.Silence, Vendor: makers.Lookup}
		return trial.Run(c.OutOrStdout(), cfg)
	}
	return c
}
