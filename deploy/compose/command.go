//go:build linux

// Package compose is what the containers of docker-compose.yml run beside
// ndmon's own programs: routers and hosts that hold a network namespace, keys,
// traffic, and a health check. Its test is that of the whole lab.
package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

const usage = `ndlab: what the lab of docker-compose.yml runs beside ndmon's own programs

  ndlab hold [ADDRESS/LENGTH]  hold a network namespace, after giving the address to
                               its only interface, and with --advertise be a router
  ndlab ready ADDRESS|URL...   exit 0 when these addresses can be used here, and
                               NATS is at these URLs
  ndlab keys FILE:UID:FOLDER...
                               make the keys of --hosts in ` + keysFolder + `, and put a copy of
                               each file into the folder, for the user alone
  ndlab traffic NEIGHBOUR...   talk to these addresses, and attack now and then

Options of hold, keys and traffic:
`

// Command is ndlab. A process.UsageError is one of the arguments.
func Command(ctx context.Context, args []string, out io.Writer, log *slog.Logger) error {
	t := traffic{log: log}
	flags := pflag.NewFlagSet("ndlab", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	prefixes := flags.StringSlice("advertise", nil, "advertise this host as a router with these `PREFIXES`, on the link where it has an address of the first")
	hosts := flags.StringSlice("hosts", nil, "`HOSTS` that have keys")
	flags.DurationVar(&t.every, "every", 5*time.Second, "`TIME` between two rounds; the second is an attack too, and each sixth after it")
	flags.TextVar(&t.rogue, "rogue-ra", netip.Prefix{}, "attack with Router Advertisements on the link that has this `PREFIX`")
	flags.TextVar(&t.spoof, "spoof", netip.Addr{}, "attack by claiming this `ADDRESS` of a neighbour")
	flags.TextVar(&t.find, "find", netip.Addr{}, "ping this `ADDRESS` by way of --via")
	flags.TextVar(&t.via, "via", netip.Addr{}, "`ADDRESS` of a router on a link of ours")
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
		return dealKeys(*hosts, args[1:])
	case command == "traffic" && len(args) > 1:
		return t.run(ctx, args[1:])
	}
	return usageError("takes hold, ready, keys or traffic with their arguments, see ndlab --help")
}

func usageError(format string, args ...any) error {
	return process.UsageError{Err: fmt.Errorf(format, args...)}
}
