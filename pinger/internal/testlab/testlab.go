// Package testlab builds the network that the pinger's tests run in: namespaces
// with a router that has a master and two slaves, and a host behind each.
package testlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with a netlink handle in it.
type Namespace struct {
	*netlink.Handle
	t  testing.TB
	ns netns.NsHandle
}

// New makes a network namespace in which addresses are usable at once. Without
// the rights to do so the test is skipped, or fails where CI=true.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		var err error
		n.ns, err = netns.New()
		failed <- err
	}()
	if err := <-failed; err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("network namespaces (need root): %v", err)
		}
		t.Skipf("needs root for network namespaces: %v", err)
	}
	var err error
	n.Handle, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE)
	n.must(err)
	t.Cleanup(func() {
		n.Close()
		n.ns.Close()
	})
	n.Sysctl("net.ipv6.conf.default.accept_dad", "0")
	n.Sysctl("net.ipv6.conf.default.dad_transmits", "0")
	n.Up("lo")
	return n
}

func (n *Namespace) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// Go runs f in the namespace on a goroutine, and a thread, of its own.
func (n *Namespace) Go(f func()) {
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.ns); err != nil {
			panic(err)
		}
		f()
	}()
}

// Do runs f in the namespace and waits for it. f must not end the test.
func (n *Namespace) Do(f func()) {
	done := make(chan struct{})
	n.Go(func() {
		defer close(done)
		f()
	})
	<-done
}

// Sysctl sets a sysctl of the namespace, named with dots.
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	path := []byte(name)
	for i := range path {
		if path[i] == '.' {
			path[i] = '/'
		}
	}
	var err error
	n.Do(func() { err = os.WriteFile(filepath.Join("/proc/sys", string(path)), []byte(value), 0) })
	n.must(err)
}

// Veth connects the namespace to another one, and brings both ends up.
func (n *Namespace) Veth(name string, peer *Namespace, peerName string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.must(n.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peerName, PeerNamespace: netlink.NsFd(peer.ns)}))
	n.Up(name)
	peer.Up(peerName)
}

// Link returns an interface.
func (n *Namespace) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.LinkByName(name)
	n.must(err)
	return l
}

// Index returns the index of an interface.
func (n *Namespace) Index(name string) int { return n.Link(name).Attrs().Index }

// Up and Down switch an interface, Delete removes it.
func (n *Namespace) Up(name string)     { n.t.Helper(); n.must(n.LinkSetUp(n.Link(name))) }
func (n *Namespace) Down(name string)   { n.t.Helper(); n.must(n.LinkSetDown(n.Link(name))) }
func (n *Namespace) Delete(name string) { n.t.Helper(); n.must(n.LinkDel(n.Link(name))) }

// Addr gives an interface an address, such as 2001:db8::1/64.
func (n *Namespace) Addr(name, prefix string) {
	n.t.Helper()
	addr, err := netlink.ParseAddr(prefix)
	n.must(err)
	addr.Flags = unix.IFA_F_NODAD
	n.must(n.AddrAdd(n.Link(name), addr))
}

// LinkLocal waits until an interface's link-local address is usable.
func (n *Namespace) LinkLocal(name string) netip.Addr {
	n.t.Helper()
	var found netip.Addr
	n.Eventually(name+" has a link-local address", func() bool {
		addrs, err := n.AddrList(n.Link(name), netlink.FAMILY_V6)
		n.must(err)
		for _, a := range addrs {
			if addr, _ := netip.AddrFromSlice(a.IP); addr.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				found = addr
			}
		}
		return found.IsValid()
	})
	return found
}

// Eventually waits until f is true, for 10 s at most.
func (n *Namespace) Eventually(what string, f func() bool) {
	n.t.Helper()
	Eventually(n.t, what, f)
}

// Eventually waits until f is true, for 10 s at most.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	end := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if f() {
			tick.Stop()
			return
		}
		select {
		case <-end:
			t.Fatalf("not within 10 s: %s", what)
		case <-tick.C:
		}
	}
}

// Neighbour returns the namespace's neighbour entry, nil if there is none.
func (n *Namespace) Neighbour(name, addr string) *netlink.Neigh {
	n.t.Helper()
	list, err := n.NeighList(n.Index(name), netlink.FAMILY_V6)
	n.must(err)
	for i := range list {
		if list[i].IP.Equal(net.ParseIP(addr)) {
			return &list[i]
		}
	}
	return nil
}

// Rules and routes of a namespace as short strings.
func (n *Namespace) Rules() []string {
	n.t.Helper()
	list, err := n.RuleList(netlink.FAMILY_V6)
	n.must(err)
	var rules []string
	for _, r := range list {
		rules = append(rules, fmt.Sprintf("%d oif %q table %d proto %d", r.Priority, r.OifName, r.Table, r.Protocol))
	}
	return rules
}

// Routes lists the routes of every table from min on.
func (n *Namespace) Routes(min int) []string {
	n.t.Helper()
	var routes []string
	n.must(n.RouteListFilteredIter(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE,
		func(r netlink.Route) bool {
			if r.Table >= min {
				routes = append(routes, fmt.Sprintf("table %d dev %d proto %d", r.Table, r.LinkIndex, int(r.Protocol)))
			}
			return true
		}))
	slices.Sort(routes)
	return routes
}

// Echo is an ICMPv6 echo request that was seen on a wire.
type Echo struct {
	Source, Target netip.Addr
	HopLimit       byte
}

// Tap sees the echo requests that arrive on an interface.
type Tap struct {
	t  testing.TB
	fd int
}

// Tap opens a tap on an interface.
func (n *Namespace) Tap(name string) *Tap {
	n.t.Helper()
	return n.tap(name, unix.SOCK_DGRAM)
}

// Frames opens a tap that sees whole frames.
func (n *Namespace) Frames(name string) *Tap {
	n.t.Helper()
	return n.tap(name, unix.SOCK_RAW)
}

// Next returns the next frame with a Neighbor Solicitation or Advertisement; it
// waits for it.
func (tap *Tap) Next() []byte {
	tap.t.Helper()
	for b := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(tap.fd, b, 0)
		if err != nil {
			tap.t.Fatalf("no frame: %v", err)
		}
		const icmp = 54
		if n > icmp && b[20] == unix.IPPROTO_ICMPV6 && (b[icmp] == 135 || b[icmp] == 136) {
			return b[:n]
		}
	}
}

func (n *Namespace) tap(name string, kind int) *Tap {
	n.t.Helper()
	tap := &Tap{t: n.t}
	index := n.Index(name)
	var err error
	n.Do(func() {
		const protocol = unix.ETH_P_IPV6
		if tap.fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0); err == nil {
			err = errors.Join(unix.Bind(tap.fd, &unix.SockaddrLinklayer{Protocol: protocol<<8&0xff00 | protocol>>8, Ifindex: index}),
				unix.SetsockoptTimeval(tap.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
		}
	})
	n.must(err)
	n.t.Cleanup(func() { unix.Close(tap.fd) })
	return tap
}

// Echoes returns the echo requests seen since the last call. A veth pair hands
// frames on at once, so those of a command whose result is known have been seen.
func (tap *Tap) Echoes() []Echo {
	var echoes []Echo
	for b := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(tap.fd, b, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return echoes
		}
		if err != nil {
			tap.t.Fatal(err)
		}
		const header = 40
		if n < header+8 || b[6] != unix.IPPROTO_ICMPV6 || b[header] != 128 || int(binary.BigEndian.Uint16(b[4:])) != n-header {
			continue
		}
		echoes = append(echoes, Echo{
			Source:   netip.AddrFrom16([16]byte(b[8:24])),
			Target:   netip.AddrFrom16([16]byte(b[24:40])),
			HopLimit: b[7],
		})
	}
}
