// Package revisions has the commands that push rules to a fleet, and show and compare what was pushed.
// The store of these rules is in ruled/central, and what uses them in ruled/source.
package revisions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/ruled/central"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
)

// call is a call of a command.
type call struct {
	*cobra.Command
	*central.Store
	ctx    context.Context
	server bus.Config
	args   []string
}

// Commands returns the commands push, show, log, diff and rollback.
func Commands() []*cobra.Command {
	return []*cobra.Command{
		newPush(),
		newCommand("show [REVISION]", "Print the central rules: the newest revision, or an older one", "", 0, 1, false, show),
		newLog(),
		newCommand("diff [A] [B]", "Compare two revisions of the central rules, or a revision and a rule file",
			" as a unified\ndiff: the newest two, A with the newest, or A with B. B may be a rule file, also without A,\nwhich is the newest then", 0, 2, false, compare),
		newCommand("rollback REVISION", "Push an old revision of the central rules again", ", as a new revision", 1, 1, false, rollBack),
	}
}

// newCommand returns a command that uses the store of the central rules, and makes it if create is set. Long goes on where short ends.
func newCommand(use, short, long string, least, most int, create bool, run func(*call) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: process.Args(least, most),
		Long: short + long + ".\n\nThe variables NATS_... say how to reach the NATS server.",
		RunE: func(c *cobra.Command, args []string) error {
			k := &call{Command: c, args: args}
			if err := process.Load("", &k.server); err != nil {
				return err
			}
			return k.connected(func() error { return run(k) }, create)
		},
	}
}

// answerWait is the time for all answers of the server.
const answerWait = 10 * time.Second

// connected runs f with the store, at most for answerWait.
func (k *call) connected(f func() error, create bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, answerWait, fmt.Errorf("the NATS server at %s does not answer within %v", k.server.URL, answerWait))
	defer cancel()
	return bus.Use(ctx, k.server, "ndmon rules", func(ctx context.Context, nc *nats.Conn) error {
		js, err := jetstream.New(nc)
		if err != nil {
			return fmt.Errorf("use JetStream: %w", err)
		}
		k.ctx = ctx
		if k.Store, err = central.Open(ctx, js, create); err != nil {
			return err
		}
		return f()
	})
}

func newPush() *cobra.Command {
	var r central.Revision
	var after uint64
	var c *cobra.Command
	c = newCommand("push FILE", "Push a rule file to the fleet",
		": check it, and store it on NATS as a new revision of the central\n"+
			"rules, those of every nd-ruled and edge without a rule file of its own. FILE is - for standard\n"+
			"input, or \"builtin\" for the built-in rules.\n\n"+
			"Then it waits up to 5s and says which daemons have the rules in force and which refuse them.\n\n"+
			"Exit status: 0; 1 if the rules were not stored or are refused; 2 if they have faults, which\nare printed", 1, 1, true,
		func(k *call) error { return k.push(&r, after, c.Flags().Changed("after")) })
	c.Example = "  ndmon rules push rules.xml -m \"report every RA on the guests' VLAN\""
	c.Flags().StringVarP(&r.Message, "message", "m", "", "`TEXT` for ndmon rules log")
	c.Flags().Uint64Var(&after, "after", 0, "push only if this `REVISION` is the newest; 0: if there is none")
	connect := c.RunE
	c.RunE = func(c *cobra.Command, args []string) (err error) { // a faulty file needs no server
		if r.Data = []byte(central.Builtin); args[0] != "builtin" {
			if r.Data, err = ruled.ReadFile(args[0]); err != nil {
				return process.UsageError{Err: fmt.Errorf("read rules: %w", err)}
			}
		}
		if err := check(c, args[0], &r); err != nil {
			return err
		}
		return connect(c, args)
	}
	return c
}

// check returns the faults of a rule file, prints its notices, and counts its rules.
func check(c *cobra.Command, name string, r *central.Revision) error {
	set, err := rulefile.Parse(name, r.Data)
	if err != nil {
		return process.UsageError{Err: err, Located: true}
	}
	for _, notice := range set.Notices {
		fmt.Fprintf(c.ErrOrStderr(), "%s (notice)\n", notice)
	}
	r.Rules = strconv.Itoa(len(set.Rules))
	return nil
}

// push stores a revision behind the newest one, or behind after if that is given.
func (k *call) push(r *central.Revision, after uint64, given bool) error {
	if !given {
		newest, err := k.Newest(k.ctx)
		if err == nil {
			after = newest.Revision
		} else if !errors.Is(err, central.ErrNone) {
			return err
		}
	}
	// A program without a user database or hostname has no author.
	if u, err := user.Current(); err == nil {
		r.Author = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		r.Author += "@" + host
	}
	var err error
	if r.Revision, err = k.Push(k.ctx, r, after); err != nil {
		return err
	}
	fmt.Fprintf(k.OutOrStdout(), "%s: %s rules\n", r.Name(), r.Rules)
	return k.taken(r)
}

func rollBack(k *call) error {
	r, err := k.find(k.args[0])
	if err == nil {
		err = check(k.Command, r.Name(), r)
	}
	if err != nil {
		return err
	}
	r.Message = "rollback to " + r.Name()
	return k.push(r, 0, false)
}

// find returns the revision that an argument names.
func (k *call) find(arg string) (*central.Revision, error) {
	n, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return nil, process.UsageError{Err: fmt.Errorf("%q is not the number of a revision: see ndmon rules log", arg)}
	}
	r, err := k.Revision(k.ctx, n)
	if errors.Is(err, central.ErrNone) {
		err = fmt.Errorf("there is no revision %d: see ndmon rules log", n)
	}
	return r, err
}

func show(k *call) error {
	r, err := k.Newest(k.ctx)
	if len(k.args) > 0 {
		r, err = k.find(k.args[0])
	}
	if err != nil {
		return err
	}
	_, err = k.OutOrStdout().Write(r.Data)
	return err
}

func newLog() *cobra.Command {
	var output string
	c := newCommand("log", "List the revisions of the central rules",
		", the newest first: when each was stored, who pushed it as\nthat user's program says, how many rules it has, and why", 0, 0, false,
		func(k *call) error { return k.log(output) })
	c.Flags().StringVarP(&output, "output", "o", "table", "`FORMAT`: table, or json for one object per line")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (k *call) log(output string) error {
	if output != "table" && output != "json" {
		return process.UsageError{Err: fmt.Errorf("--output: %q is not a format: use table or json", output)}
	}
	list, err := k.List(k.ctx)
	if err != nil {
		return err
	}
	table, lines := tabwriter.NewWriter(k.OutOrStdout(), 0, 0, 2, ' ', 0), json.NewEncoder(k.OutOrStdout())
	lines.SetEscapeHTML(false)
	if output == "table" {
		fmt.Fprintln(table, "REVISION\tTIME\tAUTHOR\tRULES\tMESSAGE")
	}
	for i := len(list) - 1; i >= 0 && err == nil; i-- {
		if r := list[i]; output == "json" {
			err = lines.Encode(r)
		} else {
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", r.Revision, r.Time.Local().Format(time.DateTime), alerts.Printable(r.Author), alerts.Printable(r.Rules), alerts.Printable(r.Message))
		}
	}
	return errors.Join(err, table.Flush())
}

func compare(k *call) error {
	newest, err := k.Newest(k.ctx)
	if err != nil {
		return err
	}
	sides, last := k.args, fmt.Sprint(newest.Revision)
	switch {
	case len(sides) == 0:
		sides = []string{fmt.Sprint(newest.Revision - 1), last}
	case len(sides) == 1 && isRevision(sides[0]):
		sides = []string{sides[0], last}
	case len(sides) == 1:
		sides = []string{last, sides[0]}
	}
	var names [2]string
	var files [2][]byte
	for i, side := range sides {
		if !isRevision(side) {
			names[i] = side
			files[i], err = ruled.ReadFile(side)
		} else if r, e := k.find(side); e == nil {
			names[i], files[i] = r.Name(), r.Data
		} else {
			err = e
		}
		if err != nil {
			return err
		}
	}
	_, err = k.OutOrStdout().Write(diff.Diff(names[0], files[0], names[1], files[1]))
	return err
}

func isRevision(arg string) bool {
	_, err := strconv.ParseUint(arg, 10, 64)
	return err == nil
}
