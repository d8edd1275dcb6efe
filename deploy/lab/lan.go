package lab

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
)

// Prefix is the one on the master's link of a LAN.
var Prefix = netip.MustParsePrefix("2001:db8:5::/64")

// LAN is the network of a router behind which hosts make their addresses, permanent
// and temporary ones, of the prefix that a router upstream advertises (RFC 4862). All
// links meet in a switch, which has a bridge for each, so a host can be plugged into
// another one.
//
//	Upstream eth0 ─── m0 ─── m0 Router s1 ─── s1 ─── hosts, once they are plugged
//	                                   s2 ─── s2
//
// The router has 2001:db8:5::1/64 on m0, Upstream is GatewayAddress.
type LAN struct {
	*Namespace
	Upstream *Namespace

	links *Namespace
}

// NewLAN makes a LAN without hosts, in which radvd runs upstream. The options are
// further lines of radvd.conf(5) for the interface.
func NewLAN(t TB, options string) *LAN {
	t.Helper()
	l := &LAN{New(t, "router"), New(t, "upstream"), New(t, "switch")}
	l.Sysctl("net.ipv6.conf.all.forwarding", "1")
	l.Upstream.Sysctl("net.ipv6.conf.all.forwarding", "1")
	l.links.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	l.links.Veth("upstream", l.Upstream, "eth0")
	for _, link := range []string{Master, Slave1, Slave2} {
		l.links.Veth("router-"+link, l.Namespace, link)
		l.links.Bridge(link, "router-"+link)
		l.LinkLocal(link)
	}
	l.plug("upstream", Master)
	l.Address(Master, RouterAddress.String()+"/64")
	l.Upstream.Address("eth0", GatewayAddress.String()+"/64")
	l.Upstream.LinkLocal("eth0")
	l.Upstream.Radvd("interface eth0 {\nAdvSendAdvert on;\nprefix " + Prefix.String() + " {};\n" +
		"RDNSS " + GatewayAddress.String() + " {};\nDNSSL lab.example {};\n" + options + "};\n")
	return l
}

// Host makes a host at a port of the switch. Its eth0 is down.
func (l *LAN) Host(name string) *Namespace {
	l.t.Helper()
	h := New(l.t, name)
	for name, value := range map[string]string{"accept_dad": "1", "dad_transmits": "1", "accept_ra": "1", "use_tempaddr": "2",
		"router_solicitation_delay": "0"} { // or else up to 1 s, at random
		h.Sysctl("net.ipv6.conf.default."+name, value)
	}
	l.links.Veth(name, h, "eth0")
	h.Down("eth0")
	return h
}

// Plug plugs a host into the link of Master, Slave1 or Slave2. Its eth0 was down and is
// up on return.
func (l *LAN) Plug(h *Namespace, link string) {
	l.t.Helper()
	h.Down("eth0")
	l.plug(h.name, link)
	h.Up("eth0")
}

func (l *LAN) plug(port, link string) {
	l.t.Helper()
	l.must(l.links.Netlink.LinkSetMaster(l.links.Link(port), l.links.Link(link)), "plug %s into %s", port, link)
}

// Autoconfigured returns the address that a host of a LAN keeps (RFC 4862, section
// 5.5.3).
func (n *Namespace) Autoconfigured() netip.Addr {
	n.t.Helper()
	a, own := Prefix.Addr().As16(), LinkLocal(n.MAC("eth0")).As16()
	copy(a[8:], own[8:])
	return netip.AddrFrom16(a)
}

// Radvd starts radvd. It skips the test without radvd; in continuous integration
// (CI=true) the test fails instead.
func (n *Namespace) Radvd(config string) *Process {
	n.t.Helper()
	path, err := exec.LookPath("radvd")
	if err != nil {
		const why = "needs radvd, of Debian's package radvd: %v"
		if os.Getenv("CI") == "true" {
			n.t.Fatalf(why, err)
		}
		n.t.Skipf(why, err)
	}
	dir, err := os.MkdirTemp("", "radvd-")
	n.must(err, "make a folder for radvd")
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "radvd.conf")
	n.must(os.WriteFile(file, []byte(config), 0o600), "write radvd's configuration")
	return n.Start(Command{Path: path, Args: []string{
		"--nodaemon", "--logmethod", "stderr", "--config", file, "--pidfile", filepath.Join(dir, "radvd.pid")}})
}
