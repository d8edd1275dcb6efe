package sensor

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

func TestInterfaceComesAndGoes(t *testing.T) {
	router, host := lab.New(t, "router"), lab.New(t, "host")
	r := start(t, router, config("eth0"))
	r.logs(t, 1, "level=WARN", "waiting for interfaces", "wanted=eth0", "existing=lo")

	for n := 1; n <= 3; n++ {
		router.Veth("eth0", host, "eth0")
		host.Address("eth0", "2001:db8::2/64")
		r.capturing(t, "eth0", n)
		target := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(0x10 + n)}).String()
		r.solicited(t, host, "eth0", target)
		router.Delete("eth0")
		r.logs(t, n, "interface is gone", "interface=eth0")
		r.logs(t, n+1, "waiting for interface", "wanted=eth0")
		lab.Eventually(t, "no interface is captured", func() bool { return r.metric(t, "nd_sensor_interfaces") == 0 })
	}
	r.stop(t)
	for words, want := range map[string]int{"waiting for interface": 4, "msg=capturing": 3, "interface is gone": 3} {
		if n := r.log.count(words); n != want {
			t.Errorf("%d lines with %q, not %d", n, words, want)
		}
	}
	if n := r.metric(t, "nd_sensor_frames_total"); n != 0 {
		t.Errorf("the series of an interface that is gone are still there: %v", n)
	}
}

// An interface that is deleted and made again at the same index before the
// sensor looks must not be mistaken for the old one.
func TestSameIndexAgain(t *testing.T) {
	router, host := lab.New(t, "router"), lab.New(t, "host")
	router.Veth("eth0", host, "eth0")
	sel, err := config("eth0").selection()
	check(t, err)
	s, log := newTestSensor(t, &recorder{}), &logBook{}
	s.Log = slog.New(slog.NewTextHandler(log, nil))
	f := newFollower(s, sel)
	update := func() {
		t.Helper()
		var err error
		if router.Do(func() { err = f.update() }); err != nil {
			t.Fatal(err)
		}
	}
	update()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "eth0", router.Link("eth0").Attrs().Index
	router.Delete("eth0")
	router.Add(&netlink.Bridge{LinkAttrs: attrs})
	update()
	if log.count("interface is gone", "interface=eth0") != 1 || log.count("msg=capturing") != 2 {
		t.Errorf("the log is\n%s", log)
	}
	if tap := f.taps[attrs.Index]; tap == nil || !tap.handle.Bound() {
		t.Error("the new interface is not captured")
	}
	f.end()
}

func TestDownAndUp(t *testing.T) {
	r, router, host := startPair(t, config("eth0"))
	r.next(t, func() { router.Down("eth0") }, "interface is down", "interface=eth0")
	r.next(t, func() { router.Up("eth0") }, "interface is up", "interface=eth0")
	r.solicited(t, host, "eth0", "2001:db8::7")

	r.next(t, func() { host.Down("eth0") }, "interface is without carrier", "interface=eth0")
	r.next(t, func() { host.Up("eth0") }, "interface is up", "interface=eth0")
	if n := r.log.count("msg=capturing"); n != 1 {
		t.Errorf("captured %d times: the handles were not kept", n)
	}
}

// An interface that is down when it is opened is captured from the moment that
// it is up: duplicate address detection is the first that happens then.
func TestDownAtFirst(t *testing.T) {
	router, host := lab.New(t, "router"), lab.New(t, "host")
	router.Veth("eth0", host, "eth0")
	router.Down("eth0")
	for _, name := range []string{"accept_dad", "dad_transmits"} {
		router.Sysctl("net.ipv6.conf.eth0."+name, "1")
	}
	r := start(t, router, config("eth0"))
	r.logs(t, 1, "msg=capturing", "state=down")
	router.Up("eth0")
	r.sees(t, "duplicate address detection", func(m message) bool {
		return m.event.Direction == schemas.Out && m.event.ND.NS != nil && m.event.Inet6.Source.IsUnspecified()
	})
}

func TestAddressAndNameChange(t *testing.T) {
	r, router, host := startPair(t, config("eth*"))
	mac := schemas.MAC{2, 0, 0, 0, 0, 0x42}
	link := router.Link("eth0")
	check(t, router.Netlink.LinkSetHardwareAddr(link, mac[:]))
	r.logs(t, 1, "changed its Ethernet address", "to=02:00:00:00:00:42")
	router.Solicit(netip.MustParseAddr("2001:db8::8"))
	m := r.sees(t, "an NS after the change", solicitation("eth0", schemas.Out, "2001:db8::8"))
	if m.event.Ethernet.Source != mac {
		t.Errorf("sent from %v", m.event.Ethernet.Source)
	}

	router.Down("eth0")
	r.logs(t, 1, "interface is down")
	check(t, router.Netlink.LinkSetName(link, "eth9"))
	r.logs(t, 1, "interface was renamed", "interface=eth0", "name=eth9")
	r.capturing(t, "eth9", 1)
	router.Up("eth9")
	r.solicited(t, host, "eth9", "2001:db8::9")

	router.Down("eth9")
	check(t, router.Netlink.LinkSetName(link, "wan"))
	r.logs(t, 1, "interface was renamed", "interface=eth9", "name=wan")
	r.logs(t, 1, "waiting for interface", `wanted=eth*`)
}

func TestSelectByPrefix(t *testing.T) {
	router, host := lab.New(t, "router"), lab.New(t, "host")
	router.Veth("one", host, "h1")
	router.Veth("two", host, "h2")
	router.Address("one", "10.1.2.3/24")
	c := config("10.0.0.0/8")
	c.Masters, c.Proxies = []string{"2001:db8::/32"}, []string{"172.16.0.0/12"}
	r := start(t, router, c)
	r.logs(t, 1, "msg=capturing", "interface=one ", "master=false")
	r.logs(t, 1, "waiting for interfaces", "wanted=2001:db8::/32")

	router.Address("two", "2001:db8:1::1/64")
	r.logs(t, 1, "msg=capturing", "interface=two ", "master=true")
	host.Address("h2", "2001:db8:1::2/64")
	if m := r.solicited(t, host, "two", "2001:db8:1::3"); !m.event.Master {
		t.Error("the event of a master has no mark")
	}

	// An interface may become a master or a proxy later.
	router.Address("one", "2001:db8:2::1/64")
	r.logs(t, 1, "msg=capturing", "interface=one ", "master=true", "proxy=false")
	router.Address("one", "172.16.0.1/24")
	r.logs(t, 1, "msg=capturing", "interface=one ", "master=true", "proxy=true")
	host.Address("h1", "2001:db8:2::2/64")
	if m := r.solicited(t, host, "one", "2001:db8:2::3"); !m.event.Master || !m.event.Proxy {
		t.Error("the event of a master and proxy has not both marks")
	}

	addr, err := netlink.ParseAddr("2001:db8:1::1/64")
	check(t, err)
	check(t, router.Netlink.AddrDel(router.Link("two"), addr))
	r.logs(t, 1, "no longer selected", "interface=two")
}

func TestAllInterfaces(t *testing.T) {
	n, host := lab.New(t, "router"), lab.New(t, "host")
	r := start(t, n, config())
	r.logs(t, 1, "waiting for interface", "no Ethernet interface is up")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "b"
	n.Add(&netlink.Bridge{LinkAttrs: attrs}) // which is down
	attrs.Name = "br0"
	n.Add(&netlink.Bridge{LinkAttrs: attrs})
	attrs.Name = "tun0"
	n.Add(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN})
	n.Up("tun0")
	n.Up("br0")
	n.Veth("a", host, "a")
	r.capturing(t, "a", 1)
	r.capturing(t, "br0", 1)
	r.next(t, func() { n.Down("a") }, "interface is down", "interface=a")
	r.next(t, func() { n.Up("a") }, "interface is up", "interface=a")
	if r.metric(t, "nd_sensor_interfaces") != 2 || r.log.count("msg=capturing") != 2 {
		t.Error("captured is not just what is Ethernet and was up")
	}
}

// A slave or master without Ethernet is reported once, and is not waited for.
func TestNotEthernet(t *testing.T) {
	n := lab.New(t, "router")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tun0"
	n.Add(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN})
	c := config()
	c.Masters, c.Proxies = []string{"tun*"}, []string{"wg0"}
	var health atomic.Pointer[error]
	log := &logBook{}
	r := start(t, n, c, func(d *Deps) {
		d.PortsReported = true
		d.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		d.Health = func(err error) { health.Store(&err) }
	})
	const message = "interface has no Neighbor Discovery frames to capture"
	r.log = log
	r.logs(t, 1, "level=INFO", message, "interface=tun0", "type=none")
	r.logs(t, 1, "level=DEBUG", "waiting for interfaces", "wanted=wg0", "existing=lo,tun0")
	n.Up("tun0")
	n.Bridge("wg0")
	r.capturing(t, "wg0", 1)
	r.stop(t)
	if r.log.count(message) != 1 || r.log.count("level=WARN") != 0 {
		t.Errorf("the log is\n%s", r.log)
	}
	if err := health.Load(); err == nil || *err != nil {
		t.Error("a link without Ethernet is reported as a fault")
	}
}
