package iface

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// retry is how long a watcher waits when its socket fails again before it has received anything.
const retry = time.Second

// Watch reports changes of the interfaces in the calling thread's network namespace, and
// of their IPv4 and IPv6 addresses if requested. Several changes before the channel is
// read are one. What changed is not reported: the reader lists the interfaces again, and
// so misses nothing even when the kernel had to drop notifications.
//
// When the netlink socket fails, Watch logs that, opens another one in the same namespace
// and reports a change; as long as that fails, it tries again and reports a change every
// second. The caller calls stop once, which ends the watch and closes the channel.
func Watch(addresses bool, log *slog.Logger) (changes <-chan struct{}, stop func(), err error) {
	w := &watcher{groups: []uint{unix.RTNLGRP_LINK}, log: log, changes: make(chan struct{}, 1), stopping: make(chan struct{})}
	if addresses {
		w.groups = append(w.groups, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	}
	if w.socket, err = nl.Subscribe(unix.NETLINK_ROUTE, w.groups...); err != nil {
		return nil, nil, fmt.Errorf("watch the network interfaces: %w", err)
	}
	if w.namespace, err = netns.Get(); err != nil { // there is no /proc: only the process's namespace
		w.namespace = netns.None()
	}
	go w.run()
	return w.changes, w.stop, nil
}

type watcher struct {
	namespace netns.NsHandle // where the socket is opened again
	groups    []uint
	log       *slog.Logger
	changes   chan struct{}
	stopping  chan struct{}

	mu     sync.Mutex
	socket *nl.NetlinkSocket // only run replaces it
}

func (w *watcher) run() {
	defer close(w.changes)
	for failing := false; ; {
		_, _, err := w.socket.Receive()
		if w.stopped() {
			return
		}
		switch {
		case err == nil, errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
			failing = false
		case failing:
			select {
			case <-w.stopping:
				return
			case <-time.After(retry):
			}
			_ = w.reopen() // until it succeeds
		default:
			failing = true
			w.log.Warn("notifications of interface changes failed; subscribing again", "error", errors.Join(err, w.reopen()))
		}
		select {
		case w.changes <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) reopen() error {
	socket, err := w.subscribe()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.socket.Close()
	w.socket = socket
	if w.stopped() { // stop has closed the other socket
		socket.Close()
	}
	return nil
}

// subscribe opens a socket in the watcher's namespace. It enters that only from another
// one, because entering needs CAP_SYS_ADMIN.
func (w *watcher) subscribe() (*nl.NetlinkSocket, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		here = netns.None()
	}
	defer here.Close()
	if !w.namespace.IsOpen() || here.Equal(w.namespace) {
		return nl.Subscribe(unix.NETLINK_ROUTE, w.groups...)
	}
	return nl.SubscribeAt(w.namespace, here, unix.NETLINK_ROUTE, w.groups...)
}

func (w *watcher) stopped() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// stop ends the watch and waits for its end.
func (w *watcher) stop() {
	close(w.stopping)
	w.mu.Lock()
	w.socket.Close()
	w.mu.Unlock()
	for range w.changes {
	}
	w.namespace.Close()
}
