//go:build linux

// Package testlab gives tests network namespaces of their own.
package testlab

import (
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that lives as long as its test.
type Namespace struct {
	t      testing.TB
	handle netns.NsHandle
	// Netlink works in the namespace from any goroutine.
	Netlink *netlink.Handle
}

// New makes a network namespace with the loopback interface up. It skips the
// test without root, but fails it in continuous integration (CI=true).
func New(t testing.TB) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to make a network namespace, and CI=true forbids to skip")
		}
		t.Skip("needs root to make a network namespace")
	}
	n := &Namespace{t: t}
	// The thread is given up with its namespace: it never runs other code again.
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		var err error
		n.handle, err = netns.New()
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { n.handle.Close() })
	var err error
	if n.Netlink, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE); err != nil {
		t.Fatalf("open netlink in the namespace: %v", err)
	}
	t.Cleanup(n.Netlink.Close)
	n.Up("lo")
	return n
}

// Do runs f in the namespace and waits for it. f must not use t.FailNow. What f
// starts with go runs outside.
func (n *Namespace) Do(f func()) {
	done := make(chan struct{})
	n.Go(func() { defer close(done); f() })
	<-done
}

// Go runs f in the namespace beside the test.
func (n *Namespace) Go(f func()) {
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := netns.Set(n.handle)
		entered <- err
		if err == nil {
			f()
		}
	}()
	if err := <-entered; err != nil {
		n.t.Fatalf("enter the namespace: %v", err)
	}
}

// Without runs f in the namespace without a capability, such as
// unix.CAP_NET_RAW, and waits for it.
func (n *Namespace) Without(capability uint, f func()) {
	n.t.Helper()
	var err error
	n.Do(func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		if err = unix.Capget(&header, &sets[0]); err != nil {
			return
		}
		sets[capability/32].Effective &^= 1 << (capability % 32)
		if err = unix.Capset(&header, &sets[0]); err == nil { // of this thread only
			f()
		}
	})
	n.must(err, "drop a capability")
}

// Veth makes a veth pair with one end in each of the namespaces, both up.
func (n *Namespace) Veth(name string, peer *Namespace, peerName string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.must(n.Netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: peerName, PeerNamespace: netlink.NsFd(peer.handle),
	}), "make the veth pair", name, peerName)
	n.Up(name)
	peer.Up(peerName)
}

// Bridge makes a bridge without ports, which is down: an Ethernet interface that
// needs no peer.
func (n *Namespace) Bridge(name string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.Add(&netlink.Bridge{LinkAttrs: attrs})
}

// Add makes any interface.
func (n *Namespace) Add(l netlink.Link) {
	n.t.Helper()
	var err error
	// Not by n.Netlink, which makes tun interfaces in the process's namespace.
	n.Do(func() { err = netlink.LinkAdd(l) })
	n.must(err, "make interface", l.Attrs().Name)
}

// Link returns the interface.
func (n *Namespace) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.Netlink.LinkByName(name)
	n.must(err, "find interface", name)
	return l
}

// Up sets the interface up.
func (n *Namespace) Up(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkSetUp(n.Link(name)), "set up", name)
}

// Down sets the interface down.
func (n *Namespace) Down(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkSetDown(n.Link(name)), "set down", name)
}

// Delete deletes the interface.
func (n *Namespace) Delete(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkDel(n.Link(name)), "delete", name)
}

// Address gives the interface an address such as 2001:db8::1/64, which is usable
// at once: there is no duplicate address detection.
func (n *Namespace) Address(name, cidr string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	n.must(err, "parse address", cidr)
	a.Flags = unix.IFA_F_NODAD
	n.must(n.Netlink.AddrAdd(n.Link(name), a), "add address", cidr, "to", name)
}

// Solicit makes the kernel look for target, a neighbour on the interface, by
// sending a datagram there.
func (n *Namespace) Solicit(name, target string) {
	n.t.Helper()
	var err error
	n.Do(func() {
		var c net.Conn
		if c, err = net.Dial("udp6", net.JoinHostPort(target+"%"+name, "9")); err != nil {
			return
		}
		defer c.Close()
		_, err = c.Write([]byte("?"))
	})
	n.must(err, "send to", target)
}

// Send sends a whole Ethernet frame out of the interface, count times.
func (n *Namespace) Send(name string, frame []byte, count int) {
	n.t.Helper()
	n.SendAll(name, slices.Repeat([][]byte{frame}, count))
}

// SendAll sends whole Ethernet frames out of the interface.
func (n *Namespace) SendAll(name string, frames [][]byte) {
	n.t.Helper()
	send, done := n.Sender(name)
	defer done()
	for _, f := range frames {
		n.must(send(f), "send frames on", name)
	}
}

// Sender returns a function that sends a whole Ethernet frame out of the
// interface, and one that must be called in the end.
func (n *Namespace) Sender(name string) (send func(frame []byte) error, done func()) {
	n.t.Helper()
	to := &unix.SockaddrLinklayer{Ifindex: n.Link(name).Attrs().Index}
	var fd int
	var err error
	n.Do(func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	n.must(err, "open a packet socket")
	return func(frame []byte) error { return unix.Sendto(fd, frame, 0, to) }, func() { unix.Close(fd) }
}

func (n *Namespace) must(err error, what ...string) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%s: %v", strings.Join(what, " "), err)
	}
}

// Wait waits until the condition holds, and fails the test if it does not within
// ten seconds.
func Wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
