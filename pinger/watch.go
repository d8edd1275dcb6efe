package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watcher keeps the prober's state and the routing tables in step with the
// kernel's interfaces.
type watcher struct {
	kernel  *kernel
	tables  *tables
	slaves  []pattern
	masters []pattern
	socket  string // the kind to open
	proxies proxySysctl
	config  Config
	prober  *prober
	metrics *metrics
	log     *slog.Logger
	health  func(error) // nil until commands are received

	changed chan struct{}
	// last is the state of the last refresh.
	last      *state
	receivers sync.WaitGroup
}

// notify has the watcher look at interfaces, rules and routes anew.
func (w *watcher) notify() {
	select {
	case w.changed <- struct{}{}:
	default: // it will anyway
	}
}

// run refreshes when notified, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		}
		if err := w.refresh(); err != nil {
			w.log.Error("the slaves are taken to be as they were; looking again in a second", "error", err)
			w.notifyLater()
		}
	}
}

// notifyLater notifies in a second, after something has failed that will be well
// again without a change of an interface.
func (w *watcher) notifyLater() { time.AfterFunc(time.Second, w.notify) }

// refresh looks at the interfaces and brings tables and prober up to date.
func (w *watcher) refresh() error {
	links, err := w.kernel.links()
	if err != nil {
		return err
	}
	st := newState(w.slaves, w.masters, links, w.metrics.slave)
	var slaves []*link
	for i := range links {
		if sl := st.port(links[i].name); sl != nil && !sl.master && sl.index != 0 && !links[i].loopback {
			slaves = append(slaves, &links[i])
		}
	}
	// A slave without a table may still have a route of its own, and its
	// results say what is missing: no reason to leave the others.
	if err := w.tables.sync(slaves); err != nil {
		w.log.Error("routing tables of the slaves", "error", err)
	}
	w.connect(st)
	if w.config.Proxy {
		w.proxies.enable(st.masters, w.log)
	}
	came := w.logChanges(st)
	w.prober.update(st, len(came) > 0)
	w.prober.ways.changed(st)
	w.disconnect(st)
	w.warnRouteless(came)
	w.last = st
	w.tellHealth()
	return nil
}

// tellHealth tells whether commands can be carried out.
func (w *watcher) tellHealth() {
	if w.health != nil {
		w.health(w.last.unusable(w.config.Rate))
	}
}

// connect gives the slaves their sockets, those that they had if nothing about
// them has changed, and the masters if targets are looked for behind them too.
func (w *watcher) connect(st *state) {
	list := st.slaves
	if w.config.Proxy {
		list = st.ports()
	}
	for _, sl := range list {
		if sl.why != "" {
			continue
		}
		if conn := w.connOf(sl); conn != nil {
			sl.conn = conn
			continue
		}
		conn, err := openEcho(w.socket, sl, w.config.mostWaiting())
		if err != nil {
			sl.why = fmt.Sprintf("cannot be used: %v", err)
			w.notifyLater()
			continue
		}
		sl.conn = conn
		w.receivers.Go(func() { w.receive(sl, conn) })
	}
}

// connOf returns the socket that a slave had at the last refresh, nil if it
// cannot be used any more.
func (w *watcher) connOf(sl *slave) *echoConn {
	if w.last == nil {
		return nil
	}
	old := w.last.port(sl.name)
	if old == nil || old.index != sl.index || old.source != sl.source {
		return nil
	}
	conn, _ := old.conn.(*echoConn)
	if conn == nil || conn.dead.Load() {
		return nil
	}
	return conn
}

// disconnect closes the sockets of the last refresh that a state has not taken
// over.
func (w *watcher) disconnect(st *state) {
	if w.last == nil {
		return
	}
	for _, old := range w.last.ports() {
		conn, _ := old.conn.(*echoConn)
		if sl := st.port(old.name); conn != nil && (sl == nil || sl.conn != old.conn) {
			conn.Close()
		}
	}
}

// receive takes in what answers, until the connection is closed.
func (w *watcher) receive(sl *slave, conn *echoConn) {
	for {
		from, message, err := conn.receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The next echo or change of an interface opens a new one.
			w.log.Error("receiving answers", "slave", sl.name, "error", err)
			conn.dead.Store(true)
			conn.Close()
			return
		}
		if a, ok := parseAdvertisement(message); ok {
			w.prober.advertised(sl, a)
		} else if reply, ok := parseReply(from, message); ok {
			w.prober.replied(sl, reply)
		} else {
			w.metrics.strayReplies.Inc()
		}
	}
}

// close closes all sockets and waits for their receivers.
func (w *watcher) close() {
	w.disconnect(&state{})
	w.receivers.Wait()
	w.proxies.restore(w.log)
}

// logChanges logs what has changed since the last refresh, one line for each
// slave, and returns the slaves that have come into use.
func (w *watcher) logChanges(st *state) (came []*slave) {
	before := w.last
	if before == nil {
		before = &state{}
	}
	for _, sl := range st.ports() {
		kind := "slave"
		if sl.master {
			kind = "master"
		}
		old := before.port(sl.name)
		switch {
		case old != nil && old.same(sl):
		case sl.why == "":
			w.log.Info(kind+" in use", kind, sl.name, "index", sl.index, "source", sl.source)
			if old == nil || old.why != "" || old.index != sl.index {
				came = append(came, sl)
			}
		default:
			w.log.Warn(kind+" out of use: "+sl.name+" "+sl.why, kind, sl.name, "index", sl.index)
		}
	}
	for _, old := range before.ports() {
		if st.port(old.name) == nil {
			w.metrics.forget(old.name)
			if old.index != 0 {
				w.log.Info("slave gone", "slave", old.name, "index", old.index)
			}
		}
	}
	if len(st.slaves) > w.config.Rate && len(before.slaves) <= w.config.Rate {
		w.log.Error("no command can be carried out: each takes a probe out of every slave, which are more than PINGER_RATE",
			"slaves", len(st.slaves), "rate", w.config.Rate)
	}
	return came
}

// warnRouteless says which of the slaves cannot be served for want of a routing
// table.
func (w *watcher) warnRouteless(slaves []*slave) {
	if w.tables.why == "" || len(slaves) == 0 {
		return
	}
	routed, err := w.kernel.routed()
	if err != nil {
		w.log.Warn("cannot see which slaves have a route", "error", err)
		return
	}
	var without []string
	for _, sl := range slaves {
		if !sl.master && !routed[sl.index] {
			without = append(without, sl.name)
		}
	}
	if len(without) > 0 {
		w.log.Warn("slaves without a route of their own: their hosts are found, but no echo to a global address can leave by these slaves, and so the kernel does not hear of what was found; the pinger may not make routing tables",
			"slaves", without, "why", w.tables.why, "remedy", "CAP_NET_ADMIN, or a route through the slave to the prefix of its hosts")
	}
}

// neighbour takes what the kernel has heard of a neighbour.
func (w *watcher) neighbour(n *netlink.Neigh, gone bool) {
	sl := w.prober.state.Load().at(n.LinkIndex)
	addr, ok := netip.AddrFromSlice(n.IP)
	if sl == nil || !ok || schemas.CheckTarget(addr) != nil {
		return
	}
	const there = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	switch {
	case gone, n.State&unix.NUD_FAILED != 0:
		w.prober.ways.gone(addr, sl.index)
	case n.State&there != 0:
		w.prober.release(addr)
		if !sl.master {
			w.prober.ways.hint(addr, sl)
		}
	}
}

// proxySysctl has the kernel answer for its proxy neighbour entries, which it does
// on an interface with net.ipv6.conf.<interface>.proxy_ndp=1 alone.
type proxySysctl struct {
	enabled map[string]bool // by the name of the master; true if by us
}

func proxyPath(name string) string {
	return filepath.Join("/proc/sys/net/ipv6/conf", name, "proxy_ndp")
}

// enable sets it on the masters, in the network namespace of the calling thread.
func (p *proxySysctl) enable(masters []*slave, log *slog.Logger) {
	if p.enabled == nil {
		p.enabled = make(map[string]bool)
	}
	for _, m := range masters {
		if m.index == 0 {
			delete(p.enabled, m.name) // it begins anew when it is back
			continue
		}
		value, err := os.ReadFile(proxyPath(m.name))
		if err == nil && strings.TrimSpace(string(value)) == "1" {
			continue
		}
		if err == nil {
			err = os.WriteFile(proxyPath(m.name), []byte("1"), 0)
		}
		_, tried := p.enabled[m.name]
		if p.enabled[m.name] = err == nil; err != nil && !tried {
			log.Warn("the kernel does not answer for its proxy neighbour entries, the pinger alone does",
				"master", m.name, "error", err, "remedy", "sysctl net.ipv6.conf."+m.name+".proxy_ndp=1")
		}
	}
}

// restore sets it back where enable has set it.
func (p *proxySysctl) restore(log *slog.Logger) {
	for name, ours := range p.enabled {
		if !ours {
			continue
		}
		if err := os.WriteFile(proxyPath(name), []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Warn("proxy_ndp stays set", "master", name, "error", err)
		}
	}
}

// warnNotForwarding says so if the host is no router.
func warnNotForwarding(log *slog.Logger) {
	value, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/forwarding")
	if err == nil && strings.TrimSpace(string(value)) == "0" {
		log.Warn("this host does not forward: nothing that comes in on a master reaches a host behind a slave", "remedy", "sysctl net.ipv6.conf.all.forwarding=1")
	}
}
