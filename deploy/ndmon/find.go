package ndmon

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
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

// FindConfig is the command line of ndmon find.
type FindConfig struct {
	// Target is the address to look for.
	Target netip.Addr
	// NATS is the server that the pingers are connected to.
	NATS bus.Config
	// JSON has the results written as they are.
	JSON bool
	// Wait is how long to wait for an answer.
	Wait time.Duration
}

const (
	// defaultWait is a second more than a pinger waits for an answer unless told
	// otherwise.
	defaultWait = 4 * time.Second
	maxWait     = time.Hour
	// moreWait is how long others may answer after the first has.
	moreWait = 500 * time.Millisecond
)

const findUsage = `usage: ndmon find ADDRESS

Asks the pingers of all hosts that are connected to the NATS server to look for
an IPv6 address behind their slaves now, and writes who has it: host, interface,
Ethernet address, round-trip time.

Exit status: 0 when it was found, 1 when nobody has it, 2 when nobody could be
asked.

`

// FindCommand is ndmon find: it returns the exit status.
func FindCommand(args []string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		process.UsageError{Err: err}.Print(stderr, "ndmon find")
		return process.ExitUsage
	}
	cfg, err := ParseFindArgs(args, stdout)
	switch {
	case errors.Is(err, ErrHelp):
		return process.ExitOK
	case err != nil:
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch found, err := Find(ctx, cfg, stdout); {
	case err != nil:
		return fail(err)
	case !found:
		return process.ExitFailure
	}
	return process.ExitOK
}

// ParseFindArgs reads the command line behind "find", and the variables that say
// how to reach NATS.
func ParseFindArgs(args []string, help io.Writer) (FindConfig, error) {
	var c FindConfig
	flags := pflag.NewFlagSet("ndmon find", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	url := flags.String("nats", "", "`URL` of the NATS server (default: NATS_URL, or nats://"+DefaultListen+")")
	output := flags.StringP("output", "o", "text", "`FORMAT`: text, or json for every result, one a line")
	flags.DurationVar(&c.Wait, "wait", defaultWait, "`TIME` to wait for an answer, more than the pingers do (PINGER_TIMEOUT)")
	askHelp := flags.BoolP("help", "h", false, "show this help")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("%w, see ndmon find --help", err)
	}
	if *askHelp {
		fmt.Fprint(help, findUsage, flags.FlagUsages())
		return c, ErrHelp
	}
	if err := process.Environment("", &c.NATS); err != nil {
		return c, err
	}
	if flags.Changed("nats") {
		c.NATS.URL = *url
	}
	c.JSON = *output == "json"
	var err error
	switch {
	case flags.NArg() != 1:
		return c, fmt.Errorf("takes one address, not %d, see ndmon find --help", flags.NArg())
	case !c.JSON && *output != "text":
		return c, fmt.Errorf("--output: %q is no format, takes text or json", *output)
	case c.Wait <= 0 || c.Wait > maxWait:
		return c, fmt.Errorf("--wait: takes a time above 0 such as 5s, at most %v", maxWait)
	case flags.Changed("nats") && *url == "":
		return c, errors.New("--nats: is empty, takes a URL such as nats://" + DefaultListen)
	}
	if c.Target, err = netip.ParseAddr(flags.Arg(0)); err != nil {
		return c, fmt.Errorf("%q is not an IPv6 address such as 2001:db8::42", flags.Arg(0))
	}
	if err := schemas.CheckTarget(c.Target); err != nil {
		return c, err
	}
	return c, c.NATS.Validate()
}

// errNoPinger is that of a NATS server with nobody who takes commands.
var errNoPinger = errors.New("no pinger is connected to it (nd-pinger, or ndmon with --slaves)")

// finder is a connection that asks and hears what is answered.
type finder struct {
	cfg      FindConfig
	nc       *nats.Conn
	inbox    string
	results  chan *nats.Msg
	failures chan error
}

// Find asks all pingers for an address and writes their answers as they come, or
// what kept them from looking. It reports whether somebody has the address; an
// error means that this could not be found out.
func Find(ctx context.Context, cfg FindConfig, w io.Writer) (found bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &finder{cfg: cfg, results: make(chan *nats.Msg), failures: make(chan error, 1)}
	f.nc, err = bus.Dial(cfg.NATS, "ndmon find", func(err error) {
		// The results of all hosts may be more than can be read; the next ones are
		// as good.
		if !errors.Is(err, nats.ErrSlowConsumer) {
			f.fail(err)
		}
	})
	if err != nil {
		return false, err
	}
	defer f.nc.Close()
	if err := f.listen(ctx); err != nil {
		return false, err
	}
	if err := f.ask(); err != nil {
		return false, err
	}
	return f.wait(ctx, w)
}

// fail has the finder end with an error.
func (f *finder) fail(err error) {
	select {
	case f.failures <- fmt.Errorf("NATS server at %s: %w", f.cfg.NATS.URL, err):
	default:
	}
}

// listen reads the results of all hosts until the context ends, and in the inbox
// that there is nobody to take the command.
func (f *finder) listen(ctx context.Context) error {
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
		if _, err := f.nc.Subscribe(subject, handle); err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
	}
	return nil
}

// ask sends the command to look now. If nobody is there to take it, the server
// says so in the inbox.
func (f *finder) ask() error {
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

// wait writes the answers until it is time to end.
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
				if line, err = jsonLine(m.Data); err != nil {
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
			case len(s.tries) == 0:
				return false, fmt.Errorf("no pinger has answered within %v", f.cfg.Wait)
			case f.cfg.JSON:
				return false, nil
			}
			if err := s.summary(w); err != nil {
				return false, fmt.Errorf("write what came of it: %w", err)
			}
			return false, nil
		}
	}
}

// resultFor reads a result for a target: of any command, for where it is being
// probed already the answer is to the command before. Permissions on NATS are by subject:
// who a result says that it comes from is worth no more than its subject.
func resultFor(target netip.Addr, m *nats.Msg) (schemas.Result, bool) {
	var r schemas.Result
	err := json.Unmarshal(m.Data, &r)
	return r, err == nil && r.Type == schemas.TypeResult && r.Target == target && schemas.ResultSubject(r.Host) == m.Subject
}
