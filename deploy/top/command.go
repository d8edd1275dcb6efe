package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/deploy/terminal"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// refreshWait is how long the status of the daemons and new alerts are waited for in each round, which together make about a second.
const refreshWait = 500 * time.Millisecond

// Command returns the command top.
func Command() *cobra.Command {
	var filter alerts.Filter
	var rounds int
	c := &cobra.Command{
		Use:   "top",
		Short: "Show alerts, links and rates live on a terminal",
		Long: "Show the links with their frames per second and the alerts of the last 10 minutes, these alerts by\n" +
			"rule, the newest of them, and which daemons are not well: about once a second, until q or Ctrl-C is\n" +
			"pressed. Where standard output is no terminal, it is written once.\n\n" +
			"The variables NATS_... say how to reach the NATS server; a viewer's key is enough.\n\n" +
			"Exit status: 0; 1 if the server or the daemons could not be asked; 2 for a fault of the command line.",
		Args: process.Args(0, 0),
	}
	c.Flags().SortFlags = false
	filter.Options(c)
	filter.HostOption(c)
	c.Flags().IntVarP(&rounds, "count", "n", 0, "end after this `NUMBER` of times (default: on a terminal none, else 1)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := filter.Check(time.Now()); err != nil {
			return process.UsageError{Err: err}
		}
		if rounds < 0 {
			return process.UsageError{Err: errors.New("--count: must not be below 0")}
		}
		var server bus.Config
		if err := process.Load("", &server); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		nc, err := bus.Dial(server, "ndmon top", fail)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return fmt.Errorf("use JetStream: %w", err)
		}
		w := &watcher{nc: nc, js: js, filter: &filter, stored: alerts.NewStored(time.Now().Add(-window), slog.New(slog.DiscardHandler))}
		return w.watch(ctx, fail, c.OutOrStdout(), rounds)
	}
	return c
}

// watcher keeps a state up to date.
type watcher struct {
	state
	nc     *nats.Conn
	js     jetstream.JetStream
	filter *alerts.Filter
	stored *alerts.Stored
}

// refresh reads what is new.
func (w *watcher) refresh(ctx context.Context) error {
	report, err := fleet.Ask(ctx, w.nc, refreshWait)
	now := time.Now()
	if err == nil {
		w.status(report.Rows, now)
	}
	reading, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	unread := w.stored.Read(reading, w.js, func(a *schemas.Alert, data []byte) {
		if w.filter.Match(a) {
			w.alert(a, data)
		}
	})
	w.now = now
	w.expire()
	if w.fault = ""; reading.Err() == nil { // else there are more alerts, which the next round reads
		err = errors.Join(err, unread)
	}
	if err != nil {
		w.fault = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return err
}

// errQuit ends the command without an error.
var errQuit = errors.New("quit")

// watch shows the state until the context ends, or so many times, 0 for no end.
func (w *watcher) watch(ctx context.Context, end context.CancelCauseFunc, out io.Writer, rounds int) error {
	live := terminal.Is(out) && terminal.Is(os.Stdin)
	if rounds == 0 && !live {
		rounds = 1
	}
	if !live {
		if err := w.refresh(ctx); err != nil { // a rate needs two counts
			return err
		}
	} else {
		restore, err := takeTerminal(out, end)
		if err != nil {
			return err
		}
		defer restore()
	}
	for n := 1; ; n++ {
		err := w.refresh(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil && !live {
			return err
		}
		if err := w.draw(out, live); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		if n == rounds {
			return nil
		}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errQuit) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (w *watcher) draw(out io.Writer, live bool) error {
	if !live {
		_, err := io.WriteString(out, strings.Join(w.view(alerts.LineLength(0), 0, false), "\n")+"\n")
		return err
	}
	columns, rows := terminal.Size(out)
	lines := w.view(alerts.LineLength(columns), rows, terminal.Colour(out))
	_, err := io.WriteString(out, "\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J")
	return err
}

// takeTerminal shows another screen on the terminal and reads its keys, of which q and Ctrl-C end the command.
func takeTerminal(out io.Writer, end context.CancelCauseFunc) (restore func(), err error) {
	before, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return nil, fmt.Errorf("read the keys of the terminal: %w", err)
	}
	io.WriteString(out, "\x1b[?1049h\x1b[?25l")
	go func() {
		key := make([]byte, 1)
		for {
			if _, err := os.Stdin.Read(key); err != nil || strings.ContainsRune("qQ\x03", rune(key[0])) {
				end(errQuit)
				return
			}
		}
	}()
	return func() {
		io.WriteString(out, "\x1b[?25h\x1b[?1049l")
		term.Restore(int(os.Stdin.Fd()), before)
	}, nil
}
