package e2e

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
)

// tunnel is the interface of a tunnel, in every namespace.
const tunnel = "tun0"

// routeInto makes a route into the tunnel, with a large metric so that a prefix that is
// on-link elsewhere takes precedence.
func routeInto(t *testing.T, n *lab.Namespace, cidr string) *netlink.Route {
	t.Helper()
	_, prefix, err := net.ParseCIDR(cidr)
	route := &netlink.Route{LinkIndex: n.Index(tunnel), Dst: prefix, Priority: 4000, Family: netlink.FAMILY_V6}
	if err == nil {
		err = n.Netlink.RouteAdd(route)
	}
	if err != nil {
		t.Fatalf("route to %s: %v", cidr, err)
	}
	return route
}

// tunnelRouter is a router with the /64 on its master m0, behind which the gateway is,
// and a tunnel.
func tunnelRouter(t *testing.T, end *lab.Namespace) *lab.Router {
	t.Helper()
	r := &lab.Router{Namespace: lab.New(t, "router"), Upstream: lab.New(t, "upstream"), Host2: end}
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	r.Veth(lab.Master, r.Upstream, "eth0")
	r.Tun(tunnel, end, tunnel)
	r.Address(lab.Master, lab.RouterAddress.String()+"/64")
	r.Address(tunnel, "2001:db8:5::fe/128")
	r.Upstream.Address("eth0", lab.GatewayAddress.String()+"/64")
	r.LinkLocal(lab.Master)
	routeInto(t, end, "::/0")
	return r
}

// relaysInto starts ndmon on a router with other masters and slaves than a lab.Router's.
func relaysInto(t *testing.T, n *lab.Namespace, master, slaves string) *lab.Process {
	t.Helper()
	p := n.Start(builtin("ndmon", "--data", t.TempDir(), "-m", master, "-s", slaves, "--route", "--proxy", "-l", "debug"))
	p.Stderr.WaitFor("pinger ready")
	p.Stderr.WaitFor("msg=capturing")
	return p
}

// reaches reports whether a TCP connection to an address can be made.
func reaches(n *lab.Namespace, to netip.Addr) func() bool {
	return func() bool {
		c, err := n.Dial("tcp", netip.AddrPortFrom(to, 7).String())
		if err == nil {
			c.Close()
		}
		return err == nil
	}
}

// answersOnlyTCP makes host 2 drop all echo requests, and accept connections.
func answersOnlyTCP(t *testing.T, peer *lab.Namespace) {
	t.Helper()
	peer.Sysctl("net.ipv6.icmp.echo_ignore_all", "1")
	l := peer.Listen("tcp", netip.AddrPortFrom(lab.Host2Address, 7).String())
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Close()
		}
	}()
}

// A peer of a tunnel is answered for on the master although it drops all echo requests,
// as long as a route leads to it.
func TestPeerOfATunnelIsAnsweredFor(t *testing.T) {
	t.Parallel()
	peer := lab.New(t, "peer")
	r := tunnelRouter(t, peer)
	peer.Address(tunnel, lab.Host2Address.String()+"/128")
	answersOnlyTCP(t, peer)
	route := routeInto(t, r.Namespace, "2001:db8:5::40/124")
	p := relaysInto(t, r.Namespace, lab.Master, tunnel)
	lab.Eventually(t, "the gateway reaches the peer", reaches(r.Upstream, lab.Host2Address))
	if routes := hostRoutes(r); len(routes) > 0 {
		t.Errorf("host routes where a route leads already: %v", routes)
	}
	if err := r.Netlink.RouteDel(route); err != nil {
		t.Fatal(err)
	}
	p.Stderr.WaitFor("the tunnel does not lead to the target any more", "target="+lab.Host2Address.String())
	forget(t, r.Upstream)
	r.Upstream.Solicit(lab.Host2Address)
	lab.Eventually(t, "without the route, no one answers for the peer", func() bool {
		return r.Upstream.NeighbourState("eth0", lab.Host2Address) == "FAILED"
	})
	stop(t, p)
	clean(t, r)
}

// forget deletes host 2 from the gateway's neighbour cache.
func forget(t *testing.T, upstream *lab.Namespace) {
	t.Helper()
	err := upstream.Netlink.NeighDel(&netlink.Neigh{LinkIndex: upstream.Index("eth0"), IP: lab.Host2Address.AsSlice(), Family: netlink.FAMILY_V6})
	if err != nil {
		t.Fatal(err)
	}
}

// A host at home is reached through the tunnel between a server, which has the /64 on its
// link, and the router at home, whose master is the tunnel. The hosts at home send
// nothing but duplicate address detection.
func TestTunnelAsSlaveAndAsMaster(t *testing.T) {
	t.Parallel()
	home := &lab.Router{Namespace: lab.New(t, "home"), Host1: lab.New(t, "host1"), Host2: lab.New(t, "host2")}
	server := tunnelRouter(t, home.Namespace)
	home.Sysctl("net.ipv6.conf.all.forwarding", "1")
	home.Veth(lab.Slave1, home.Host1, "eth0")
	home.Veth(lab.Slave2, home.Host2, "eth0")
	home.Address(tunnel, "2001:db8:5::2/64")
	home.Host1.DefaultRoute("eth0", home.LinkLocal(lab.Slave1))
	home.Host2.DefaultRoute("eth0", home.LinkLocal(lab.Slave2))
	routeInto(t, server.Namespace, "2001:db8:5::/64")
	atServer := relaysInto(t, server.Namespace, lab.Master, tunnel)
	atHome := relaysInto(t, home.Namespace, tunnel, lab.Slave1+","+lab.Slave2)
	atHome.Stderr.WaitFor("msg=capturing", "interface="+lab.Slave2)

	host := lab.Host2Address.String() + "/128"
	home.Host2.AddressWithDAD("eth0", host)
	learned := func(slave string) {
		t.Helper()
		lab.Eventually(t, "a host route through "+slave, func() bool {
			return slices.Equal(to(lab.Host2Address, hostRoutes(home)), []string{host + " dev " + slave})
		})
	}
	learned(lab.Slave2)
	ping := server.Upstream.Ping(lab.Host2Address, often)
	ping.WaitForReply()
	settled(t, ping, 50)
	// It moves, and is learned there.
	home.Host2.RemoveAddress("eth0", host)
	home.Host1.AddressWithDAD("eth0", host)
	learned(lab.Slave1)
	ping.WaitForReply()
	settled(t, ping, 50)
	stop(t, atHome)
	clean(t, home)
	stop(t, atServer)
	clean(t, server)
}
