package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/terminal"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// builtin names the built-in rules.
const builtin = "builtin"

// options are the options of the command.
type options struct {
	alerts.Filter
	rules, current string
	files          []string
	output         string
}

// Command returns the command replay. Now is the time that --since counts from.
func Command(now func() time.Time) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "replay",
		Short: "Compare which alerts new rules would raise for recorded events or captures",
		Long: "Evaluate recorded events, or those of capture files, with the rules in force and with new ones,\n" +
			"both from the same start, and print how many alerts of each rule there are before and after,\n" +
			"and examples of those that would come or go. Nothing is published or stored.\n\n" +
			"The events are those in the stream ND_EVENTS: of a fleet, or of an ndmon with --record. The rules in\n" +
			"force are the central rules, or the built-in ones. Reading the stream needs the key ruled.nk or\n" +
			"admin.nk of the fleet, or that in the --data directory of ndmon (NATS_NKEY). The variables NATS_...\n" +
			"say how to reach the NATS server; RULED_NEIGHBOURS, RULED_CLAIM_TIMEOUT, RULED_SILENCE and\n" +
			"RULED_VENDORS apply too. With --since, earlier events are evaluated, and their alerts not compared.\n\n" +
			"Exit status, as that of diff: 0 if the alerts are the same, 1 if they differ, 2 on an error.",
		Example: "  ndmon replay --rules rules.xml --since 24h\n  ndmon replay --rules rules.xml -r capture.pcap",
		Args:    process.Args(0, 0),
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.rules, "rules", "R", builtin, "the new rules: a rule `FILE`, - for standard input, or builtin")
	flags.StringVar(&o.current, "current", "", "the rules in force: a rule `FILE` or builtin (default: the central rules, with --read builtin)")
	flags.StringSliceVarP(&o.files, "read", "r", nil, "capture `FILE` to read instead of recorded events")
	o.Options(c)
	o.HostOption(c)
	flags.StringVarP(&o.output, "output", "o", "text", "`FORMAT`: text, or json for one object per rule")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		differ, err := o.run(c, now())
		switch {
		case err != nil && !errors.As(err, new(process.Status)):
			return process.UsageError{Err: err} // 1 says that the alerts differ
		case err != nil:
			return process.Status(process.ExitUsage) // the faults of the rules are printed
		case differ:
			return process.Status(process.ExitFailure)
		}
		return nil
	}
	return c
}

// run compares the rules, prints the differences, and reports whether there are any.
func (o *options) run(c *cobra.Command, now time.Time) (differ bool, err error) {
	if o.output != "text" && o.output != "json" {
		return false, fmt.Errorf("--output: %q is not a format: use text or json", o.output)
	}
	if err := o.Check(now); err != nil {
		return false, err
	}
	after, err := load(o.rules, c.ErrOrStderr())
	if err != nil {
		return false, err
	}
	var before *rulefile.Set
	if o.current != "" || len(o.files) > 0 {
		if before, err = load(o.current, c.ErrOrStderr()); err != nil {
			return false, err
		}
	}
	settings, makers, err := ruled.Settings()
	if err != nil {
		return false, err
	}
	cfg := link.Config{Neighbours: settings.Neighbours, ClaimTimeout: settings.ClaimTimeout, Silence: settings.Silence, Vendor: makers.Lookup}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var compared *comparison
	if len(o.files) > 0 {
		host, err := os.Hostname()
		if err != nil {
			return false, fmt.Errorf("find this host's name: %w", err)
		}
		compared = newComparison(before, after, cfg, o.Match)
		if err := captured(o.files, host, compared.event); err != nil {
			return false, err
		}
		return compared.write(c.OutOrStdout(), o.output)
	}
	var server bus.Config
	if err := process.Load("", &server); err != nil {
		return false, err
	}
	err = bus.Use(ctx, server, "ndmon replay", func(ctx context.Context, nc *nats.Conn) error {
		js, err := jetstream.New(nc)
		if err != nil {
			return fmt.Errorf("use JetStream: %w", err)
		}
		if before == nil {
			if before, err = inForce(ctx, js); err != nil {
				return err
			}
		}
		compared = newComparison(before, after, cfg, o.Match)
		invalid, err := recorded(ctx, js, compared.event)
		if invalid > 0 {
			fmt.Fprintf(c.ErrOrStderr(), "ndmon replay: %d lines are no events, they are left out\n", invalid)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	return compared.write(c.OutOrStdout(), o.output)
}

// load reads a rule file. An empty name is that of the built-in rules.
func load(file string, stderr io.Writer) (*rulefile.Set, error) {
	if file == "" || file == builtin {
		return rulefile.Builtin(), nil
	}
	return ruled.ReadRules(file, stderr)
}

// write prints the differences, and reports whether there are any.
func (c *comparison) write(out io.Writer, format string) (differ bool, err error) {
	list := c.differences()
	for _, d := range list {
		differ = differ || d.Come+d.Go > 0
	}
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		for _, d := range list {
			err = errors.Join(err, encoder.Encode(d))
		}
		return differ, err
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tBEFORE\tAFTER\tCOME\tGO")
	for _, d := range list {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\n", alerts.Printable(d.Rule), d.Before, d.After, d.Come, d.Go)
	}
	table.Flush()
	columns := alerts.LineLength(terminal.Width(out))
	for _, d := range list {
		for _, e := range d.Coming {
			text.WriteString(e.line("+", d.Rule, columns))
		}
		for _, e := range d.Going {
			text.WriteString(e.line("-", d.Rule, columns))
		}
	}
	fmt.Fprintf(&text, "%d events, %d rules with alerts\n", c.events, len(list))
	_, err = io.WriteString(out, text.String())
	return differ, err
}

// line returns an example in one or two lines.
func (e *Example) line(sign, rule string, columns int) string {
	return alerts.Wrap(fmt.Sprintf("%s %s  %s/%s  %s  %s", sign, e.Time.Local().Format(time.DateTime), e.Host, e.Interface, rule, e.Summary), columns, 2)
}
