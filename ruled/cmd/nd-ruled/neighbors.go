package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
)

// neighbour is what is shown of one claim of an address.
type neighbour struct {
	Host      string      `json:"host"`
	Interface string      `json:"interface"`
	VLAN      *uint16     `json:"vlan,omitempty"`
	InnerVLAN *uint16     `json:"innervlan,omitempty"`
	Address   netip.Addr  `json:"address"`
	Ethernet  schemas.MAC `json:"ethernet"`
	Vendor    string      `json:"vendor,omitempty"`
	FirstSeen time.Time   `json:"firstseen"`
	LastSeen  time.Time   `json:"lastseen"`
	// State is empty, or says that the station has only tested whether the address
	// is free, or that others claim it: believed or doubted, and disputed if the
	// claims alternate.
	State string `json:"state,omitempty"`
}

// askWait is how long the running nd-ruled gets to store what it knows.
const askWait = 10 * time.Second

func neighbors(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("neighbors")
	output := flags.StringP("output", "o", "table", "`FORMAT`: table or json, an object a line")
	if !arguments(flags, "neighbors", 0, args, stderr) {
		return process.ExitUsage
	}
	if *output != "table" && *output != "json" {
		fmt.Fprintf(stderr, "nd-ruled neighbors: --output: %q is no format, takes table or json\n", *output)
		return process.ExitUsage
	}
	cfg, makers, err := settings()
	var server bus.Config
	if err == nil {
		err = process.Environment("", &server)
	}
	if err != nil {
		process.UsageError{Err: err}.Print(stderr, "nd-ruled")
		return process.ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	list, err := readNeighbours(ctx, server, cfg.Consumer, makers, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	write := writeTable
	if *output == "json" {
		write = writeLines
	}
	if err := write(stdout, list); err != nil {
		return fail(stderr, err)
	}
	return process.ExitOK
}

// readNeighbours returns the neighbours that are known to the ruled with a
// consumer's name and to every other that keeps its state at this server.
func readNeighbours(ctx context.Context, cfg bus.Config, consumer string, makers *vendors.Table, stderr io.Writer) ([]neighbour, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askWait, fmt.Errorf("the NATS server at %s does not answer within %v", cfg.URL, askWait))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	nc, err := bus.Dial(cfg, "nd-ruled neighbors", fail)
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("the NATS server at %s does not answer: %w", cfg.URL, err)
	}
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	list, err := readAll(ctx, nc, consumer, makers, stderr)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx)) // such as a permission that is lacking
	}
	if err == nil && list == nil {
		err = fmt.Errorf("no nd-ruled at %s keeps the neighbours (RULED_STATE_INTERVAL)", cfg.URL)
	}
	return list, err
}

// readAll returns nil where no state is kept.
func readAll(ctx context.Context, nc *nats.Conn, consumer string, makers *vendors.Table, stderr io.Writer) ([]neighbour, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	names, err := ruled.StoredStates(ctx, js)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{consumer, "ndmon"} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var list []neighbour
	for _, name := range names {
		running, err := ruled.StoreState(ctx, nc, name)
		if err != nil {
			return nil, err
		}
		head, err := ruled.ReadState(ctx, js, name, func(s link.State) error {
			list = appendNeighbours(list, s, makers)
			return nil
		})
		if errors.Is(err, ruled.ErrNoState) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list == nil {
			list = []neighbour{}
		}
		if !running {
			fmt.Fprintf(stderr, "nd-ruled: %s does not run; this is what it knew at %s\n", name, head.Time.Format(time.RFC3339))
		}
	}
	slices.SortStableFunc(list, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address))
	})
	return list, nil
}

func appendNeighbours(list []neighbour, s link.State, makers *vendors.Table) []neighbour {
	for _, n := range s.Neighbours {
		for i, c := range n.Claims {
			state := ""
			switch {
			case n.Tentative:
				state = "tested only"
			case len(n.Claims) == 1 || n.Anycast:
			case i == 0:
				state = "believed"
			default:
				state = "doubted"
			}
			if n.Disputed {
				state += ", disputed"
			}
			list = append(list, neighbour{
				Host: s.Host, Interface: s.Interface, VLAN: s.VLAN, InnerVLAN: s.InnerVLAN, Address: n.Address,
				Ethernet: c.Ethernet, Vendor: makers.Lookup(c.Ethernet), FirstSeen: c.FirstSeen, LastSeen: c.LastSeen, State: state,
			})
		}
	}
	return list
}

func writeLines(w io.Writer, list []neighbour) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for _, n := range list {
		if err := encoder.Encode(n); err != nil {
			return fmt.Errorf("write neighbour %v: %w", n.Address, err)
		}
	}
	_, err := w.Write(lines.Bytes())
	return err
}

func writeTable(w io.Writer, list []neighbour) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tINTERFACE\tADDRESS\tETHERNET\tVENDOR\tFIRST SEEN\tLAST SEEN\tSTATE")
	for _, n := range list {
		iface := n.Interface
		switch {
		case n.InnerVLAN != nil:
			iface = fmt.Sprintf("%s (VLAN %d, in it %d)", iface, *n.VLAN, *n.InnerVLAN)
		case n.VLAN != nil:
			iface = fmt.Sprintf("%s (VLAN %d)", iface, *n.VLAN)
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%s\t%s\t%s\t%s\n", n.Host, iface, n.Address, n.Ethernet, n.Vendor,
			n.FirstSeen.Format(time.DateTime), n.LastSeen.Format(time.DateTime), n.State)
	}
	return table.Flush()
}
