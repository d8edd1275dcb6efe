// Package compose holds the command ndlab, which runs in the containers of
// docker-compose.yml next to ndmon's own programs: routers and hosts with a network
// namespace, keys, traffic, and a health check. TestLab tests the lab with Docker.
package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/spf13/pflag"
)

const usage = `ndlab runs in the lab of docker-compose.yml, next to ndmon's own programs

  ndlab hold [ADDRESS/LENGTH]  keep a network namespace open; add the address to its
                               only interface; with --advertise, act as a router
  ndlab ready ADDRESS|URL...   exit 0 if these addresses are usable on this host and
                               NATS servers answer at these URLs
  ndlab keys FILE:UID:FOLDER...
                               make the keys of --hosts in ` + keysFolder + `, and copy each
                               file to the folder, readable only by the user;
                               a FILE with a * stands for any number of files
  ndlab traffic NEIGHBOUR...   send to these addresses, and attack from time to time

Options of hold, keys and traffic:
`

// Command is ndlab. It returns a process.UsageError for invalid arguments.
func Command(ctx context.Context, args []string, out io.Writer, log *slog.Logger) error {
	t := traffic{log: log}
	flags := pflag.NewFlagSet("ndlab", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	prefixes := flags.StringSlice("advertise", nil, "advertise this host as a router with these `PREFIXES`, on the link where it has an address in the first")
	hosts := flags.StringSlice("hosts", nil, "`HOSTS` that have keys")
	servers := flags.StringSlice("servers", nil, "`NAMES` of the NATS servers of a cluster (default: one server)")
	flags.DurationVar(&t.every, "every", 5*time.Second, "`TIME` between two rounds; the second round and every sixth after it include attacks")
	flags.TextVar(&t.rogue, "rogue-ra", netip.Prefix{}, "attack with Router Advertisements on the link with this `PREFIX`")
	flags.TextVar(&t.spoof, "spoof", netip.Addr{}, "attack with Neighbor Advertisements for this `ADDRESS` of a neighbour")
	flags.TextVar(&t.find, "find", netip.Addr{}, "ping this `ADDRESS` through the router of --via")
	flags.TextVar(&t.via, "via", netip.Addr{}, "`ADDRESS` of a router on a link of this host")
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(out, usage, flags.FlagUsages())
		return nil
	case err != nil:
		return usageError("%w, see ndlab --help", err)
	}
	advertised := make([]netip.Prefix, len(*prefixes))
	for i, text := range *prefixes {
		var err error
		if advertised[i], err = netip.ParsePrefix(text); err != nil {
			return usageError("--advertise: %w", err)
		}
	}
	command, args := flags.Arg(0), flags.Args()
	switch {
	case command == "hold" && len(args) <= 2:
		return hold(ctx, args[1:], advertised, log)
	case command == "ready" && len(args) > 1:
		return ready(ctx, args[1:])
	case command == "keys" && len(args) > 1:
		return distributeKeys(*hosts, *servers, args[1:])
	case command == "traffic" && len(args) > 1:
		return t.run(ctx, args[1:])
	}
	return usageError("use hold, ready, keys or traffic with their arguments, see ndlab --help")
}
