package pinger

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// routeProtocol marks the pinger's rules and routes as its own: the
	// originator of rtnetlink(7), one that /etc/iproute2/rt_protos has not
	// given to anybody. Whatever has another one is never touched.
	routeProtocol = 78
	// rulePriority puts the rules behind the local table (0) and before what
	// else there may be: VRFs (1000), VPNs, multi-WAN, the main table (32766).
	rulePriority = 486
)

// tables keeps a routing table for each slave, with nothing in it but a default
// route through the slave as if every address was on its link, and a rule that
// leads to it what is bound to the slave. Without it an echo that is bound to a
// slave is refused with ENETUNREACH when the route to its target goes by the
// master. The rule takes only ICMPv6 of this host that some program has bound to
// the slave, so all other traffic goes where it always went.
//
// A slave's rule comes before its route and goes after it, so that after a crash
// every route that is left behind is in the table of a rule that is left behind.
type tables struct {
	handle *netlink.Handle
	base   uint32
	log    *slog.Logger
	// why says why there can be no tables; "" if there can.
	why  string
	lock io.Closer
	made map[string]*table // by the slave's name
}

type table struct {
	number uint32
	// routed is the index of the interface that the route goes through, 0 if
	// there is none.
	routed int
}

// openTables removes what an earlier pinger has left behind. Where tables cannot
// be made, for want of CAP_NET_ADMIN above all, the result has why set and does
// nothing. It fails if another pinger in this network namespace has the same
// tables.
func openTables(handle *netlink.Handle, base uint32, log *slog.Logger) (*tables, error) {
	t := &tables{handle: handle, base: base, log: log, made: make(map[string]*table)}
	// The kernel checks the capability before it looks for the rule, which does
	// not exist: no interface can have this name.
	switch err := handle.RuleDel(t.rule("/", base)); {
	case err == nil, errors.Is(err, unix.ENOENT):
	case errors.Is(err, unix.EPERM):
		t.why = "the pinger lacks CAP_NET_ADMIN"
		return t, nil
	default:
		t.why = fmt.Sprintf("the kernel has no IPv6 policy routing: %v", err)
		return t, nil
	}
	lock, err := claim(strconv.FormatUint(uint64(base), 10))
	if err != nil {
		return nil, fmt.Errorf("PINGER_TABLE=%d: another pinger in this network namespace has these routing tables; "+
			"stop it, or give one of them another PINGER_TABLE: %w", base, err)
	}
	t.lock = lock
	if err := t.sweep(); err != nil {
		lock.Close()
		return nil, err
	}
	return t, nil
}

// rule is the rule that leads to a table what is bound to a slave. iif lo stands
// for what this host sends itself: without it the kernel would dissect every
// forwarded packet for the sake of ipproto.
func (t *tables) rule(slave string, table uint32) *netlink.Rule {
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

// route is the default route in a table, through an interface, or through
// whichever it goes if index is 0.
func (t *tables) route(table uint32, index int) *netlink.Route {
	return &netlink.Route{
		Family:    netlink.FAMILY_V6,
		Table:     int(table),
		Dst:       &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		LinkIndex: index,
		Protocol:  routeProtocol,
	}
}

// sweep removes the rules and routes of a pinger that did not stop in order.
func (t *tables) sweep() error {
	rules, err := complete(func() ([]netlink.Rule, error) { return t.handle.RuleList(netlink.FAMILY_V6) })
	if err != nil {
		return fmt.Errorf("listing routing rules (rtnetlink): %w", err)
	}
	for i := range rules {
		r := &rules[i]
		number := uint32(r.Table)
		if r.Protocol != routeProtocol || number < t.base || number-t.base >= maxTables {
			continue
		}
		t.log.Info("removing the routing table that an earlier pinger left behind", "slave", r.OifName, "table", number)
		if err := t.remove(r.OifName, number); err != nil {
			return err
		}
	}
	return nil
}

// sync makes and removes tables so that each of the slaves among the links has
// one. What is there already is asked for again all the same: the kernel removes
// the route when the interface goes down, which may be up again by now, and other
// programs may remove anything.
func (t *tables) sync(links []*link) error {
	if t.why != "" {
		return nil
	}
	present := make(map[string]bool, len(links))
	for _, l := range links {
		present[l.name] = true
	}
	var errs []error
	for name, tb := range t.made {
		if !present[name] {
			errs = append(errs, t.remove(name, tb.number))
			delete(t.made, name)
		}
	}
	for _, l := range links {
		errs = append(errs, t.make(l))
	}
	return errors.Join(errs...)
}

// make gives a slave its rule and route, unless it has them.
func (t *tables) make(l *link) error {
	tb, had := t.made[l.name]
	if !had {
		number, ok := t.free()
		if !ok {
			return fmt.Errorf("slave %s: all %d routing tables from PINGER_TABLE=%d on are taken", l.name, maxTables, t.base)
		}
		tb = &table{number: number}
	}
	switch err := t.handle.RuleAdd(t.rule(l.name, tb.number)); {
	case err == nil && had:
		t.log.Warn("somebody removed the routing rule of a slave; made it again", "slave", l.name, "table", tb.number)
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("routing rule of slave %s to table %d: %w", l.name, tb.number, err)
	}
	t.made[l.name] = tb
	if !l.routable() {
		tb.routed = 0
		return nil
	}
	switch err := t.handle.RouteAdd(t.route(tb.number, l.index)); {
	case err == nil && tb.routed == l.index:
		t.log.Warn("the route of a slave was gone: the interface went down and up, or somebody removed it; made it again",
			"slave", l.name, "table", tb.number)
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("route through slave %s in table %d: %w", l.name, tb.number, err)
	}
	tb.routed = l.index
	return nil
}

// free returns the lowest table that no slave has.
func (t *tables) free() (uint32, bool) {
	taken := make(map[uint32]bool, len(t.made))
	for _, tb := range t.made {
		taken[tb.number] = true
	}
	for number := t.base; number-t.base < maxTables; number++ {
		if !taken[number] {
			return number, true
		}
	}
	return 0, false
}

// remove takes a slave's route and rule away. That they have gone already is no
// error.
func (t *tables) remove(slave string, number uint32) error {
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

// close removes all that the pinger has made.
func (t *tables) close() error {
	err := t.sync(nil)
	if t.lock != nil {
		t.lock.Close()
	}
	return err
}
