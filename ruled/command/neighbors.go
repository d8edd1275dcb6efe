package command

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
	"strings"
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
	"golang.org/x/sync/errgroup"
)

// Neighbour is a binding of an address as it is shown.
type Neighbour struct {
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
		Use:     "neighbors [ADDRESS|PREFIX|MAC|HOST]...",
		Aliases: []string{"neighbours"},
		Short:   "List the neighbours that the running nd-ruled or ndmon knows",
		Long: "List the neighbours that the running nd-ruled or ndmon knows: all, or those with one of some\n" +
			"IPv6 addresses, with an address in a prefix (2001:db8::/64), with an Ethernet address, or of a\n" +
			"host that captures. What was before, ndmon history knows.\n\n" +
			"STATE is empty for an address of one station. Otherwise it is:\n" +
			"  tested only  the station has tested whether the address is free, and not used it\n" +
			"  believed     several stations claim the address, and this one held it first\n" +
			"  doubted      this station claimed the address later; it is believed once the other one has\n" +
			"               been silent for an hour (RULED_CLAIM_TIMEOUT)\n" +
			"  disputed     the stations claim it in turn\n\n" +
			"The variables NATS_... say how to reach the NATS server, RULED_VENDORS where vendors are listed.",
		Example: "  ndmon neighbors r1 --since 10m\n  ndmon neighbors 2001:db8:0:1::/64 02:00:00:00:00:01",
		Args:    process.Args(0, 1000),

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	output := c.Flags().StringP("output", "o", "table", "`FORMAT`: table, or json for one object per line")
	since := c.Flags().Duration("since", 0, "list only those that were heard within this `TIME`, such as 10m (default: all)")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		var filters []func(Neighbour) bool
		for _, arg := range args {
			filter, err := ParseFilter(arg)
			if err != nil {
				return process.UsageError{Err: err}
			}
			filters = append(filters, filter)
		}
		if *since < 0 {
			return process.UsageError{Err: errors.New("--since: must not be below 0, such as 10m")}
		}
		write := map[string]func(io.Writer, []Neighbour) error{"table": writeTable, "json": writeLines}[*output]
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
		now := time.Now()
		return write(c.OutOrStdout(), slices.DeleteFunc(list, func(n Neighbour) bool {
			shown := len(filters) == 0 || slices.ContainsFunc(filters, func(f func(Neighbour) bool) bool { return f(n) })
			return !shown || *since > 0 && now.Sub(n.LastSeen) > *since
		}))
	}
	return c
}

// ParseFilter reads an IPv6 address, a prefix, an Ethernet address or the name of a host, and returns whether
// a neighbour has it.
func ParseFilter(s string) (func(Neighbour) bool, error) {
	if mac, err := schemas.ParseMAC(s); err == nil {
		return func(n Neighbour) bool { return n.Ethernet == mac }, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
		return func(n Neighbour) bool { return n.Address == addr }, nil
	}
	if prefix, err := netip.ParsePrefix(s); err == nil && prefix.Addr().Is6() {
		prefix = prefix.Masked()
		return func(n Neighbour) bool { return prefix.Contains(n.Address) }, nil
	}
	if _, err := netip.ParseAddr(s); err == nil || s == "" || strings.ContainsAny(s, ":/") {
		return nil, fmt.Errorf("%q is not an IPv6 address, a prefix, an Ethernet address or a host, such as 2001:db8::42, 2001:db8::/64, 02:00:00:00:00:01 or r1", s)
	}
	return func(n Neighbour) bool { return n.Host == s }, nil
}

// readNeighbours returns the neighbours that are known to the ruled with the name of a
// consumer, and to every other that keeps its state at this server.
func readNeighbours(ctx context.Context, cfg bus.Config, consumer string, makers *vendors.Table, stderr io.Writer) (list []Neighbour, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, storeWait, fmt.Errorf("the NATS server at %s does not answer within %v", cfg.URL, storeWait))
	defer cancel()
	err = bus.Use(ctx, cfg, "nd-ruled neighbors", func(ctx context.Context, nc *nats.Conn) (err error) {
		list, err = readAll(ctx, nc, consumer, makers, stderr)
		return err
	})
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("the NATS server at %s does not answer: %w", cfg.URL, err)
	}
	if err == nil && list == nil {
		err = fmt.Errorf("no nd-ruled at %s keeps the neighbours (RULED_STATE_INTERVAL)", cfg.URL)
	}
	return list, err
}

// readAll returns nil if no state is kept.
func readAll(ctx context.Context, nc *nats.Conn, consumer string, makers *vendors.Table, stderr io.Writer) ([]Neighbour, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	names, err := state.Names(ctx, js)
	if err != nil {
		return nil, err
	}
	for _, name := range append(state.PartitionNames(consumer), "ndmon") {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	running := make([]bool, len(names))
	var g errgroup.Group
	for i, name := range names {
		g.Go(func() (err error) {
			running[i], err = state.Request(ctx, nc, name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	stored, err := state.Names(ctx, js) // a request may have stored the first one of a partition
	if err != nil {
		return nil, err
	}
	var list []Neighbour
	for i, name := range names {
		if !slices.Contains(stored, name) {
			continue
		}
		head, err := state.Read(ctx, js, name, func(s link.State) error {
			list = AppendNeighbours(list, s, makers.Lookup)
			return nil
		})
		if errors.Is(err, state.ErrNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list == nil {
			list = []Neighbour{}
		}
		if !running[i] {
			fmt.Fprintf(stderr, "nd-ruled neighbors: %s does not run; these are its neighbours at %s\n", name, head.Time.Format(time.RFC3339))
		}
	}
	slices.SortStableFunc(list, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address))
	})
	return list, nil
}

// AppendNeighbours appends the neighbours of a link.
func AppendNeighbours(list []Neighbour, s link.State, vendor func(schemas.MAC) string) []Neighbour {
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
			list = append(list, Neighbour{
				Host: s.Host, Interface: s.Interface, VLAN: s.VLAN, InnerVLAN: s.InnerVLAN, Address: n.Address,
				Ethernet: c.Ethernet, Vendor: vendor(c.Ethernet), FirstSeen: c.FirstSeen, LastSeen: c.LastSeen, State: state,
			})
		}
	}
	return list
}

func writeLines(w io.Writer, list []Neighbour) error {
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

func writeTable(w io.Writer, list []Neighbour) error {
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
