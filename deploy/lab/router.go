package lab

import (
	"net/netip"
)

// Router is the network of a router that relays solicitations: its prefix is
// configured on the master, and the hosts are behind the slaves.
//
//	Upstream eth0 ─── m0 Router s1 ─── eth0 Host1  2001:db8:5::41
//	                            s2 ─── eth0 Host2  2001:db8:5::42
//
// The router has 2001:db8:5::1/64 on m0 and link-local addresses on the slaves.
type Router struct {
	*Namespace
	Upstream, Host1, Host2 *Namespace
}

// The router's interfaces.
const (
	Master = "m0"
	Slave1 = "s1"
	Slave2 = "s2"
)

// RouterAddress, Host1Address and Host2Address are the global addresses in a
// Router's network. UnusedAddress is in its prefix, and no host has it.
var (
	RouterAddress = netip.MustParseAddr("2001:db8:5::1")
	Host1Address  = netip.MustParseAddr("2001:db8:5::41")
	Host2Address  = netip.MustParseAddr("2001:db8:5::42")
	UnusedAddress = netip.MustParseAddr("2001:db8:5::dead")
)

// NewRouter makes a Router. Its addresses are usable.
func NewRouter(t TB) *Router {
	t.Helper()
	r := &Router{New(t, "router"), New(t, "upstream"), New(t, "host1"), New(t, "host2")}
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	r.Veth(Master, r.Upstream, "eth0")
	r.Veth(Slave1, r.Host1, "eth0")
	r.Veth(Slave2, r.Host2, "eth0")
	r.Address(Master, RouterAddress.String()+"/64")
	r.Host1.Address("eth0", Host1Address.String()+"/64")
	r.Host2.Address("eth0", Host2Address.String()+"/64")
	for _, name := range []string{Master, Slave1, Slave2} {
		r.LinkLocal(name)
	}
	for _, host := range []*Namespace{r.Upstream, r.Host1, r.Host2} {
		host.LinkLocal("eth0")
	}
	return r
}

// GatewayAddress is the address of Upstream in a ProxyRouter.
var GatewayAddress = netip.MustParseAddr("2001:db8:5::9")

// ProxyRouter is a Router whose upstream treats the /64 as on-link, as a provider's
// router does. A ping from upstream to a host behind a slave gets no reply unless
// the router has a host route to the host and answers for it.
type ProxyRouter struct {
	*Router
	// Host is Host2Address with its prefix length, as the host has it.
	Host string
}

// NewProxyRouter makes a ProxyRouter. With onLink, the hosts treat the /64 as on-link
// too and solicit the gateway on their links. Without, they have a default route to
// the router.
func NewProxyRouter(t TB, onLink bool) *ProxyRouter {
	t.Helper()
	w := &ProxyRouter{NewRouter(t), Host2Address.String() + "/64"}
	w.Upstream.Address("eth0", GatewayAddress.String()+"/64")
	w.Host1.RemoveAddress("eth0", Host1Address.String()+"/64")
	if onLink {
		return w
	}
	w.Host2.RemoveAddress("eth0", w.Host)
	w.Host = Host2Address.String() + "/128"
	w.Host2.Address("eth0", w.Host)
	w.Host1.DefaultRoute("eth0", w.LinkLocal(Slave1))
	w.Host2.DefaultRoute("eth0", w.LinkLocal(Slave2))
	return w
}

// Move moves the host's address from host 2 to host 1.
type Move struct {
	// Name describes how.
	Name string
	Do   func(*ProxyRouter)
}

// Moves returns all kinds of moves.
func Moves() []Move {
	return []Move{
		{"unannounced", func(w *ProxyRouter) {
			w.Host2.RemoveAddress("eth0", w.Host)
			w.Host1.Address("eth0", w.Host)
		}},
		{"carrier lost", func(w *ProxyRouter) {
			w.Host2.Down("eth0")
			w.Host1.Address("eth0", w.Host)
		}},
		{"duplicate address detection", func(w *ProxyRouter) {
			w.Host2.RemoveAddress("eth0", w.Host)
			w.Host1.AddressWithDAD("eth0", w.Host)
		}},
	}
}
