package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// startRA starts an ndmon that relays Router Advertisements, and waits until it does.
func startRA(t *testing.T, n *lab.Namespace) *lab.Process {
	t.Helper()
	p := n.Start(builtin("ndmon", "-m", lab.Master, "-s", lab.Slave1+","+lab.Slave2, "--route", "--proxy", "--ra", "-l", "debug", "--host", "r1", "--data", t.TempDir()))
	p.Stderr.WaitFor("relaying the Router Advertisements of a router")
	return p
}

// defaultRoute reports whether a host has a default route that it learned from an
// advertisement.
func defaultRoute(h *lab.Namespace) bool {
	return slices.Contains(h.Routes("proto 9"), "::/0 dev eth0 table 254 proto 9")
}

// advertisement is the content of a Router Advertisement.
type advertisement struct {
	source, ethernet, to string
	lifetime             uint16
	proxy                bool
	options              string // their types, with the link-layer address of the source
}

// advertisements returns the Router Advertisements that came in on a wire.
func advertisements(w *lab.Wire) (list []advertisement) {
	for _, f := range w.Frames() {
		p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
		ra, ok := p.Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement)
		if !ok || f.Out {
			continue
		}
		ip := p.NetworkLayer().(*layers.IPv6)
		a := advertisement{ip.SrcIP.String(), p.LinkLayer().(*layers.Ethernet).SrcMAC.String(), ip.DstIP.String(), ra.RouterLifetime, ra.Flags&0x04 != 0, ""}
		for _, o := range ra.Options {
			a.options += o.Type.String() + " "
			if o.Type == layers.ICMPv6OptSourceAddress {
				a.options += strings.ReplaceAll(schemas.MAC(o.Data).String(), a.ethernet, "own") + " "
			}
		}
		list = append(list, a)
	}
	return list
}

// firstAdvertisement waits for an advertisement of which accept is true.
func firstAdvertisement(t *testing.T, what string, w *lab.Wire, accept func(advertisement) bool) (a advertisement) {
	t.Helper()
	lab.Eventually(t, what, func() bool {
		list := advertisements(w)
		i := slices.IndexFunc(list, accept)
		if i >= 0 {
			a = list[i]
		}
		return i >= 0
	})
	return a
}

// A host behind a slave has an address, a default route and DNS servers of the router
// upstream; the default route goes when ndmon ends.
func TestRouterAdvertisements(t *testing.T) {
	t.Parallel()
	l := lab.NewLAN(t, "")
	p := startRA(t, l.Namespace)
	h := l.Host("host1")
	l.Plug(h, lab.Slave1)
	w := h.Wire("eth0")
	got := firstAdvertisement(t, "an advertisement", w, func(advertisement) bool { return true })
	want := advertisement{l.LinkLocal(lab.Slave1).String(), l.MAC(lab.Slave1).String(), got.to, got.lifetime, true, got.options}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(advertisement{})); diff != "" || got.lifetime == 0 {
		t.Errorf("advertisement (-want +got):\n%s", diff)
	}
	for _, option := range []string{"PrefixInfo", "(25)", "(31)", "SourceAddress own"} {
		if !strings.Contains(got.options, option) {
			t.Errorf("options are %s, without %s", got.options, option)
		}
	}
	lab.Eventually(t, "a default route", func() bool { return defaultRoute(h) })
	h.Ping(lab.GatewayAddress, often).WaitForReply()
	stop(t, p)
	firstAdvertisement(t, "the router is withdrawn", w, func(a advertisement) bool { return a.lifetime == 0 })
	lab.Eventually(t, "no default route", func() bool { return !defaultRoute(h) })
	// What this host relays is no alert where it leaves.
	for _, alert := range p.Stdout.Lines() {
		if strings.Contains(alert, `"nd":{"ra"`) && strings.Contains(alert, `"direction":"out"`) {
			t.Errorf("alert: %s", alert)
		}
	}
}

// What the router withdraws is withdrawn, and the advertisements of a rogue router are not
// relayed.
func TestRouterWithdrawnAndRogue(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	up, mac := r.Upstream.Wire("eth0"), r.Upstream.MAC("eth0")
	source := r.Upstream.LinkLocal("eth0")
	w := r.Host1.Wire("eth0")
	p := r.Start(builtin("ndmon", "-m", lab.Master, "-s", lab.Slave1, "--proxy", "--ra", "-l", "debug", "--host", "r1", "--data", t.TempDir()))
	p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
	p.Stderr.WaitFor("pinger ready")
	results := collect(t, connect(t, r.Namespace, localNATS), "nd.results.r1")
	up.Send(lab.RouterAdvertisement(mac, source, 1800).Frame())
	firstAdvertisement(t, "it is relayed", w, func(a advertisement) bool { return a.lifetime == 1800 && a.to == "ff02::1" })
	if got := parse[schemas.Result](t, next(t, results, "a result").Data); got.Slave != lab.Slave1 || got.Status != schemas.Relayed || got.Target != lab.AllNodes {
		t.Errorf("result is %+v", got)
	}
	rogue := []byte{2, 0, 0, 0, 0, 0x66}
	up.Send(lab.RouterAdvertisement(rogue, lab.LinkLocal(rogue), 1700).Frame())
	p.Stderr.WaitFor("no rule relays this router message", "source="+lab.LinkLocal(rogue).String())
	up.Send(lab.RouterAdvertisement(mac, source, 0).Frame())
	firstAdvertisement(t, "it is withdrawn", w, func(a advertisement) bool {
		if a.lifetime == 1700 {
			t.Error("the rogue router is relayed")
		}
		return a.lifetime == 0
	})
	stop(t, p)
}

// Two relays in a row, and then the second one's slave on the link of the first one's.
func TestRelaysInARow(t *testing.T) {
	t.Parallel()
	first, second := lab.NewRouter(t), lab.New(t, "second")
	first.Veth("s3", second, lab.Master)
	host := lab.New(t, "host")
	second.Veth(lab.Slave1, host, "eth0")
	second.Veth(lab.Slave2, lab.New(t, "other"), "eth0")
	second.Sysctl("net.ipv6.conf.all.forwarding", "1")
	for _, at := range []struct {
		n    *lab.Namespace
		name string
	}{{first.Namespace, "s3"}, {second, lab.Master}, {second, lab.Slave1}} {
		at.n.LinkLocal(at.name)
	}
	w := host.Wire("eth0")
	start := func(n *lab.Namespace, slaves string) *lab.Process {
		p := n.Start(builtin("ndmon", "-m", lab.Master, "-s", slaves, "--proxy", "--ra", "-l", "debug", "--data", t.TempDir()))
		p.Stderr.WaitFor("msg=capturing", "interface="+lab.Master)
		p.Stderr.WaitFor("pinger ready")
		return p
	}
	a, b := start(first.Namespace, lab.Slave1+",s3"), start(second, lab.Slave1)
	advertise := func(lifetime uint16) {
		first.Upstream.Send("eth0", lab.RouterAdvertisement(first.Upstream.MAC("eth0"), first.Upstream.LinkLocal("eth0"), lifetime).Frame())
	}
	advertise(1800)
	got := firstAdvertisement(t, "it passes both", w, func(a advertisement) bool { return a.lifetime == 1800 })
	if got.source != second.LinkLocal(lab.Slave1).String() || !got.proxy {
		t.Errorf("advertisement is %+v", got)
	}
	// A frame of another proxy behind the slave of the second.
	proxied := lab.RouterAdvertisement(host.MAC("eth0"), host.LinkLocal("eth0"), 1800)
	proxied.Body[1] |= 0x04
	host.Send("eth0", proxied.Frame())
	b.Stderr.WaitFor("level=WARN", "another proxy sends Router Advertisements", "slave="+lab.Slave1)
	advertise(1801)
	b.Stderr.WaitFor("outcome=loop")
	for _, a := range advertisements(w) {
		if a.lifetime == 1801 {
			t.Error("it is relayed in a loop")
		}
	}
	stop(t, b, a)
}

// Sensor, ruled and pinger apart.
func TestRouterAdvertisementsInAFleet(t *testing.T) {
	t.Parallel()
	r := lab.NewRouter(t)
	startBroker(t, r.Namespace)
	ruled := r.Start(with(builtin("nd-ruled"), "NATS_URL="+localNATS))
	ruled.Stderr.WaitFor("reading events")
	url, slaves := "NATS_URL="+localNATS, lab.Slave1+","+lab.Slave2
	sensor := r.Start(with(builtin("nd-sensor"), url, "SENSOR_HOST=r1", "SENSOR_MASTERS="+lab.Master, "SENSOR_PROXIES="+lab.Master+","+slaves))
	sensor.Stderr.WaitFor("msg=capturing", "interface="+lab.Slave2) // the last one
	pinger := r.Start(with(builtin("nd-pinger"), url, "PINGER_HOST=r1", "PINGER_MASTERS="+lab.Master, "PINGER_SLAVES="+slaves, "PINGER_PROXY=true", "PINGER_RA=true"))
	pinger.Stderr.WaitFor("pinger ready")
	w, mac := r.Host2.Wire("eth0"), r.Upstream.MAC("eth0")
	r.Upstream.Send("eth0", lab.RouterAdvertisement(mac, r.Upstream.LinkLocal("eth0"), 1800).Frame())
	firstAdvertisement(t, "it is relayed", w, func(a advertisement) bool { return a.lifetime == 1800 })
	w.Send(lab.RouterSolicitation(r.Host2.MAC("eth0"), r.Host2.LinkLocal("eth0")).Frame())
	firstAdvertisement(t, "the host is answered", w, func(a advertisement) bool {
		return netip.MustParseAddr(a.to) == r.Host2.LinkLocal("eth0")
	})
	stop(t, pinger)
	firstAdvertisement(t, "the router is withdrawn", w, func(a advertisement) bool { return a.lifetime == 0 })
	stop(t, sensor, ruled)
}
