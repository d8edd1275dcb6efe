// Package ndmon runs sensor, ruled and pinger in one process, with a nats-server
// in it unless there is one already.
package ndmon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

// Config is ndmon's command line.
type Config struct {
	// Masters, Slaves and Interfaces are names, globs or address prefixes.
	Masters, Slaves, Interfaces []string
	// Files are capture files to read instead of interfaces.
	Files []string
	// Rules is a rule file; empty for the built-in rules.
	Rules string
	// Output is json or text.
	Output string
	// Level is that of the log.
	Level slog.Level
	// Daemon has the program go to the background.
	Daemon bool
	// Listen is the address of the embedded nats-server, empty for none that can
	// be reached from outside.
	Listen string
	// TLSCert and TLSKey are files for TLS of the embedded server, Keys a folder of
	// ndmon keys with who may connect to it.
	TLSCert, TLSKey, Keys string
	// Insecure lets the embedded server be reached from other hosts without them.
	Insecure bool
	// NATS is the URL of a server to use instead.
	NATS string
	// Data is the folder of the embedded server; empty for a temporary one.
	Data string
	// Host is the name of this host in events.
	Host string
	// Learn, if not 0, is how long to learn the routers, and to do nothing else.
	Learn time.Duration
	// Route and Proxy have the pinger keep what it has found: a route to each host
	// behind a slave, and answers for it on the other interfaces.
	Route, Proxy bool
	// Metrics is the address on which metrics are served; empty for none.
	Metrics string
}

// DefaultListen is where the embedded nats-server listens unless told otherwise.
const DefaultListen = "127.0.0.1:4222"

// Help and Version are what ParseArgs returns when only that was asked for.
var (
	ErrHelp    = pflag.ErrHelp
	ErrVersion = errors.New("version requested")
)

const usage = `ndmon: IPv6 Neighbor Discovery monitoring and relaying

  ndmon                         watch every Ethernet interface that is up
  ndmon -i eth0,eth1            watch these interfaces
  ndmon -m eth0 -s eth1,eth2    watch the solicitations that leave eth0, and look
                                for their targets behind eth1 and eth2
  ndmon -r FILE                 read a capture file (pcap or pcapng) and exit
  ndmon alerts                  write the alerts of a fleet, see ndmon alerts --help
  ndmon find ADDRESS            ask all routers for an address now (ndmon find --help)
  ndmon health --metrics ADDR   ask the ndmon that serves its metrics there how it is
  ndmon keys init DIR           make the keys of a fleet and its NATS server's configuration

Alerts go to standard output, one a line, and to NATS: nats sub nd.alerts

`

// ParseArgs reads the command line. terminal says that standard output is one.
func ParseArgs(args []string, terminal bool, help io.Writer) (Config, error) {
	var c Config
	flags := pflag.NewFlagSet("ndmon", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	flags.StringSliceVarP(&c.Masters, "master", "m", nil, "`INTERFACE` whose outgoing solicitations are relayed: a name, a glob (eth*) or an address prefix (2001:db8::/64)")
	flags.StringSliceVarP(&c.Slaves, "slaves", "s", nil, "`INTERFACES` to ping out of, separated by commas")
	flags.BoolVar(&c.Route, "route", false, "keep a route to each host found behind a slave")
	flags.BoolVar(&c.Proxy, "proxy", false, "answer on the master for the hosts found behind the slaves, and between the slaves")
	flags.StringSliceVarP(&c.Interfaces, "interfaces", "i", nil, "`INTERFACES` to watch, separated by commas (default: the master, or without one all that are up)")
	flags.StringSliceVarP(&c.Files, "read", "r", nil, "capture `FILE` to read instead (- is standard input)")
	flags.StringVarP(&c.Rules, "rules", "R", "", "rule `FILE` in place of the built-in rules; it is read again when it changes and on SIGHUP")
	flags.StringVarP(&c.Output, "output", "o", "", "`FORMAT` of the alerts: json or text (default: text on a terminal, else json)")
	level := flags.StringP("log-level", "l", "info", "`LEVEL` of the log: error, warn, info, debug or trace")
	flags.BoolVarP(&c.Daemon, "daemon", "d", false, "go to the background")
	flags.StringVar(&c.Listen, "listen", DefaultListen, "`ADDRESS` of the embedded NATS server")
	flags.StringVar(&c.TLSCert, "tls-cert", "", "PEM `FILE` with the certificate of the embedded server, for TLS")
	flags.StringVar(&c.TLSKey, "tls-key", "", "PEM `FILE` with that certificate's key")
	flags.StringVar(&c.Keys, "keys", "", "`DIRECTORY` of ndmon keys: only its users may connect to the embedded server (default: without a key one may read)")
	flags.BoolVar(&c.Insecure, "insecure", false, "let --listen reach beyond this host without --tls-cert and --keys: whoever reaches it may read alerts and events")
	flags.StringVar(&c.NATS, "nats", "", "`URL` of a NATS server to use instead of the embedded one")
	flags.StringVar(&c.Data, "data", "", "`DIRECTORY` of the embedded server (default: "+bus.LocalData()+")")
	flags.StringVar(&c.Host, "host", "", "`NAME` of this host in events (default: its hostname)")
	flags.DurationVar(&c.Learn, "learn", 0, "learn the routers for this `TIME`, such as 1h, write a configuration that lists them to standard output, and exit")
	flags.StringVar(&c.Metrics, "metrics", "", "`ADDRESS` on which Prometheus metrics are served, and the health (default: none)")
	askHelp := flags.BoolP("help", "h", false, "show this help")
	askVersion := flags.BoolP("version", "V", false, "show the version")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("%w, see ndmon --help", err)
	}
	switch {
	case *askHelp:
		fmt.Fprint(help, usage, flags.FlagUsages())
		return c, ErrHelp
	case *askVersion:
		return c, ErrVersion
	case flags.NArg() > 0:
		return c, fmt.Errorf("%q is not an option, see ndmon --help", flags.Arg(0))
	}
	var err error
	if c.Level, err = process.ParseLevel(*level); err != nil {
		return c, fmt.Errorf("--log-level: %w", err)
	}
	if c.Output == "" {
		c.Output = "json"
		if terminal {
			c.Output = "text"
		}
	}
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return c, fmt.Errorf("find this host's name (--host sets another): %w", err)
		}
	}
	reading := len(c.Files) > 0
	switch {
	case c.Output != "json" && c.Output != "text":
		return c, fmt.Errorf("--output: %q is no format, takes json or text", c.Output)
	case reading && len(c.Masters)+len(c.Slaves)+len(c.Interfaces) > 0:
		return c, errors.New("--read: a file is read instead of interfaces, without --master, --slaves and --interfaces")
	case flags.Changed("learn") && c.Learn <= 0:
		return c, errors.New("--learn: takes a time above 0 such as 1h")
	case c.Learn > 0 && (c.Rules != "" || c.Daemon || len(c.Masters) > 0):
		return c, errors.New("--learn: does nothing but learn, without --rules, --daemon and --master")
	case reading && c.Daemon:
		return c, errors.New("--read: a file is not read by a --daemon")
	case len(c.Masters) > 0 && len(c.Slaves) == 0:
		return c, errors.New("--master: needs --slaves, the interfaces to ping out of (--interfaces only watches)")
	case len(c.Slaves) > 0 && len(c.Masters) == 0:
		return c, errors.New("--slaves: needs --master, the interface whose solicitations are relayed")
	case c.Route && len(c.Slaves) == 0:
		return c, errors.New("--route: needs --master and --slaves, the interfaces behind which hosts are found")
	case c.Proxy && len(c.Slaves) == 0:
		return c, errors.New("--proxy: needs --master and --slaves, the interfaces between which it answers")
	case c.NATS != "" && (flags.Changed("listen") || flags.Changed("data") || c.TLSCert != "" || c.Keys != "" || c.Insecure):
		return c, errors.New("--nats: uses a server that runs already, without --listen, --data, --tls-cert, --keys and --insecure")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return c, errors.New("--tls-cert, --tls-key: need each other")
	}
	if c.NATS == "" {
		if reading && !flags.Changed("listen") {
			c.Listen = "" // nobody looks for a server that is gone in a moment
		} else if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return c, fmt.Errorf("--listen: %q is no address, takes one such as %s", c.Listen, DefaultListen)
		}
		if beyondLoopback(c.Listen) && c.Listen != "" && !c.Insecure && (c.TLSCert == "" || c.Keys == "") {
			return c, fmt.Errorf("--listen: %s is reached from other hosts, which takes --tls-cert, --tls-key and --keys (of ndmon keys init), or --insecure, with which they may read alerts and events", c.Listen)
		}
		if c.Data == "" && !reading {
			c.Data = bus.LocalData()
		}
	}
	// A daemon leaves the folder that it was started in.
	for _, path := range []*string{&c.Rules, &c.Data, &c.TLSCert, &c.TLSKey, &c.Keys} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return c, fmt.Errorf("make %s an absolute path: %w", *path, err)
			}
		}
	}
	for _, list := range []struct {
		option string
		names  []string
	}{{"master", c.Masters}, {"slaves", c.Slaves}, {"interfaces", c.Interfaces}, {"read", c.Files}} {
		for _, name := range list.names {
			if strings.TrimSpace(name) == "" {
				return c, fmt.Errorf("--%s: a name is empty", list.option)
			}
		}
	}
	return c, nil
}
