package lab

import "net/netip"

// GatewayAddress is the address of Upstream in a ProxyRouter.
var GatewayAddress = netip.MustParseAddr("2001:db8:5::9")

// ProxyRouter is a Router whose upstream treats the /64 as on-link, as a provider's
// router does. A ping from upstream to a host behind a slave gets no reply unless
// the router has a host route and a proxy entry for the host.
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
