package pinger

import (
	"fmt"

	"github.com/ndmon/ndmon/pinger/port"
	"github.com/ndmon/ndmon/pinger/wire"
)

// sockets are the sockets of one port. They are opened and closed together, because what
// one receives is answered through the other.
type sockets struct {
	echo *wire.Echo
	// listener is nil without CAP_NET_RAW, and on links without Neighbor Discovery.
	listener *wire.Listener
}

// connect gives the slaves their sockets, and the masters too if targets are looked for
// behind them. Sockets stay in use while their port does not change. The result is the
// sockets that are no longer used.
func (w *watcher) connect(ports *port.Set) (unused []*sockets) {
	list := ports.Slaves
	if w.config.Proxy {
		list = ports.All()
	}
	now := make(map[string]*sockets, len(list))
	for _, p := range list {
		if p.Why != "" {
			continue
		}
		s := w.sockets[p.Name]
		if s == nil || !s.serve(p, w.listens(p)) {
			var err error
			if s, err = w.open(p); err != nil {
				p.Why = fmt.Sprintf("cannot be used: %v", err)
				w.notifyLater()
				continue
			}
		}
		now[p.Name], p.Echo = s, s.echo.Send
	}
	for name, s := range w.sockets {
		if now[name] != s {
			unused = append(unused, s)
		}
	}
	w.sockets = now
	return unused
}

// listens reports whether a port has a listener.
func (w *watcher) listens(p *port.Port) bool { return w.kind == wire.Raw && p.ND }

// open opens the sockets of a port, and receives on them until they are closed.
func (w *watcher) open(p *port.Port) (*sockets, error) {
	s := new(sockets)
	var err error
	if s.echo, err = wire.OpenEcho(w.kind, p, w.config.mostWaiting()); err != nil {
		return nil, err
	}
	p.Echo = s.echo.Send // before anything is received
	if w.listens(p) {
		var also wire.Also
		if w.adverts != nil {
			also.Routers = w.adverts.Received
		}
		if w.answers {
			also.Solicited = w.prober.Solicited
		}
		if s.listener, err = wire.OpenListener(p, also); err != nil {
			s.close()
			return nil, err
		}
		w.receivers.Go(func() { w.received(p.Name, s.listener.Receive(w.prober)) })
	}
	w.receivers.Go(func() { w.received(p.Name, s.echo.Receive(w.prober)) })
	return s, nil
}

// received has new sockets opened if receiving on a port has failed.
func (w *watcher) received(name string, err error) {
	if err != nil {
		w.log.Error("receiving answers; opening new sockets in a second", "slave", name, "error", err)
		w.notifyLater()
	}
}

// serve reports whether the sockets work and are those that a port needs.
func (s *sockets) serve(p *port.Port, listens bool) bool {
	return s.echo.Serves(p) && (s.listener != nil) == listens && (!listens || s.listener.Serves(p))
}

func (s *sockets) close() {
	s.echo.Close()
	if s.listener != nil {
		s.listener.Close()
	}
}
