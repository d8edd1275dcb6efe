package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/daemon"
	"github.com/ndmon/ndmon/deploy/ndmon"
	"github.com/ndmon/ndmon/deploy/notify"
	"github.com/ndmon/ndmon/deploy/terminal"
	"github.com/ndmon/ndmon/deploy/uplink"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// options are those of ndmon without a command.
type options struct {
	ndmon.Config
	Level slog.Level
	// Verbose adds details to the alerts, as text.
	Verbose bool
	Daemon  bool
	// PIDFile gets the id of the process; empty for no file.
	PIDFile string
	// To are the receivers of the alerts, before they are parsed.
	To []string
	// Metrics is the address that serves metrics; empty for none.
	Metrics string
}

// newRun returns the command ndmon, without other commands. It calls run with the options,
// whose defaults depend on whether standard output is a terminal.
func newRun(onTerminal bool, run func(c *cobra.Command, o options) error) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "ndmon [OPTIONS]",
		Short: "Monitor and relay IPv6 Neighbor Discovery",
		Long: "ndmon monitors and relays IPv6 Neighbor Discovery: sensor, rules and pinger in one process,\n" +
			"with a NATS server of its own. Its commands work with a fleet of routers too.\n\n" +
			"Alerts go to standard output and to NATS: nats sub nd.alerts. With --read, a summary goes to\n" +
			"standard error at the end.\n\n" +
			"Exit status: 0; 1 if a capture file is damaged or cannot be read, or standard output cannot be\n" +
			"written; 2 if the command line, a variable, the rules or the surroundings are at fault.",
		Example: `  ndmon                         watch every Ethernet interface that is up
  ndmon -i eth0,eth1            watch these interfaces
  ndmon -m eth0 -s eth1,eth2    relay solicitations that leave eth0: look for their
                                targets behind eth1 and eth2
  ndmon -r FILE                 read a capture file (pcap or pcapng, or .gz) and exit
  ndmon --hub tls://n1 --key edge-r1.nk
                                watch, and have the hub of a fleet store the alerts
  ndmon find 2001:db8::42       ask all routers for an address now`,
		Args: process.Args(0, 0),
	}
	level := o.define(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.complete(c, *level, onTerminal); err != nil {
			return process.UsageError{Err: err}
		}
		return run(c, o)
	}
	return c
}

// define defines the options of a command. The log level is read later.
func (o *options) define(c *cobra.Command) (level *string) {
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringSliceVarP(&o.Masters, "master", "m", nil, "`INTERFACE` whose outgoing solicitations are relayed: a name, a glob (eth*) or an address prefix (2001:db8::/64)")
	flags.StringSliceVarP(&o.Slaves, "slaves", "s", nil, "`INTERFACES` to ping out of, separated by commas")
	flags.BoolVar(&o.Route, "route", false, "keep a route to each host found behind a slave")
	flags.BoolVar(&o.Proxy, "proxy", false, "answer on the master for the hosts found behind the slaves, and between the slaves")
	flags.BoolVar(&o.RA, "ra", false, "relay Router Advertisements to the hosts behind the slaves, which thereby get addresses, a default route and DNS servers; needs --proxy")
	flags.BoolVar(&o.DAD, "dad", false, "deny an address to a host that tests whether it can have it (duplicate address detection) while a host behind another interface has it; needs --proxy")
	flags.StringSliceVarP(&o.Interfaces, "interfaces", "i", nil, "`INTERFACES` to watch, separated by commas (default: the master, or without one all that are up)")
	flags.StringSliceVarP(&o.Files, "read", "r", nil, "capture `FILE` to read instead of interfaces (- is standard input)")
	flags.StringVarP(&o.Rules, "rules", "R", "", "rule `FILE` in place of the built-in rules; it is read again when it changes and on SIGHUP")
	flags.StringVarP(&o.Output, "output", "o", "", "`FORMAT` of the alerts: json or text (default: text on a terminal, else json)")
	flags.BoolVarP(&o.Verbose, "verbose", "v", false, "write also descriptions, ids and the fields of the events, as text")
	o.Filter.Options(c)
	flags.Lookup("since").Usage = "with --read, " + flags.Lookup("since").Usage
	level = flags.StringP("log-level", "l", "info", "`LEVEL` of the log: off, error, warn, info, debug or trace")
	flags.BoolVarP(&o.Daemon, "daemon", "d", false, "run in the background")
	flags.StringVar(&o.PIDFile, "pid-file", "", "`FILE` with the process id, removed at the end (default with --daemon: /run/ndmon.pid, without root ndmon.pid in XDG_RUNTIME_DIR)")
	flags.StringVar(&o.Listen, "listen", ndmon.DefaultListen, "`ADDRESS` of the embedded NATS server")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "PEM `FILE` with the certificate of the embedded server, for TLS")
	flags.StringVar(&o.TLSKey, "tls-key", "", "PEM `FILE` with the key of that certificate")
	flags.StringVar(&o.Keys, "keys", "", "`DIRECTORY` of ndmon keys: only its users may connect to the embedded server (default: clients without a key may read)")
	flags.BoolVar(&o.Insecure, "insecure", false, "let --listen reach beyond this host without --tls-cert and --keys: anyone who reaches it may read alerts and events")
	flags.StringVar(&o.NATS, "nats", "", "`URL` of a NATS server to use instead of the embedded one")
	flags.StringVar(&o.Hub, "hub", "", "`URLS` of a hub, such as tls://n1,n2: the embedded server joins it as a leaf node, and the hub gets the alerts; needs --key")
	flags.StringVar(&o.Key, "key", "", "`FILE` with the key of this host at the hub, edge-HOST.nk of ndmon keys")
	flags.StringVar(&o.Data, "data", "", "`DIRECTORY` of the embedded server (default: /var/lib/ndmon, without root ~/.local/state/ndmon)")
	flags.DurationVar(&o.Record, "record", 0, "keep the events of this `TIME`, such as 24h, in the embedded server (default: none)")
	flags.StringVar(&o.Host, "host", "", "`NAME` of this host in events (default: its hostname)")
	flags.DurationVar(&o.Learn, "learn", 0, "learn the routers for this `TIME`, such as 1h, print a configuration that lists them, and exit")
	flags.StringArrayVar(&o.To, "alert-to", nil, "deliver alerts to this `RECEIVER`: "+notify.Syntax+"; may be repeated")
	flags.StringVar(&o.Web, "web", "", "`ADDRESS` of the page, such as 127.0.0.1:8080 (default: none); another one than loopback needs WEB_TOKEN_FILE or WEB_USER_HEADER")
	flags.StringVar(&o.Metrics, "metrics", "", "`ADDRESS` that serves Prometheus metrics and the health (default: none)")
	for option, values := range map[string][]string{"output": {"text", "json"}, "log-level": process.LogLevels()} {
		c.RegisterFlagCompletionFunc(option, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return level
}

// complete fills in the defaults that the options depend on, and checks the options.
func (o *options) complete(c *cobra.Command, level string, onTerminal bool) error {
	changed := c.Flags().Changed
	var err error
	if o.Level, err = process.ParseLevel(level); err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	if err := o.Filter.Check(time.Now()); err != nil {
		return err
	}
	if o.Output == "" {
		o.Output = "json"
		if onTerminal {
			o.Output = "text"
		}
	}
	if o.AlertTo, err = notify.Parse("--alert-to", o.To); err != nil {
		return err
	}
	if o.Key != "" && !changed("host") {
		o.Host = uplink.HostOf(o.Key)
	}
	if o.Host == "" {
		if o.Host, err = os.Hostname(); err != nil {
			return fmt.Errorf("find this host's name (--host sets another): %w", err)
		}
	}
	if err := o.checkNames(); err != nil {
		return err
	}
	if err := o.checkTogether(changed); err != nil {
		return err
	}
	if o.NATS == "" {
		if err := o.checkServer(changed); err != nil {
			return err
		}
	}
	// A daemon leaves the directory that it was started in.
	for _, path := range []*string{&o.Rules, &o.Data, &o.TLSCert, &o.TLSKey, &o.Keys, &o.Key, &o.PIDFile} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return fmt.Errorf("make %s an absolute path: %w", *path, err)
			}
		}
	}
	return nil
}

func (o *options) checkNames() error {
	for _, list := range []struct {
		option string
		names  []string
	}{{"master", o.Masters}, {"slaves", o.Slaves}, {"interfaces", o.Interfaces}} {
		if _, err := iface.ParsePatterns(list.names); err != nil {
			return fmt.Errorf("--%s: %w", list.option, err)
		}
	}
	for _, name := range o.Files {
		if strings.TrimSpace(name) == "" {
			return errors.New("--read: has an empty entry")
		}
	}
	return nil
}

// checkTogether checks that the options fit each other.
func (o *options) checkTogether(changed func(string) bool) error {
	reading := len(o.Files) > 0
	switch {
	case o.Output != "json" && o.Output != "text":
		return fmt.Errorf("--output: %q is not a format: use json or text", o.Output)
	case reading && len(o.Masters)+len(o.Slaves)+len(o.Interfaces) > 0:
		return errors.New("--read: reads a file instead of interfaces, so it excludes --master, --slaves and --interfaces")
	case changed("learn") && o.Learn <= 0:
		return errors.New("--learn: must be above 0, such as 1h")
	case o.Learn > 0 && (o.Rules != "" || o.Daemon || len(o.Masters) > 0):
		return errors.New("--learn: only learns, so it excludes --rules, --daemon and --master")
	case changed("since") && !reading:
		return errors.New("--since: is for --read, because others are watched from now on; ndmon alerts --since writes stored alerts")
	case reading && o.Daemon:
		return errors.New("--read: excludes --daemon")
	case len(o.Masters) > 0 && len(o.Slaves) == 0:
		return errors.New("--master: needs --slaves, the interfaces to ping out of (--interfaces only watches)")
	case len(o.Slaves) > 0 && len(o.Masters) == 0:
		return errors.New("--slaves: needs --master, the interface whose solicitations are relayed")
	case o.Route && len(o.Slaves) == 0:
		return errors.New("--route: needs --master and --slaves, the interfaces behind which hosts are found")
	case o.Proxy && len(o.Slaves) == 0:
		return errors.New("--proxy: needs --master and --slaves, the interfaces between which it answers")
	case o.RA && !o.Proxy:
		return errors.New("--ra: needs --proxy, because the hosts get addresses that only a proxy makes reachable")
	case o.DAD && !o.Proxy:
		return errors.New("--dad: needs --proxy, which answers for hosts behind other interfaces")
	case o.NATS != "" && (changed("listen") || changed("data") || changed("record") || o.TLSCert != "" || o.Keys != "" || o.Insecure):
		return errors.New("--nats: uses another server, so it excludes --listen, --data, --record, --tls-cert, --keys and --insecure")
	case (o.Hub == "") != (o.Key == ""):
		return errors.New("--hub, --key: need each other")
	case o.Hub != "" && (o.NATS != "" || reading || o.Learn > 0):
		return errors.New("--hub: is for the alerts in the embedded server, so it excludes --nats, --read and --learn")
	case o.Hub != "" && o.Host != uplink.HostOf(o.Key):
		return fmt.Errorf("--host: %q is not the host of the key %s, which is %q", o.Host, o.Key, uplink.HostOf(o.Key))
	case len(o.AlertTo) > 0 && (o.NATS != "" || reading || o.Learn > 0):
		return errors.New("--alert-to: is for the alerts in the embedded server, so it excludes --nats (see ndmon alerts --to), --read and --learn")
	case o.Web != "" && (reading || o.Learn > 0):
		return errors.New("--web: shows what is watched, so it excludes --read and --learn")
	case changed("record") && o.Record < time.Second:
		return errors.New("--record: must be at least 1s, such as 24h")
	case changed("record") && (reading || o.Learn > 0):
		return errors.New("--record: is for what is watched, so it excludes --read and --learn")
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return errors.New("--tls-cert, --tls-key: need each other")
	}
	return nil
}

// checkServer completes and checks the options of the embedded server.
func (o *options) checkServer(changed func(string) bool) error {
	reading := len(o.Files) > 0
	if reading && !changed("listen") {
		o.Listen = "" // the server ends too soon to be of use
	} else if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return fmt.Errorf("--listen: %q is not an address such as %s", o.Listen, ndmon.DefaultListen)
	}
	if o.Listen != "" && ndmon.BeyondLoopback(o.Listen) && !o.Insecure && (o.TLSCert == "" || o.Keys == "") {
		return fmt.Errorf("--listen: other hosts reach %s: that needs --tls-cert, --tls-key and --keys (see ndmon keys init), or --insecure, with which they may read alerts and events", o.Listen)
	}
	if o.Data == "" && !reading {
		o.Data = daemon.StateDirectory()
	}
	return nil
}

// run runs ndmon until it ends or gets SIGINT or SIGTERM.
func run(c *cobra.Command, o options) error {
	if o.Daemon && !daemon.Running() {
		return startDaemon(c.ErrOrStderr())
	}
	out, errs := c.OutOrStdout(), c.ErrOrStderr()
	var progress *terminal.Progress
	if len(o.Files) > 0 && terminal.Is(errs) {
		progress = terminal.NewProgress(errs)
		out, errs = progress.Writer(out), progress.Writer(errs)
	}
	log, output := daemon.NewWriter(errs), daemon.NewWriter(out)
	env := process.Env{Log: process.NewLogger(log, o.Level), Registry: process.NewRegistry(), Health: new(process.Health)}
	remove, err := o.writePID(env.Log)
	if err != nil {
		return process.UsageError{Err: fmt.Errorf("--pid-file: %w", err)}
	}
	defer remove()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// If the reader of the alerts ends, writing returns an error. SIGPIPE would end this
	// process without removing its host routes and directories.
	signal.Ignore(syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if err := process.ServeMetrics(ctx, o.Metrics, env); err != nil {
		return process.ListenError(fmt.Errorf("--metrics: %w", err))
	}
	go process.ReturnMemory(ctx)
	deps := ndmon.Deps{
		Log: env.Log, Registry: env.Registry, Health: env.Health, Alerts: output, Hangup: hangup,
		Memory: process.LimitMemory(),
		Text:   alerts.TextFor(c.OutOrStdout(), o.Verbose),
		Started: func() {
			if daemon.Running() {
				if err := daemon.Started(log, output); err != nil {
					env.Log.Error("going to the background", "error", err)
				}
			}
		},
	}
	if len(o.Files) == 0 || o.Learn > 0 {
		return ndmon.Run(ctx, o.Config, deps)
	}
	return readFiles(ctx, o.Config, deps, env.Registry, progress, c.ErrOrStderr())
}

// writePID writes the file with the process id. Only one that was asked for by name has to be
// written: the default one is another ndmon's where several run in the background.
func (o *options) writePID(log *slog.Logger) (remove func(), err error) {
	path := o.PIDFile
	if path == "" && o.Daemon {
		path = localPIDFile()
	}
	if path == "" {
		return func() {}, nil
	}
	if remove, err = daemon.WritePID(path); err != nil && o.PIDFile == "" {
		log.Warn("no file with the process id; --pid-file sets another", "error", err)
		return func() {}, nil
	}
	return remove, err
}

// localPIDFile returns the default file with the process id; empty if the user has no directory for it.
func localPIDFile() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case os.Geteuid() == 0:
		return "/run/ndmon.pid"
	case filepath.IsAbs(dir):
		return filepath.Join(dir, "ndmon.pid")
	}
	return ""
}

func startDaemon(stderr io.Writer) error {
	pid, err := daemon.Start()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return process.Status(exit.ExitCode()) // it has printed the reason
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "ndmon: running in the background, process %d\n", pid)
	return nil
}
