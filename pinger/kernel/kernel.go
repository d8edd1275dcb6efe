package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the pinger's rules and routes: the originator of
// rtnetlink(7), one that /etc/iproute2/rt_protos assigns to no program. Entries with
// another one are never touched.
const routeProtocol = 78

// Kernel has sockets for requests to the kernel.
type Kernel struct {
	handle *netlink.Handle
	// neighbours receives changes of neighbours; nil if they are not followed.
	neighbours *nl.NetlinkSocket
	routes     *nl.NetlinkSocket // receives changes of routes and rules
	peers      peers
	queues     []int // interfaces where Resend has added clsact
	*socket
}

// Open opens the sockets in the network namespace of the calling thread. FollowNeighbours
// needs neighbours to be set.
func Open(neighbours bool) (k *Kernel, err error) {
	k = &Kernel{}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	if neighbours {
		if k.neighbours, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NEIGH); err != nil {
			return nil, fmt.Errorf("subscribing to changes of neighbours (rtnetlink): %w", err)
		}
	}
	if k.routes, err = subscribeRoutes(); err != nil {
		return nil, err
	}
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("opening an rtnetlink socket: %w", err)
	}
	k.socket, err = openSocket()
	return k, err
}

// Close closes the sockets.
func (k *Kernel) Close() {
	k.peers.close()
	if k.neighbours != nil {
		k.neighbours.Close()
	}
	if k.routes != nil {
		k.routes.Close()
	}
	if k.socket != nil {
		k.closeQueues()
		k.socket.close()
	}
	if k.handle != nil {
		k.handle.Close()
	}
}

// Links returns all interfaces with their addresses, by rising index.
func (k *Kernel) Links() ([]iface.Link, error) { return iface.List(k.handle, true) }

// complete repeats list while changes in the kernel interrupt it, but not for ever: then
// it returns the incomplete list.
func complete[T any](list func() ([]T, error)) (items []T, err error) {
	for range 10 {
		if items, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return items, err
		}
	}
	return items, nil
}

// lock makes the caller the owner of a name in this network namespace until the result
// is closed. The error is EADDRINUSE if it has an owner.
func lock(name string) (io.Closer, error) {
	// An abstract Unix socket belongs to the network namespace, as routes do, and
	// disappears with its process, however that ends.
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@nd-pinger/" + name, Net: "unixgram"})
}
