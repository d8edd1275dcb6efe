// Package find asks the pingers of a fleet for an IPv6 address: the command ndmon find.
package find

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// config is the command line of ndmon find.
type config struct {
	// Target is the address to look for.
	Target netip.Addr
	// NATS is the server that the pingers are connected to.
	NATS bus.Config
	// JSON has the results written as they are.
	JSON bool
	// Wait is how long to wait for a result.
	Wait time.Duration
}

const (
	// defaultWait is a second more than a pinger waits for an answer by default.
	defaultWait = 4 * time.Second
	defaultURL  = "nats://127.0.0.1:4222"
	maxWait     = time.Hour
	// moreWait is the time for further results after the address is found.
	moreWait = 500 * time.Millisecond
)

// errNoPinger: no pinger subscribes to relay commands at the NATS server.
var errNoPinger = errors.New("no pinger is connected to it (nd-pinger, or ndmon with --slaves)")

// finder sends a relay command and receives the results.
type finder struct {
	cfg      config
	nc       *nats.Conn
	inbox    string
	results  chan *nats.Msg
	failures chan error

	subscriptions []*nats.Subscription
}

// find writes where an address was heard, asks all pingers for it and writes their results as they
// arrive, or why they did not look. It reports whether a host has the address. An error means that it
// is not known.
func find(ctx context.Context, cfg config, w io.Writer) (found bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &finder{cfg: cfg, results: make(chan *nats.Msg), failures: make(chan error, 1)}
	f.nc, err = bus.Dial(cfg.NATS, "ndmon find", func(err error) {
		// If there are more results than it can read, the next ones do as well.
		if !errors.Is(err, nats.ErrSlowConsumer) {
			f.fail(err)
		}
	})
	if err != nil {
		return false, err
	}
	defer f.nc.Close()
	if err := f.subscribe(ctx); err != nil {
		return false, err
	}
	heard, err := f.heard(ctx, w)
	if err != nil {
		return false, err
	}
	if err := f.send(); err != nil {
		return false, err
	}
	found, err = f.wait(ctx, w)
	if errors.Is(err, errNoPinger) && heard {
		return true, nil
	}
	return found, err
}

// Ask asks all pingers for an address over a connection, and writes their results as lines of text as they arrive, or why
// they did not look. It ends after a wait, or sooner if a host has the address.
func Ask(ctx context.Context, nc *nats.Conn, target netip.Addr, w io.Writer) (found bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &finder{cfg: config{Target: target, Wait: defaultWait}, nc: nc, results: make(chan *nats.Msg), failures: make(chan error, 1)}
	f.cfg.NATS.URL = nc.ConnectedUrlRedacted()
	if err := f.subscribe(ctx); err != nil {
		return false, err
	}
	defer f.unsubscribe()
	if err := f.send(); err != nil {
		return false, err
	}
	return f.wait(ctx, w)
}

// fail ends the finder with an error.
func (f *finder) fail(err error) {
	select {
	case f.failures <- fmt.Errorf("NATS server at %s: %w", f.cfg.NATS.URL, err):
	default:
	}
}

// subscribe receives the results of all hosts until the context ends. It also receives, in
// the inbox, the server's message that no pinger subscribes to relay commands.
func (f *finder) subscribe(ctx context.Context) error {
	f.inbox = f.nc.NewInbox()
	for subject, handle := range map[string]nats.MsgHandler{
		schemas.SubjectResults: func(m *nats.Msg) {
			select {
			case f.results <- m:
			case <-ctx.Done():
			}
		},
		f.inbox: func(m *nats.Msg) {
			if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
				f.fail(errNoPinger)
			}
		},
	} {
		sub, err := f.nc.Subscribe(subject, handle)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		f.subscriptions = append(f.subscriptions, sub)
	}
	return nil
}

// unsubscribe ends the subscriptions on a connection that goes on.
func (f *finder) unsubscribe() {
	for _, sub := range f.subscriptions {
		sub.Unsubscribe() // it fails only if the connection is closed
	}
}

// send sends the relay command to every host. Without a subscriber, the server sends a
// message to the inbox.
func (f *finder) send() error {
	now := time.Now().UTC()
	command := schemas.Relay{
		Type: schemas.TypeRelay, ID: rand.Text(), Time: now, Expires: now.Add(f.cfg.Wait),
		Host: schemas.EveryHost, Target: f.cfg.Target, Now: true,
	}
	if err := f.nc.PublishMsg(&nats.Msg{Subject: schemas.SubjectRelayAll, Reply: f.inbox, Data: command.AppendJSON(nil)}); err != nil {
		return fmt.Errorf("send the command on %s: %w", schemas.SubjectRelayAll, err)
	}
	return nil
}

// wait writes the results until the time is over.
func (f *finder) wait(ctx context.Context, w io.Writer) (found bool, err error) {
	s := newSearch(f.cfg.Target)
	end := time.NewTimer(f.cfg.Wait)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.found, errors.New("interrupted")
		case err := <-f.failures:
			return s.found, err
		case m := <-f.results:
			r, ok := resultFor(f.cfg.Target, m)
			if !ok {
				continue
			}
			before := s.found
			line := s.add(r)
			if s.found && !before {
				end.Reset(moreWait)
			}
			if f.cfg.JSON {
				if line, err = alerts.JSONLine(m.Data); err != nil {
					return s.found, err
				}
			}
			if _, err := w.Write(line); err != nil {
				return s.found, fmt.Errorf("write a result: %w", err)
			}
		case <-end.C:
			switch {
			case s.found:
				return true, nil
			case len(s.probes) == 0:
				return false, fmt.Errorf("no pinger answered within %v", f.cfg.Wait)
			case f.cfg.JSON:
				return false, nil
			}
			if err := s.summary(w); err != nil {
				return false, fmt.Errorf("write the summary: %w", err)
			}
			return false, nil
		}
	}
}

// resultFor reads a result for a target. It may answer an earlier command, because a
// pinger that is already probing the target does not probe it again. NATS grants rights by
// subject, so the host that a result names must be that of its subject.
func resultFor(target netip.Addr, m *nats.Msg) (schemas.Result, bool) {
	var r schemas.Result
	err := json.Unmarshal(m.Data, &r)
	return r, err == nil && r.Type == schemas.TypeResult && r.Target == target && schemas.ResultSubject(r.Host) == m.Subject
}

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
			"address, round-trip time. First it prints where the address was heard, which ndmon history\n" +
			"knows up to some minutes ago. Where no pinger is connected, that is all.\n\n" +
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
		switch cfg.Target, err = ParseTarget(args[0]); {
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

// ParseTarget reads an address that can be looked for.
func ParseTarget(s string) (netip.Addr, error) {
	target, err := netip.ParseAddr(s)
	if err != nil {
		return target, fmt.Errorf("%q is not an IPv6 address such as 2001:db8::42", s)
	}
	return target, schemas.CheckTarget(target)
}
