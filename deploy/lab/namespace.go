package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace: a host of the lab.
type Namespace struct {
	// Netlink works in the namespace from any goroutine, for what has no method
	// here.
	Netlink *netlink.Handle

	name   string
	t      TB
	handle netns.NsHandle
}

// New makes a network namespace; its name is used in messages. The loopback
// interface is up, addresses are usable immediately (no duplicate address
// detection), and the kernel ignores routers. NeedRoot applies to the test.
func New(t TB, name string) *Namespace {
	t.Helper()
	NeedRoot(t)
	n := &Namespace{name: name, t: t}
	// The thread ends with the goroutine, so no other code runs in its namespace.
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		var err error
		n.handle, err = netns.New()
		made <- err
	}()
	n.must(<-made, "make a network namespace")
	t.Cleanup(func() { n.handle.Close() })
	var err error
	n.Netlink, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	n.must(err, "open netlink")
	t.Cleanup(n.Netlink.Close)
	for _, name := range []string{"accept_dad", "dad_transmits", "accept_ra"} {
		n.Sysctl("net.ipv6.conf.default."+name, "0")
	}
	n.Up("lo")
	return n
}

// Do runs f in the namespace, on a thread of its own, and waits for it. f must
// not end the test, and what it starts with go runs outside.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	done := make(chan struct{})
	n.Go(func() { defer close(done); f() })
	<-done
}

// Go starts f in the namespace and does not wait for it. Otherwise it is like Do.
func (n *Namespace) Go(f func()) {
	n.t.Helper()
	n.must(n.enter(f), "enter")
}

// enter returns once f runs.
func (n *Namespace) enter(f func()) error {
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := netns.Set(n.handle)
		entered <- err
		if err == nil {
			f()
		}
	}()
	return <-entered
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
	n.must(err, "drop capability %d", capability)
}

// Sysctl sets a sysctl of the namespace, named with dots.
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	var err error
	n.Do(func() { err = os.WriteFile(path, []byte(value), 0) })
	n.must(err, "set %s", name)
}

// Veth makes a veth pair with one end in each namespace, both up.
func (n *Namespace) Veth(name string, peer *Namespace, peerName string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.must(n.Netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: peerName, PeerNamespace: netlink.NsFd(peer.handle),
	}), "make veth pair %s, %s", name, peerName)
	n.Up(name)
	peer.Up(peerName)
}

// Bridge makes a bridge of interfaces that exist, up.
func (n *Namespace) Bridge(name string, ports ...string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	n.must(n.Netlink.LinkAdd(bridge), "make bridge %s", name)
	for _, port := range ports {
		n.must(n.Netlink.LinkSetMaster(n.Link(port), n.Link(name)), "put %s into bridge %s", port, name)
	}
	n.Up(name)
}

// Add makes any interface.
func (n *Namespace) Add(l netlink.Link) {
	n.t.Helper()
	var err error
	// Not by n.Netlink, which makes tun interfaces in the process's namespace.
	n.Do(func() { err = netlink.LinkAdd(l) })
	n.must(err, "make interface %s", l.Attrs().Name)
}

// Link returns the interface.
func (n *Namespace) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.Netlink.LinkByName(name)
	n.must(err, "find interface %s", name)
	return l
}

// Index returns the interface's index.
func (n *Namespace) Index(name string) int {
	n.t.Helper()
	return n.Link(name).Attrs().Index
}

// MAC returns the interface's Ethernet address.
func (n *Namespace) MAC(name string) net.HardwareAddr {
	n.t.Helper()
	return n.Link(name).Attrs().HardwareAddr
}

// Up sets the interface up.
func (n *Namespace) Up(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkSetUp(n.Link(name)), "set %s up", name)
}

// Down sets the interface down.
func (n *Namespace) Down(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkSetDown(n.Link(name)), "set %s down", name)
}

// Delete deletes the interface.
func (n *Namespace) Delete(name string) {
	n.t.Helper()
	n.must(n.Netlink.LinkDel(n.Link(name)), "delete %s", name)
}

// Address adds IPv4 or IPv6 addresses such as 2001:db8::1/64 to the interface, and waits until
// it receives solicitations for them. The kernel joins the groups of the addresses of all
// namespaces one after the other, later.
func (n *Namespace) Address(name string, cidrs ...string) {
	n.t.Helper()
	link := n.Link(name)
	var groups []string // as in /proc/net/igmp6
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		n.must(err, "parse address %s", cidr)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
			groups = append(groups, fmt.Sprintf(" %s ff0200000000000000000001ff%x ", name, []byte(a.IP[13:])))
		}
		n.must(n.Netlink.AddrAdd(link, a), "add address %s to %s", cidr, name)
	}
	if link.Attrs().RawFlags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) != 0 {
		return // there is no solicitation
	}
	Eventually(n.t, fmt.Sprintf("%s in %s receives solicitations for %v", name, n.name, cidrs), func() bool {
		var joined []byte
		var err error
		n.Do(func() { joined, err = os.ReadFile("/proc/thread-self/net/igmp6") })
		n.must(err, "read the multicast groups")
		list := strings.Join(strings.Fields(string(joined)), " ")
		return !slices.ContainsFunc(groups, func(group string) bool { return !strings.Contains(list, group) })
	})
}

// AddressWithDAD adds an IPv6 address to the interface. The kernel runs duplicate
// address detection first (RFC 4862, section 5.4).
func (n *Namespace) AddressWithDAD(name, cidr string) {
	n.t.Helper()
	n.Sysctl("net.ipv6.conf."+name+".accept_dad", "1")
	n.Sysctl("net.ipv6.conf."+name+".dad_transmits", "1")
	a, err := netlink.ParseAddr(cidr)
	n.must(err, "parse address %s", cidr)
	n.must(n.Netlink.AddrAdd(n.Link(name), a), "add address %s to %s", cidr, name)
}

// RemoveAddress removes an address such as 2001:db8::1/64 from the interface.
func (n *Namespace) RemoveAddress(name, cidr string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	n.must(err, "parse address %s", cidr)
	n.must(n.Netlink.AddrDel(n.Link(name), a), "remove address %s from %s", cidr, name)
}

// DefaultRoute makes a router on the interface the default route.
func (n *Namespace) DefaultRoute(name string, router netip.Addr) {
	n.t.Helper()
	route := netlink.Route{LinkIndex: n.Index(name), Gw: router.AsSlice()}
	n.must(n.Netlink.RouteReplace(&route), "set the default route to %v on %s", router, name)
}

// LinkLocal waits until the interface's link-local address is usable and returns
// it, without a zone.
func (n *Namespace) LinkLocal(name string) netip.Addr {
	n.t.Helper()
	var found netip.Addr
	Eventually(n.t, name+" in "+n.name+" has a link-local address", func() bool {
		addrs, err := n.Netlink.AddrList(n.Link(name), netlink.FAMILY_V6)
		n.must(err, "list addresses of %s", name)
		for _, a := range addrs {
			if addr, _ := netip.AddrFromSlice(a.IP); addr.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				found = addr
			}
		}
		return found.IsValid()
	})
	return found
}

// Solicit makes the kernel solicit a neighbour, by sending a datagram to it. The
// kernel chooses the route. A link-local target needs a zone.
func (n *Namespace) Solicit(target netip.Addr) {
	n.t.Helper()
	const discard = 9
	var err error
	n.Do(func() {
		var c *net.UDPConn
		if c, err = net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(target, discard))); err != nil {
			return
		}
		defer c.Close()
		_, err = c.Write([]byte("?"))
	})
	n.must(err, "send a datagram to %v", target)
}

// Dial connects to a literal address from within the namespace; it makes the
// Namespace a dialer for nats.SetCustomDialer.
func (n *Namespace) Dial(network, address string) (net.Conn, error) {
	return n.DialContext(context.Background(), network, address)
}

// DialContext is Dial for an http.Transport.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial from namespace %s: %w", n.name, err)
	}
	// A client may still dial when the test has ended, so this must not fail it.
	done := make(chan struct{})
	enterErr := n.enter(func() {
		defer close(done)
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
	})
	if enterErr != nil {
		return nil, fmt.Errorf("dial from namespace %s: enter it: %w", n.name, enterErr)
	}
	<-done
	return c, err
}

// Listen listens on a literal address within the namespace.
func (n *Namespace) Listen(network, address string) net.Listener {
	n.t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen(network, address) })
	n.must(err, "listen on %s", address)
	n.t.Cleanup(func() { l.Close() })
	return l
}

func (n *Namespace) must(err error, format string, args ...any) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("namespace %s: %s: %v", n.name, fmt.Sprintf(format, args...), err)
	}
}
