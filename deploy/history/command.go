// Package history answers who had an address, when and where: the command ndmon history. What is known of an address is
// learned and stored by ruled/link and ruled/history.
package history

import (
	"bufio"
	"context"
	"encoding/csv"
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
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// answerWait is the time in which the server must answer.
const answerWait = 30 * time.Second

// formats are the formats of the list.
var formats = []string{"text", "json", "csv"}

// Command returns the command history. Now is the time that --since counts from.
func Command(now func() time.Time) *cobra.Command {
	c := &cobra.Command{
		Use:   "history ADDRESS|PREFIX|MAC",
		Short: "Show which station had which address, when and where",
		Long: "Show which station had which IPv6 address, on which interface, when it was heard first and\n" +
			"last, and by which messages: of an IPv6 address, of all addresses in a prefix, or of a station\n" +
			"with an Ethernet address. A station that was silent for an hour (RULED_CLAIM_TIMEOUT) has\n" +
			"another line for its return. LAST may be up to 12 minutes behind.\n\n" +
			"The variables NATS_... say how to reach the NATS server.\n\n" +
			"Exit status: 0 if there is any, 1 if there is none or the server does not answer.",
		Example: "  ndmon history 2001:db8::42 --at '2026-11-17 10:00'\n  ndmon history 2001:db8:0:1::/64 --since 24h --host r1\n  ndmon history 02:00:00:00:00:01 -o csv",
		Args:    process.Args(1, 1),

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	at := c.Flags().String("at", "", "`TIME` at which, such as 2026-11-17T10:00:00Z, '2026-11-17 10:00' in local time, or 36h for so long ago")
	since := c.Flags().String("since", "", "`TIME` since when, likewise")
	host := c.Flags().String("host", "", "`NAME` of the host that captured it (default: all)")
	output := c.Flags().StringP("output", "o", "text", "`FORMAT`: text, json for one object per line, or csv")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		write := map[string]func(io.Writer, []schemas.Binding) error{"text": writeText, "json": writeJSON, "csv": writeCSV}[*output]
		if write == nil {
			return process.UsageError{Err: fmt.Errorf("--output: %q is not a format: use %s", *output, strings.Join(formats, ", "))}
		}
		q, err := ParseQuery(args[0])
		if err != nil {
			return process.UsageError{Err: err}
		}
		if q.From, err = process.ParseTime(*since, now()); err != nil {
			return process.UsageError{Err: fmt.Errorf("--since: %w", err)}
		}
		if *at != "" {
			if q.To, err = process.ParseTime(*at, now()); err != nil {
				return process.UsageError{Err: fmt.Errorf("--at: %w", err)}
			}
			q.From = q.To
		}
		q.Host = *host
		var server bus.Config
		if err := process.Load("", &server); err != nil {
			return err
		}
		list, err := ask(server, q, c.ErrOrStderr())
		if err != nil {
			return err
		}
		if len(list) == 0 {
			fmt.Fprintf(c.ErrOrStderr(), "ndmon history: nothing is known of %s%s\n", args[0], when(*at, *since))
			return process.Status(process.ExitFailure)
		}
		out := bufio.NewWriter(c.OutOrStdout())
		if err := errors.Join(write(out, list), out.Flush()); err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
		return nil
	}
	return c
}

func when(at, since string) string {
	switch {
	case at != "":
		return " at that time"
	case since != "":
		return " since then"
	}
	return ""
}

func ask(server bus.Config, q Query, stderr io.Writer) (list []schemas.Binding, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, answerWait, fmt.Errorf("the NATS server at %s does not answer within %v", server.URL, answerWait))
	defer cancel()
	invalid := 0
	err = bus.Use(ctx, server, "ndmon history", func(ctx context.Context, nc *nats.Conn) (err error) {
		list, invalid, err = Read(ctx, nc, q)
		return err
	})
	if invalid > 0 {
		fmt.Fprintf(stderr, "ndmon history: %d messages are no bindings of their subjects, they are left out\n", invalid)
	}
	return list, err
}

func writeJSON(w io.Writer, list []schemas.Binding) error {
	for i := range list {
		if _, err := w.Write(append(list[i].AppendJSON(nil), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// Where returns where a binding was captured, as HOST/INTERFACE, with its VLANs behind it.
func Where(b *schemas.Binding) string {
	where := b.Host + "/" + b.Interface
	for _, tag := range []*uint16{b.VLAN, b.InnerVLAN} {
		if tag != nil {
			where += fmt.Sprintf(".%d", *tag)
		}
	}
	return where
}

// fields returns a binding as texts.
func fields(b *schemas.Binding) []string {
	contested := ""
	if b.Contested {
		contested = "contested"
	}
	return []string{b.Address.String(), b.Ethernet.String(), b.Vendor, Where(b), b.First.Format(time.RFC3339), b.Last.Format(time.RFC3339), strings.Join(b.Heard, ","), contested}
}

func writeCSV(w io.Writer, list []schemas.Binding) error {
	out := csv.NewWriter(w)
	out.Write([]string{"address", "ethernet", "vendor", "where", "first", "last", "heard", "contested"}) // Error returns what fails
	for i := range list {
		out.Write(fields(&list[i]))
	}
	out.Flush()
	return out.Error()
}

func writeText(w io.Writer, list []schemas.Binding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ADDRESS\tSTATION\tVENDOR\tWHERE\tFIRST\tLAST\tHEARD\tSTATE")
	for i := range list {
		cells := fields(&list[i])
		for at, cell := range cells {
			if cells[at] = alerts.Printable(cell); cell == "" {
				cells[at] = "-"
			}
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}
