//go:build linux

// Package links lists the host's network interfaces and tells when they change.
package links

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/schemas"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	// AltNames are further names of the interface (ip-link(8), altname).
	AltNames []string
	// Type is the name of the link layer, "ether" for everything that has
	// Ethernet frames: bridges, bonds, VLANs, veth and dummy interfaces too.
	Type string
	// MAC is the Ethernet address of an interface of type "ether".
	MAC schemas.MAC
	// Up says that the interface is up as its administrator wants (IFF_UP),
	// Running that it can pass frames, so that it has carrier too (IFF_RUNNING).
	Up, Running bool
	// Addresses are the interface's IPv4 and IPv6 addresses, if List was asked
	// for them.
	Addresses []netip.Addr
}

// Ethernet reports whether the interface has Ethernet frames.
func (l *Link) Ethernet() bool { return l.Type == "ether" }

// dumpAttempts is how often a list is asked for that changes while it is sent.
const dumpAttempts = 10

// List returns the interfaces of the calling thread's network namespace, with
// their addresses if wanted.
func List(addresses bool) ([]Link, error) {
	found, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	list := make([]Link, len(found))
	place := make(map[int]*Link, len(found))
	for i, f := range found {
		a := f.Attrs()
		list[i] = Link{
			Index: a.Index, Name: a.Name, AltNames: a.AltNames, Type: a.EncapType,
			Up: a.RawFlags&unix.IFF_UP != 0, Running: a.RawFlags&unix.IFF_RUNNING != 0,
		}
		if len(a.HardwareAddr) == len(schemas.MAC{}) {
			list[i].MAC = schemas.MAC(a.HardwareAddr)
		}
		place[a.Index] = &list[i]
	}
	if !addresses {
		return list, nil
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list the addresses of the network interfaces: %w", err)
	}
	for _, a := range addrs {
		l, ok := place[a.LinkIndex]
		if !ok || a.IPNet == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			l.Addresses = append(l.Addresses, ip.Unmap())
		}
	}
	return list, nil
}

// MACs returns the Ethernet addresses of the interfaces: their host's own.
func MACs(list []Link) map[schemas.MAC]struct{} {
	macs := make(map[schemas.MAC]struct{}, len(list))
	for i := range list {
		if list[i].Ethernet() {
			macs[list[i].MAC] = struct{}{}
		}
	}
	return macs
}

// dump asks again for a list that changed while the kernel sent it: such a list
// may lack what exists.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for n := 1; ; n++ {
		found, err := list()
		if err == nil || n == dumpAttempts || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
	}
}

// Watcher tells that the list of interfaces may have changed.
type Watcher struct {
	// C receives after every change. Changes that follow each other before it is
	// read are one. It is closed when the watcher has failed or was closed.
	C <-chan struct{}

	socket *nl.NetlinkSocket
	// closing is set before the socket is closed: what Receive then returns is an
	// error of an internal package.
	closing atomic.Bool
	err     error
}

// Watch watches the interfaces of the calling thread's network namespace, and
// their addresses if wanted.
func Watch(addresses bool) (*Watcher, error) {
	groups := []uint{unix.RTNLGRP_LINK}
	if addresses {
		groups = append(groups, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("watch the network interfaces: %w", err)
	}
	return newWatcher(socket), nil
}

// newWatcher tells of what the socket receives.
func newWatcher(socket *nl.NetlinkSocket) *Watcher {
	c := make(chan struct{}, 1)
	w := &Watcher{C: c, socket: socket}
	go func() {
		defer close(c)
		for {
			// What changed does not matter: it is listed again. So nothing is
			// missed either when the kernel could not tell all (ENOBUFS).
			_, _, err := socket.Receive()
			switch {
			case err == nil, errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
			case w.closing.Load():
				return
			default:
				w.err = fmt.Errorf("watch the network interfaces: %w", err)
				return
			}
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

// Err returns why the watcher has failed, nil if it was closed. It may be called
// when C is closed.
func (w *Watcher) Err() error { return w.err }

// Close ends the watcher and waits for its end.
func (w *Watcher) Close() {
	w.closing.Store(true)
	w.socket.Close()
	for range w.C {
	}
}
