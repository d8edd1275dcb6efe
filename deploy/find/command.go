package find

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Command returns the command find.
func Command() *cobra.Command { return newCommand(find) }

// newCommand returns the command with the function that does its work.
func newCommand(find func(context.Context, config, io.Writer) (bool, error)) *cobra.Command {
	var cfg config
	c := &cobra.Command{
		Use:   "find ADDRESS",
		Short: "Ask the routers for an IPv6 address now",
		Long: "Have the pingers of all hosts that are connected to the NATS server look for an IPv6\n" +
			"address behind their slaves now, and print where it is: host, interface, Ethernet\n" +
			"address, round-trip time.\n\n" +
			"Exit status: 0 if it is found, 1 if no host has it, 2 if no pinger could be asked.",
		Args: process.Args(1, 1),

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := c.Flags()
	flags.SortFlags = false
	url := flags.String("nats", "", "`URL` of the NATS server (default: NATS_URL, or "+defaultURL+")")
	output := flags.StringP("output", "o", "text", "`FORMAT`: text, or json for all results, one per line")
	flags.DurationVar(&cfg.Wait, "wait", defaultWait, "`TIME` to wait for a result, more than the pingers wait (PINGER_TIMEOUT)")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := process.Environment("", &cfg.NATS); err != nil {
			return process.UsageError{Err: err}
		}
		if flags.Changed("nats") {
			cfg.NATS.URL = *url
		}
		cfg.JSON = *output == "json"
		var err error
		switch cfg.Target, err = parseTarget(args[0]); {
		case err != nil:
		case !cfg.JSON && *output != "text":
			err = fmt.Errorf("--output: %q is not a format: use text or json", *output)
		case cfg.Wait <= 0 || cfg.Wait > maxWait:
			err = fmt.Errorf("--wait: must be above 0 and at most %v, such as 5s", maxWait)
		case flags.Changed("nats") && *url == "":
			err = errors.New("--nats: is empty: use a URL such as " + defaultURL)
		default:
			err = cfg.NATS.Validate()
		}
		if err != nil {
			return process.UsageError{Err: err}
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		switch found, err := find(ctx, cfg, c.OutOrStdout()); {
		case err != nil:
			return process.UsageError{Err: err}
		case !found:
			return process.Status(process.ExitFailure)
		}
		return nil
	}
	return c
}

func parseTarget(s string) (netip.Addr, error) {
	target, err := netip.ParseAddr(s)
	if err != nil {
		return target, fmt.Errorf("%q is not an IPv6 address such as 2001:db8::42", s)
	}
	return target, schemas.CheckTarget(target)
}
