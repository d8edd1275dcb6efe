package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Rerouted describes changes of the kernel's routes and rules, other than those by the pinger
// itself.
type Rerouted struct {
	// Prefixes may be on-link at other interfaces than before, or have lost host routes
	// of the pinger. If there are too many to list, All is set.
	Prefixes []netip.Prefix
	All      bool
	// Lost counts the host routes that a program has removed. Program is its name, empty
	// if unknown.
	Lost    int
	Program string
	// Tables is set if a rule or route of the slaves' tables may have been removed, or if a
	// setting of an interface has changed, such as forwarding.
	Tables bool
}

const (
	// maxRerouted bounds the prefixes that are listed.
	maxRerouted = 64
	// gather is how long changes are gathered after the first: a program removes many
	// routes, or replaces a prefix in two steps.
	gather = 100 * time.Millisecond
	// gatherAll is how often at most everything is said to have changed.
	gatherAll = time.Second
	// maxContest bounds the time until what another program removes is reported. It
	// doubles each time that it is removed again.
	maxContest = 10 * time.Second
)

// add adds a prefix to the list.
func (r *Rerouted) add(p netip.Prefix) {
	switch {
	case r.All:
	case len(r.Prefixes) == maxRerouted:
		r.Prefixes, r.All = nil, true
	default:
		r.Prefixes = append(r.Prefixes, p)
	}
}

// gathering holds changes until they are due.
type gathering struct {
	Rerouted
	due time.Time // zero if there are none
}

// rerouting gathers changes of routes and rules.
type rerouting struct {
	mu sync.Mutex
	// links are the prefixes that may be on-link elsewhere, lost what was removed of the
	// pinger's own. Each has its time, so that two programs that contest a route delay
	// nothing else.
	links, lost gathering
	allAt       time.Time // when everything was reported to have changed
	lostAt      time.Time // when something lost was reported
	contest     time.Duration
	changed     chan struct{}
}

// note has a change gathered; what is links or lost.
func (r *rerouting) note(now time.Time, what *gathering, change func(*Rerouted)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&what.Rerouted)
	if !what.due.IsZero() {
		return
	}
	what.due = now.Add(gather)
	if what == &r.lost {
		r.contest = min(2*r.contest, maxContest)
		if now.Sub(r.lostAt) > 2*maxContest {
			r.contest = gather
		}
		what.due = now.Add(r.contest)
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// take returns the changes that are due, and when the next are; zero if there are none.
func (r *rerouting) take(now time.Time) (due []Rerouted, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range []*gathering{&r.links, &r.lost} {
		if soonest := r.allAt.Add(gatherAll); g == &r.links && g.All && g.due.Before(soonest) {
			g.due = soonest
		}
		switch {
		case g.due.IsZero():
			continue
		case g.due.After(now):
			if next.IsZero() || g.due.Before(next) {
				next = g.due
			}
			continue
		case g == &r.lost:
			r.lostAt = now
		case g.All:
			r.allAt = now
		}
		due = append(due, g.Rerouted)
		*g = gathering{}
	}
	return due, next
}

// FollowRoutes reports changes of routes without a gateway, of rules, and of the pinger's
// own routes, until ctx ends. It can be called once. What other programs remove again and
// again is reported less and less often.
func (k *Kernel) FollowRoutes(ctx context.Context, base uint32, report func(Rerouted)) error {
	defer context.AfterFunc(ctx, k.routes.Close)()
	r := &rerouting{changed: make(chan struct{}, 1)}
	var reports sync.WaitGroup
	defer reports.Wait()
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	reports.Go(func() { r.report(reporting, report) })
	for {
		messages, _, err := k.routes.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			r.note(time.Now(), &r.links, func(c *Rerouted) { c.All, c.Tables = true, true })
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for changes of routes (rtnetlink): %w", err)
		}
		for i := range messages {
			if h := &messages[i].Header; h.Pid != k.port {
				r.hear(time.Now(), &messages[i], base)
			}
		}
	}
}

// report reports what is due until ctx ends.
func (r *rerouting) report(ctx context.Context, report func(Rerouted)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-timer.C:
		}
		due, next := r.take(time.Now())
		for _, c := range due {
			report(c)
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// hear notes what a notification says that is not about a change of the pinger's own.
func (r *rerouting) hear(now time.Time, m *syscall.NetlinkMessage, base uint32) {
	switch m.Header.Type {
	case unix.RTM_NEWNETCONF:
		r.note(now, &r.links, func(c *Rerouted) { c.Tables = true })
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if !isOurRule(m.Data) {
			r.note(now, &r.links, func(c *Rerouted) { c.All, c.Prefixes = true, nil })
		} else if m.Header.Type == unix.RTM_DELRULE {
			r.note(now, &r.lost, func(c *Rerouted) { c.Tables = true })
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		route, err := readRoute(m.Data)
		switch {
		case err != nil:
		case route.protocol != routeProtocol:
			// The filter drops most of these, but not those that came before it was in place.
			if route.table == unix.RT_TABLE_LOCAL || route.gateway || route.prefix.Bits() == 0 || route.prefix.Addr().IsLinkLocalUnicast() || route.prefix.Addr().IsMulticast() {
				return
			}
			r.note(now, &r.links, func(c *Rerouted) { c.add(route.prefix) })
		case m.Header.Type == unix.RTM_NEWROUTE:
		case route.table-base < MaxTables:
			r.note(now, &r.lost, func(c *Rerouted) { c.Tables = true })
		case route.ours():
			r.note(now, &r.lost, func(c *Rerouted) {
				if c.add(route.prefix); m.Header.Pid == 0 { // the kernel has
					return
				}
				if c.Lost++; c.Lost == 1 {
					c.Program = program(m.Header.Pid)
				}
			})
		}
	}
}

// program returns the name of the program that a netlink socket's port is named after, as
// that of its first socket is; empty if there is none.
func program(port uint32) string {
	name, _ := os.ReadFile("/proc/" + strconv.FormatUint(uint64(port), 10) + "/comm")
	return strings.TrimSpace(string(name))
}

// isOurRule reports whether a message is about a rule that Tables has made.
func isOurRule(data []byte) bool {
	const headLen = 12 // struct fib_rule_hdr
	if len(data) < headLen {
		return false
	}
	attrs, err := nl.ParseRouteAttr(data[headLen:])
	for _, attr := range attrs {
		if attr.Attr.Type == nl.FRA_PROTOCOL && len(attr.Value) > 0 {
			return err == nil && attr.Value[0] == routeProtocol
		}
	}
	return false
}

// route is a route in the kernel's tables; the zero value is none.
type route struct {
	prefix   netip.Prefix
	link     int  // index of its interface; 0 if it has several
	gateway  bool // it leads to a gateway
	unicast  bool // and not to nowhere, as RTN_UNREACHABLE
	table    uint32
	protocol uint8
	metric   int
}

// ours reports whether it is one of the pinger's host routes.
func (r *route) ours() bool {
	return r.protocol == routeProtocol && r.metric == routeMetric && r.table == unix.RT_TABLE_MAIN
}

// readRoute parses a message about a route.
func readRoute(data []byte) (r route, err error) {
	if len(data) < unix.SizeofRtMsg {
		return r, fmt.Errorf("a message of %d bytes", len(data))
	}
	head := nl.DeserializeRtMsg(data)
	r.table, r.protocol, r.unicast = uint32(head.Table), head.Protocol, head.Type == unix.RTN_UNICAST
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofRtMsg:])
	dst := netip.IPv6Unspecified()
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(attr.Value)
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			r.gateway = true
		case unix.RTA_OIF:
			r.link = int(nl.NativeEndian().Uint32(attr.Value))
		case unix.RTA_TABLE:
			r.table = nl.NativeEndian().Uint32(attr.Value)
		case unix.RTA_PRIORITY:
			r.metric = int(nl.NativeEndian().Uint32(attr.Value))
		}
	}
	r.prefix = netip.PrefixFrom(dst, int(head.Dst_len))
	return r, err
}
