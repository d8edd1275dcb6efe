package pinger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// watcher keeps the prober's state and the routing tables in step with the
// kernel's interfaces.
type watcher struct {
	kernel   *kernel
	tables   *tables
	patterns []pattern
	socket   string // the kind to open
	config   Config
	prober   *prober
	metrics  *metrics
	log      *slog.Logger

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
	st := newState(w.patterns, links, w.metrics.slave)
	var slaves []*link
	for i := range links {
		if sl := st.slave(links[i].name); sl != nil && sl.index != 0 && !links[i].loopback {
			slaves = append(slaves, &links[i])
		}
	}
	// A slave without a table may still have a route of its own, and its
	// results say what is missing: no reason to leave the others.
	if err := w.tables.sync(slaves); err != nil {
		w.log.Error("routing tables of the slaves", "error", err)
	}
	w.connect(st)
	came := w.logChanges(st)
	w.prober.update(st, len(came) > 0)
	w.disconnect(st)
	w.warnRouteless(came)
	w.last = st
	return nil
}

// connect gives the slaves their sockets, those that they had if nothing about
// them has changed.
func (w *watcher) connect(st *state) {
	for _, sl := range st.slaves {
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
	old := w.last.slave(sl.name)
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
	for _, old := range w.last.slaves {
		conn, _ := old.conn.(*echoConn)
		if sl := st.slave(old.name); conn != nil && (sl == nil || sl.conn != old.conn) {
			conn.Close()
		}
	}
}

// receive takes in echo replies until the connection is closed.
func (w *watcher) receive(sl *slave, conn *echoConn) {
	for {
		switch r, ok, err := conn.receive(); {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// The next echo or change of an interface opens a new one.
			w.log.Error("receiving echo replies", "slave", sl.name, "error", err)
			conn.dead.Store(true)
			conn.Close()
			return
		case ok:
			w.prober.reply(sl, r)
		default:
			w.metrics.strayReplies.Inc()
		}
	}
}

// close closes all sockets and waits for their receivers.
func (w *watcher) close() {
	w.disconnect(&state{})
	w.receivers.Wait()
}

// logChanges logs what has changed since the last refresh, one line for each
// slave, and returns the slaves that have come into use.
func (w *watcher) logChanges(st *state) (came []*slave) {
	before := w.last
	if before == nil {
		before = &state{}
	}
	for _, sl := range st.slaves {
		old := before.slave(sl.name)
		switch {
		case old != nil && old.why == sl.why && old.index == sl.index && old.source == sl.source:
		case sl.why == "":
			w.log.Info("slave in use", "slave", sl.name, "index", sl.index, "source", sl.source)
			if old == nil || old.why != "" || old.index != sl.index {
				came = append(came, sl)
			}
		default:
			w.log.Warn("slave out of use: "+sl.name+" "+sl.why, "slave", sl.name, "index", sl.index)
		}
	}
	for _, old := range before.slaves {
		if st.slave(old.name) == nil {
			w.metrics.forget(old.name)
			if old.index != 0 {
				w.log.Info("slave gone", "slave", old.name, "index", old.index)
			}
		}
	}
	if len(st.slaves) > w.config.Rate && len(before.slaves) <= w.config.Rate {
		w.log.Error("no command can be carried out: each takes an echo out of every slave, which are more than PINGER_RATE",
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
		if !routed[sl.index] {
			without = append(without, sl.name)
		}
	}
	if len(without) > 0 {
		w.log.Warn("slaves without a route of their own: an echo to a global address cannot leave by them, and the pinger may not make routing tables",
			"slaves", without, "why", w.tables.why, "remedy", "CAP_NET_ADMIN, or a route through the slave to the prefix of its hosts")
	}
}
