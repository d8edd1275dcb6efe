package e2e

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Where all are honest, nothing is raised above info, and a host that boots for
// the first time is at most two lines: that it is there, and which address it
// has made itself.
func TestQuietLink(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		vendor   []byte // of the Ethernet addresses, which else are locally administered
		observer string
	}{
		{"ndmon on the router", nil, "router"},
		{"ndmon on a host, with addresses of a maker", []byte{0, 0, 0x0c}, "host5"}, // Cisco's
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			q := newHonestLink(t, tc.vendor)
			radvd := q.startRadvd()
			observer, port, booting := q.router, "lan", q.hosts
			if tc.observer != "router" {
				last := len(q.hosts) - 1
				observer, port, booting = q.hosts[last], "eth0", q.hosts[:last]
				observer.Up(port)
				q.booted(observer)
			}
			ndmon := observer.Start(builtin("ndmon", "-i", port, "--host", "r1", "--data", t.TempDir()))
			ndmon.Stderr.WaitFor("msg=capturing")

			for _, h := range booting {
				h.Up("eth0")
			}
			for _, h := range booting {
				q.booted(h)
			}
			q.talk()
			first := len(q.seen(ndmon, 1))

			rebooting, private := q.hosts[0], q.hosts[1]
			reboot := func() {
				rebooting.Down("eth0")
				rebooting.Up("eth0")
			}
			reboot()
			q.booted(rebooting)
			const privacy = "2001:db8:5:0:91c4:a3f:7be0:52d6"
			private.AddressWithDAD("eth0", privacy+"/64")
			lab.Eventually(t, "the privacy address can be used", func() bool {
				return slices.Contains(usable(t, private), netip.MustParseAddr(privacy))
			})
			q.talk()
			if status := radvd.Stop(); status != 0 {
				t.Errorf("exit status %d of radvd", status)
			}
			for _, h := range q.hosts {
				lab.Eventually(t, "the host has no router", func() bool { return !hasRouter(t, h) })
			}
			reboot()
			rebooting.LinkLocal("eth0") // that there is no router now takes a while
			q.startRadvd()
			for _, h := range q.hosts {
				q.booted(h)
			}
			q.talk()

			q.check(q.seen(ndmon, 2), first)
		})
	}
}

// check checks the alerts, of which the first ones are about the first boot.
func (q *honestLink) check(alerts []alert, first int) {
	q.t.Helper()
	for i, h := range q.hosts {
		var lines []string
		for _, a := range alerts[:first] {
			if a.Event.Ethernet != nil && a.Event.Ethernet.Source == h.MAC("eth0").String() {
				lines = append(lines, a.Rule+": "+a.Summary)
			}
		}
		if len(lines) > 2 {
			q.t.Errorf("%d lines for the first boot of host%d, want at most 2: %q", len(lines), i+1, lines)
		}
	}
	for _, a := range alerts {
		if a.Severity != "info" {
			q.t.Errorf("%s %s: %s", a.Severity, a.Rule, a.Summary)
		}
	}
}

// honestLink is a link: a router that runs radvd, and hosts that make their addresses
// of its prefix, stable ones and private ones, at the ports of a switch. The
// hosts' interfaces are down.
type honestLink struct {
	t      *testing.T
	router *lab.Namespace
	hosts  []*lab.Namespace
}

var (
	quietRouter = netip.MustParseAddr("2001:db8:5::1")
	quietPrefix = netip.PrefixFrom(quietRouter, 64).Masked()
)

func newHonestLink(t *testing.T, vendor []byte) *honestLink {
	t.Helper()
	q := &honestLink{t: t, router: lab.New(t, "router")}
	q.router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	bridge := lab.New(t, "switch")
	bridge.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	bridge.Veth("p0", q.router, "lan")
	ports := []string{"p0"}
	setMAC(t, q.router, "lan", vendor, 0)
	for i := 1; i <= 5; i++ {
		h := lab.New(t, "host"+strconv.Itoa(i))
		for name, value := range map[string]string{"accept_dad": "1", "dad_transmits": "1", "accept_ra": "1", "use_tempaddr": "2"} {
			h.Sysctl("net.ipv6.conf.default."+name, value)
		}
		port := "p" + strconv.Itoa(i)
		bridge.Veth(port, h, "eth0")
		h.Down("eth0")
		setMAC(t, h, "eth0", vendor, byte(i))
		q.hosts = append(q.hosts, h)
		ports = append(ports, port)
	}
	bridge.Bridge("br0", ports...)
	q.router.Up("lan")
	q.router.Address("lan", quietRouter.String()+"/64")
	q.router.LinkLocal("lan")
	return q
}

// setMAC gives an interface, which is down then, an Ethernet address of a maker.
func setMAC(t *testing.T, n *lab.Namespace, name string, vendor []byte, number byte) {
	t.Helper()
	if vendor == nil {
		return
	}
	n.Down(name)
	mac := append(net.HardwareAddr(vendor[:3:3]), 5, 0, number)
	if err := n.Netlink.LinkSetHardwareAddr(n.Link(name), mac); err != nil {
		t.Fatalf("give %s the Ethernet address %v: %v", name, mac, err)
	}
}

// startRadvd starts radvd with its defaults.
func (q *honestLink) startRadvd() *lab.Process {
	q.t.Helper()
	return q.router.Radvd(`interface lan {
	AdvSendAdvert on;
	prefix 2001:db8:5::/64 {};
	RDNSS 2001:db8:5::1 {};
};
`)
}

// booted waits until a host has a router, and an address of its prefix as well as
// a private one.
func (q *honestLink) booted(h *lab.Namespace) {
	q.t.Helper()
	lab.Eventually(q.t, "a host has a router and both addresses", func() bool { return hasRouter(q.t, h) && len(usable(q.t, h)) >= 2 })
}

// usable returns the addresses of a host in the prefix, but for those that are
// tentative.
func usable(t *testing.T, h *lab.Namespace) (list []netip.Addr) {
	t.Helper()
	addrs, err := h.Netlink.AddrList(h.Link("eth0"), netlink.FAMILY_V6)
	must(t, err)
	for _, a := range addrs {
		if addr, _ := netip.AddrFromSlice(a.IP); quietPrefix.Contains(addr) && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			list = append(list, addr)
		}
	}
	return list
}

func hasRouter(t *testing.T, h *lab.Namespace) bool {
	t.Helper()
	routes, err := h.Netlink.RouteList(h.Link("eth0"), netlink.FAMILY_V6)
	must(t, err)
	return slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Gw != nil })
}

// talk has all talk to the router, and each host to all addresses of the next.
func (q *honestLink) talk() {
	q.t.Helper()
	ping := func(from *lab.Namespace, to netip.Addr) {
		p := from.Ping(to, 100*time.Millisecond)
		p.WaitForReply()
		p.Stop()
	}
	for i, h := range q.hosts {
		ping(h, quietRouter)
		for _, to := range usable(q.t, q.hosts[(i+1)%len(q.hosts)]) {
			ping(h, to)
			ping(q.router, to)
		}
	}
}

// seen returns the alerts of all frames so far: the n-th frame of a stranger,
// which has an alert, marks their end.
func (q *honestLink) seen(ndmon *lab.Process, n int) (alerts []alert) {
	q.t.Helper()
	marker := lab.Advertisement(net.HardwareAddr{0, 0, 0x0c, 9, 9, byte(n)}, netip.MustParseAddr("fe80::9"), netip.MustParseAddr("fe80::9"))
	marker.HopLimit = 1
	q.hosts[2].Wire("eth0").Send(marker.Frame())
	from := func(a alert) bool {
		return a.Event.Ethernet != nil && strings.HasPrefix(a.Event.Ethernet.Source, "00:00:0c:09:09:")
	}
	lab.Eventually(q.t, "the marker is alerted", func() bool {
		alerts = printed(q.t, ndmon)
		return slices.ContainsFunc(alerts, func(a alert) bool { return from(a) && a.Event.Ethernet.Source == marker.EthernetSource.String() })
	})
	return slices.DeleteFunc(alerts, from)
}
