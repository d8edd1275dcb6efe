package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/state"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// neighbour is a binding of an address as it is shown.
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
	// State is empty if the address has one binding. It is "tested only" if the station
	// has only tested whether the address is free. If the address has more bindings, it
	// is "believed" or "doubted", and "disputed" besides if they alternate.
	State string `json:"state,omitempty"`
}

// storeWait is the time in which the running nd-ruled must store its neighbours.
const storeWait = 10 * time.Second

// Neighbors returns the command neighbors.
func Neighbors() *cobra.Command {
	c := &cobra.Command{
		Use:     "neighbors [ADDRESS|PREFIX|MAC]",
		Aliases: []string{"neighbours"},
		Short:   "List the neighbours that the running nd-ruled or ndmon knows",
		Long: "List the neighbours that the running nd-ruled or ndmon knows: all, or those with an IPv6\n" +
			"address, with an address in a prefix (2001:db8::/64), or with an Ethernet address.\n\n" +
			"The variables NATS_... say how to reach the NATS server, RULED_VENDORS where vendors are listed.",
		Args: process.Args(0, 1),

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	output := c.Flags().StringP("output", "o", "table", "`FORMAT`: table, or json for one object per line")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		shown := func(neighbour) bool { return true }
		if len(args) > 0 {
			var err error
			if shown, err = parseFilter(args[0]); err != nil {
				return process.UsageError{Err: err}
			}
		}
		write := map[string]func(io.Writer, []neighbour) error{"table": writeTable, "json": writeLines}[*output]
		if write == nil {
			return process.UsageError{Err: fmt.Errorf("--output: %q is not a format: use table or json", *output)}
		}
		cfg, makers, err := Settings()
		if err != nil {
			return err
		}
		var server bus.Config
		if err := process.Load("", &server); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		list, err := readNeighbours(ctx, server, cfg.Consumer, makers, c.ErrOrStderr())
		if err != nil {
			return err
		}
		return write(c.OutOrStdout(), slices.DeleteFunc(list, func(n neighbour) bool { return !shown(n) }))
	}
	return c
}

// parseFilter reads an IPv6 address, a prefix or an Ethernet address, and returns whether
// a neighbour has it.
func parseFilter(s string) (func(neighbour) bool, error) {
	if mac, err := net.ParseMAC(s); err == nil && len(mac) == len(schemas.MAC{}) {
		return func(n neighbour) bool { return n.Ethernet == schemas.MAC(mac) }, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
		return func(n neighbour) bool { return n.Address == addr }, nil
	}
	if prefix, err := netip.ParsePrefix(s); err == nil && prefix.Addr().Is6() {
		prefix = prefix.Masked()
		return func(n neighbour) bool { return prefix.Contains(n.Address) }, nil
	}
	return nil, fmt.Errorf("%q is not an IPv6 address, a prefix or an Ethernet address, such as 2001:db8::42, 2001:db8::/64 or 02:00:00:00:00:01", s)
}

// readNeighbours returns the neighbours that are known to the ruled with the name of a
// consumer, and to every other that keeps its state at this server.
func readNeighbours(ctx context.Context, cfg bus.Config, consumer string, makers *vendors.Table, stderr io.Writer) ([]neighbour, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, storeWait, fmt.Errorf("the NATS server at %s does not answer within %v", cfg.URL, storeWait))
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
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx)) // such as a missing permission
	}
	if err == nil && list == nil {
		err = fmt.Errorf("no nd-ruled at %s keeps the neighbours (RULED_STATE_INTERVAL)", cfg.URL)
	}
	return list, err
}

// readAll returns nil if no state is kept.
func readAll(ctx context.Context, nc *nats.Conn, consumer string, makers *vendors.Table, stderr io.Writer) ([]neighbour, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	names, err := state.Names(ctx, js)
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
		running, err := state.Request(ctx, nc, name)
		if err != nil {
			return nil, err
		}
		head, err := state.Read(ctx, js, name, func(s link.State) error {
			list = appendNeighbours(list, s, makers)
			return nil
		})
		if errors.Is(err, state.ErrNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list == nil {
			list = []neighbour{}
		}
		if !running {
			fmt.Fprintf(stderr, "nd-ruled neighbors: %s does not run; these are its neighbours at %s\n", name, head.Time.Format(time.RFC3339))
		}
	}
	slices.SortStableFunc(list, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address))
	})
	return list, nil
}

func appendNeighbours(list []neighbour, s link.State, makers *vendors.Table) []neighbour {
	for _, n := range s.Neighbours {
		for i, c := range n.Bindings {
			state := ""
			switch {
			case n.Tentative:
				state = "tested only"
			case len(n.Bindings) == 1 || n.Anycast:
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
			iface = fmt.Sprintf("%s (VLAN %d, inner VLAN %d)", iface, *n.VLAN, *n.InnerVLAN)
		case n.VLAN != nil:
			iface = fmt.Sprintf("%s (VLAN %d)", iface, *n.VLAN)
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%v\t%s\t%s\t%s\t%s\n", n.Host, iface, n.Address, n.Ethernet, n.Vendor,
			n.FirstSeen.Format(time.DateTime), n.LastSeen.Format(time.DateTime), n.State)
	}
	return table.Flush()
}
