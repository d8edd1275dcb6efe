// Package fleet shows which daemons of a fleet run and how they are: the command ndmon fleet. What
// a daemon says of itself is in schemas/presence and the daemons; who is silent is known to ruled.
package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

const maxWait = time.Hour

// Command returns the command fleet.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "fleet",
		Short: "List the daemons of a fleet, and what is amiss",
		Long: "Ask all daemons that are connected to the NATS server how they are, and list them. Sensors\n" +
			"and pingers that nd-ruled no longer hears are listed for a week. CLOCK is how far the clock\n" +
			"of a host is ahead of that of this one.\n\n" +
			"The variables NATS_... say how to reach the NATS server.\n\n" +
			"Exit status: 0 if all is well; 1 if a part is silent or has a fault, lost frames in the last\n" +
			"10 minutes, refused its rules, or has a clock that is off by more than 3s; 2 if they could not\n" +
			"be asked.",
		Args: process.Args(0, 0),
	}
	output := c.Flags().StringP("output", "o", "table", "`FORMAT`: table, or json for one object per line")
	wait := c.Flags().Duration("wait", 2*time.Second, "`TIME` to wait for answers, and longer while more arrive")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		write := map[string]func(*Report, io.Writer) error{"table": (*Report).writeTable, "json": (*Report).writeJSON}[*output]
		if write == nil {
			return process.UsageError{Err: fmt.Errorf("--output: %q is not a format: use table or json", *output)}
		}
		if *wait <= 0 || *wait > maxWait {
			return process.UsageError{Err: fmt.Errorf("--wait: must be above 0 and at most %v, such as 5s", maxWait)}
		}
		var server bus.Config
		if err := process.Load("", &server); err != nil {
			return err
		}
		answers, err := ask(server, *wait)
		if err != nil {
			return process.UsageError{Err: err}
		}
		r := newReport(answers)
		out := bufio.NewWriter(c.OutOrStdout())
		if err := errors.Join(write(r, out), out.Flush()); err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
		if r.amiss() {
			return process.Status(process.ExitFailure)
		}
		return nil
	}
	return c
}

// writeJSON writes the rows, one per line, and then what is amiss besides.
func (r *Report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for i := range r.Rows {
		if err := encoder.Encode(&r.Rows[i]); err != nil {
			return err
		}
	}
	if len(r.Besides) == 0 {
		return nil
	}
	return encoder.Encode(map[string][]string{"amiss": r.Besides})
}
