package kernel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// MaxTables is the number of routing tables that the pinger may use.
	MaxTables = 1000
	// rulePriority puts the rules after the local table (0) and before other rules:
	// VRFs (1000), VPNs, multi-WAN, the main table (32766).
	rulePriority = 486
)

// Tables keeps a routing table for each slave, which contains only a default route
// through the slave as if every address was on its link, and a rule that applies the
// table to packets bound to the slave. Without it an echo request that is bound to a
// slave fails with ENETUNREACH if the route to its target leads through the master.
// The rule selects only ICMPv6 of this host that a program has bound to the slave, so
// all other traffic is unaffected.
//
// A slave's rule is made before its route and removed after it, so that after a crash
// every route that is left behind is in the table of a rule that is left behind.
type Tables struct {
	// Missing says why there can be no tables; empty if there can.
	Missing string

	handle *netlink.Handle
	base   uint32
	log    *slog.Logger
	lock   io.Closer
	made   map[string]*table // by the slave's name
}

type table struct {
	number uint32
	// routed is the index of the interface that the route goes through, 0 if
	// there is none.
	routed int
}

// OpenTables owns the MaxTables routing tables from base on, and removes what an earlier
// pinger has left behind in them. If tables cannot be made, usually without
// CAP_NET_ADMIN, the result has Missing set and does nothing. It is an error if another
// pinger in this network namespace owns the tables.
func (k *Kernel) OpenTables(base uint32, log *slog.Logger) (*Tables, error) {
	t := &Tables{handle: k.handle, base: base, log: log, made: make(map[string]*table)}
	// The kernel checks the capability before it looks for the rule, which does
	// not exist: no interface can have this name.
	switch err := t.handle.RuleDel(t.rule("/", base)); {
	case err == nil, errors.Is(err, unix.ENOENT):
	case errors.Is(err, unix.EPERM):
		t.Missing = "the pinger lacks CAP_NET_ADMIN"
		return t, nil
	default:
		t.Missing = fmt.Sprintf("the kernel has no IPv6 policy routing: %v", err)
		return t, nil
	}
	owned, err := lock(strconv.FormatUint(uint64(base), 10))
	if err != nil {
		return nil, fmt.Errorf("PINGER_TABLE=%d: another pinger in this network namespace has these routing tables; "+
			"stop it, or give one of them another PINGER_TABLE: %w", base, err)
	}
	t.lock = owned
	if err := t.sweep(); err != nil {
		owned.Close()
		return nil, err
	}
	return t, nil
}

// rule returns the rule that applies a table to packets bound to a slave. iif lo
// selects what this host itself sends: without it the kernel would dissect every
// forwarded packet because of ipproto.
func (t *Tables) rule(slave string, table uint32) *netlink.Rule {
	r := netlink.NewRule()
	r.Family = netlink.FAMILY_V6
	r.Priority = rulePriority
	r.Table = int(table)
	r.IifName = "lo"
	r.OifName = slave
	r.IPProto = unix.IPPROTO_ICMPV6
	r.Protocol = routeProtocol
	return r
}

// route returns the default route in a table, through an interface, or through any if
// index is 0.
func (t *Tables) route(table uint32, index int) *netlink.Route {
	return &netlink.Route{
		Family:    netlink.FAMILY_V6,
		Table:     int(table),
		Dst:       &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		LinkIndex: index,
		Protocol:  routeProtocol,
	}
}

// sweep removes the rules and routes of a pinger that was killed.
func (t *Tables) sweep() error {
	rules, err := complete(func() ([]netlink.Rule, error) { return t.handle.RuleList(netlink.FAMILY_V6) })
	if err != nil {
		return fmt.Errorf("listing routing rules (rtnetlink): %w", err)
	}
	for i := range rules {
		r := &rules[i]
		number := uint32(r.Table)
		if r.Protocol != routeProtocol || number < t.base || number-t.base >= MaxTables {
			continue
		}
		t.log.Info("removing the routing table that an earlier pinger left behind", "slave", r.OifName, "table", number)
		if err := t.remove(r.OifName, number); err != nil {
			return err
		}
	}
	return nil
}

// Sync makes and removes tables so that exactly the slaves have one. It requests what
// exists already too: the kernel removes the route when the interface goes down, which
// may be up again by now, and other programs may remove anything.
func (t *Tables) Sync(slaves []*iface.Link) error {
	if t.Missing != "" {
		return nil
	}
	present := make(map[string]bool, len(slaves))
	for _, l := range slaves {
		present[l.Name] = true
	}
	var errs []error
	for name, tb := range t.made {
		if !present[name] {
			errs = append(errs, t.remove(name, tb.number))
			delete(t.made, name)
		}
	}
	for _, l := range slaves {
		errs = append(errs, t.make(l))
	}
	return errors.Join(errs...)
}

// make gives a slave its rule and route, unless it has them.
func (t *Tables) make(l *iface.Link) error {
	tb, had := t.made[l.Name]
	if !had {
		number, ok := t.free()
		if !ok {
			return fmt.Errorf("slave %s: all %d routing tables from PINGER_TABLE=%d on are taken", l.Name, MaxTables, t.base)
		}
		tb = &table{number: number}
	}
	switch err := t.handle.RuleAdd(t.rule(l.Name, tb.number)); {
	case err == nil && had:
		t.log.Warn("the routing rule of a slave was removed; made it again", "slave", l.Name, "table", tb.number)
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("routing rule of slave %s to table %d: %w", l.Name, tb.number, err)
	}
	t.made[l.Name] = tb
	if !routable(l) {
		tb.routed = 0
		return nil
	}
	switch err := t.handle.RouteAdd(t.route(tb.number, l.Index)); {
	case err == nil && tb.routed == l.Index:
		t.log.Warn("the route of a slave was gone: the interface went down and up, or another program removed it; made it again",
			"slave", l.Name, "table", tb.number)
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("route through slave %s in table %d: %w", l.Name, tb.number, err)
	}
	tb.routed = l.Index
	return nil
}

// routable reports whether the kernel accepts an IPv6 route through the interface, and
// keeps it.
func routable(l *iface.Link) bool {
	return l.Up() && slices.ContainsFunc(l.Addresses, func(a iface.Address) bool { return a.Prefix.Addr().Is6() })
}

// free returns the lowest table that no slave has.
func (t *Tables) free() (uint32, bool) {
	taken := make(map[uint32]bool, len(t.made))
	for _, tb := range t.made {
		taken[tb.number] = true
	}
	for number := t.base; number-t.base < MaxTables; number++ {
		if !taken[number] {
			return number, true
		}
	}
	return 0, false
}

// remove removes a slave's route and rule. Missing ones are not an error.
func (t *Tables) remove(slave string, number uint32) error {
	err := t.handle.RouteDel(t.route(number, 0))
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("removing the route in table %d: %w", number, err)
	}
	err = t.handle.RuleDel(t.rule(slave, number))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing the routing rule of slave %s to table %d: %w", slave, number, err)
	}
	return nil
}

// Close removes all tables and rules of this pinger.
func (t *Tables) Close() error {
	err := t.Sync(nil)
	if t.lock != nil {
		t.lock.Close()
	}
	return err
}

// Routed returns the indexes of the interfaces that have a route in the main table
// besides the link-local one.
func (k *Kernel) Routed() (map[int]bool, error) {
	linkLocal := netip.MustParsePrefix("fe80::/10")
	indexes := make(map[int]bool)
	err := k.handle.RouteListFilteredIter(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE,
		func(r netlink.Route) bool {
			if r.Dst != nil {
				if dst, ok := netip.AddrFromSlice(r.Dst.IP); ok && linkLocal.Contains(dst) {
					return true
				}
			}
			indexes[r.LinkIndex] = true
			for _, hop := range r.MultiPath {
				indexes[hop.LinkIndex] = true
			}
			return true
		})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing routes (rtnetlink): %w", err)
	}
	return indexes, nil
}

// PrecedingRules describes the rules of other programs that precede those of Tables, and
// so may hide the tables.
func (k *Kernel) PrecedingRules() string {
	rules, err := complete(func() ([]netlink.Rule, error) { return k.handle.RuleList(netlink.FAMILY_V6) })
	var list []string
	for i := range rules {
		if r := &rules[i]; r.Priority <= rulePriority && r.Protocol != routeProtocol && r.Table != unix.RT_TABLE_LOCAL {
			list = append(list, r.String())
		}
	}
	switch {
	case err != nil:
		return err.Error()
	case list == nil:
		return "there is none"
	}
	return strings.Join(list[:min(len(list), 5)], "; ")
}
