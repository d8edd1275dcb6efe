package lab

import "net/netip"

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
