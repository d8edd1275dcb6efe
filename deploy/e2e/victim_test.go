package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// victim is a Linux host whose only neighbour is the test.
type victim struct {
	*lab.Namespace
	t       *testing.T
	wire    *lab.Wire // the other end of the host's eth0
	index   int
	mac     net.HardwareAddr
	address netip.Addr // link-local
	echoes  uint16     // echo requests sent so far
}

// The station that the test speaks as when it has nothing to hide: the victim's
// default router, and the sender of echo requests.
var (
	peerMAC     = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	peerAddress = netip.MustParseAddr("fe80::1")
)

// newVictim makes the host for a kind of message. It has the address
// 2001:db8:1::1/64 and takes whatever the settings of Linux can have it take.
func newVictim(t *testing.T, k *kind) *victim {
	t.Helper()
	v := &victim{Namespace: lab.New(t, "host for "+k.name), t: t}
	other := lab.New(t, "wire")
	other.Sysctl("net.ipv6.conf.default.disable_ipv6", "1") // the test alone speaks there
	if k.router {
		v.Sysctl("net.ipv6.conf.all.forwarding", "1")
	}
	v.Veth("eth0", other, "eth0")
	for _, n := range []*lab.Namespace{v.Namespace, other} { // jumbo frames
		must(t, n.Netlink.LinkSetMTU(n.Link("eth0"), 9000))
	}
	for name, value := range map[string]string{
		"conf.eth0.accept_ra":                  "1",
		"conf.eth0.accept_ra_rt_info_max_plen": "128",
		"conf.eth0.max_addresses":              "0", // no limit
		"conf.eth0.suppress_frag_ndisc":        "0", // against RFC 6980
		"conf.all.accept_source_route":         "1",
		"conf.eth0.accept_source_route":        "1",
		"conf.all.seg6_enabled":                "1",
		"conf.eth0.seg6_enabled":               "1",
		// What the host looks for or tests stays so.
		"conf.eth0.router_solicitation_delay": "0",
		"neigh.eth0.retrans_time_ms":          "60000",
		"neigh.eth0.delay_first_probe_time":   "60",
		"neigh.eth0.base_reachable_time_ms":   "600000",
	} {
		v.Sysctl("net.ipv6."+name, value)
	}
	v.index = v.Link("eth0").Attrs().Index
	v.mac, v.address = v.MAC("eth0"), v.LinkLocal("eth0")
	v.Address("eth0", "2001:db8:1::1/64")
	v.neighbour(peerAddress, peerMAC, netlink.NUD_PERMANENT)
	if !k.router {
		v.DefaultRoute("eth0", peerAddress)
	}
	v.wire = other.Wire("eth0")
	return v
}

// pin keeps the test on one processor: what it sends comes out of a veth pair in
// the same order only then.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // the thread ends with the test
	var one, all unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	for i := range len(all) * 64 {
		if all.IsSet(i) {
			one.Set(i)
			break
		}
	}
	must(t, unix.SchedSetaffinity(0, &one))
}

// neighbour gives the host an entry of its neighbour table.
func (v *victim) neighbour(addr netip.Addr, mac net.HardwareAddr, state int) {
	v.t.Helper()
	err := v.Netlink.NeighSet(&netlink.Neigh{LinkIndex: v.index, Family: unix.AF_INET6, State: state, IP: addr.AsSlice(), HardwareAddr: mac})
	if err != nil {
		v.t.Fatalf("set neighbour %v: %v", addr, err)
	}
}

// forget empties the host's neighbour table, which shares the kernel's entries with
// those of all other hosts.
func (v *victim) forget() {
	v.t.Helper()
	list, err := v.Netlink.NeighList(v.index, netlink.FAMILY_V6)
	v.must(err)
	for _, n := range list {
		// The library takes an IPv4-mapped address for one of IPv4.
		if n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) == 0 && n.IP.To4() == nil {
			v.must(v.Netlink.NeighDel(&netlink.Neigh{LinkIndex: v.index, Family: unix.AF_INET6, IP: n.IP}))
		}
	}
}

// deliver sends frames and waits until the host has gone through them: until it
// has answered the echo request behind them.
func (v *victim) deliver(frames ...[]byte) {
	v.t.Helper()
	v.echoes++
	request := lab.Message{
		EthernetSource: peerMAC, EthernetDestination: v.mac, Source: peerAddress, Destination: v.address,
		HopLimit: 255, Type: 128, Body: binary.BigEndian.AppendUint16([]byte{0, 0}, v.echoes),
	}
	v.wire.Send(append(frames, request.Frame())...)
	v.await("the answer to the echo request", func(icmp6 []byte) bool {
		return icmp6[0] == 129 && binary.BigEndian.Uint16(icmp6[6:]) == v.echoes
	})
}

// await waits until the host sends an ICMPv6 message that is the one.
func (v *victim) await(what string, is func(icmp6 []byte) bool) {
	v.t.Helper()
	lab.Eventually(v.t, what, func() bool {
		return slices.ContainsFunc(v.wire.Frames(), func(f lab.Frame) bool {
			return !f.Out && len(f.Data) >= 54+8 && f.Data[20] == 58 && is(f.Data[54:])
		})
	})
}

func (v *victim) must(err error) {
	v.t.Helper()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		v.t.Fatal(err)
	}
}

func (v *victim) sysctl(path string) string {
	v.t.Helper()
	var data []byte
	var err error
	v.Do(func() { data, err = os.ReadFile("/proc/sys/net/ipv6/" + path) })
	v.must(err)
	return strings.TrimSpace(string(data))
}

// beliefs are what a host believes of its link, each in words that claims has
// too.
type beliefs map[string]bool

func (b beliefs) add(format string, args ...any) { b[fmt.Sprintf(format, args...)] = true }

// without returns what is not in the other, in its order.
func (b beliefs) without(other beliefs) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b)), func(s string) bool { return other[s] })
}

// The words of beliefs.
const (
	routeVia  = "%v is behind %v"
	onLink    = "%v is on the link"
	takes     = "takes addresses in %v"
	stationAt = "%v is at %v"
	isRouter  = "%v is a router"
	reachable = "%v is reachable"
	taken     = "%v is another's"
	hopLimit  = "hop limit %v"
	mtu       = "MTU %v"
	reachTime = "reachable time %v ms"
)

// beliefs returns what the host believes now, and where it sends what is for a
// destination.
func (v *victim) beliefs(destination netip.Addr) beliefs {
	v.t.Helper()
	b := beliefs{}
	addrs, err := v.Netlink.AddrList(v.Link("eth0"), netlink.FAMILY_V6)
	v.must(err)
	for _, a := range addrs {
		prefix := prefixOf(a.IPNet)
		switch {
		case a.Flags&unix.IFA_F_DADFAILED != 0:
			b.add(taken, prefix.Addr())
		case a.Flags&unix.IFA_F_PERMANENT == 0:
			b.add(takes, prefix.Masked())
		}
	}
	routes, err := v.Netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{LinkIndex: v.index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	v.must(err)
	for _, r := range routes {
		dst := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if r.Dst != nil {
			dst = prefixOf(r.Dst)
		}
		if len(r.Gw) == 0 {
			b.add(onLink, dst)
		} else {
			b.add(routeVia, dst, addressOf(r.Gw))
		}
	}
	if destination.IsValid() {
		routes, err := v.Netlink.RouteGet(destination.AsSlice())
		v.must(err)
		for _, r := range routes {
			if len(r.Gw) == 0 {
				b.add(routeVia, destination, destination)
			} else {
				b.add(routeVia, destination, addressOf(r.Gw))
			}
		}
	}
	neighbours, err := v.Netlink.NeighList(v.index, netlink.FAMILY_V6)
	v.must(err)
	for _, n := range neighbours {
		addr := addressOf(n.IP)
		if n.State == netlink.NUD_NOARP {
			continue // a group's, of its own
		}
		if len(n.HardwareAddr) > 0 && n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) == 0 {
			b.add(stationAt, addr, n.HardwareAddr)
		}
		if n.Flags&netlink.NTF_ROUTER != 0 {
			b.add(isRouter, addr)
		}
		if n.State == netlink.NUD_REACHABLE {
			b.add(reachable, addr)
		}
	}
	b.add(hopLimit, v.sysctl("conf/eth0/hop_limit"))
	b.add(mtu, v.sysctl("conf/eth0/mtu"))
	b.add(reachTime, v.sysctl("neigh/eth0/base_reachable_time_ms"))
	return b
}

func addressOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To16())
	return a
}

func prefixOf(n *net.IPNet) netip.Prefix {
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addressOf(n.IP), bits)
}

// claims returns what an event would have its receiver believe.
func claims(e *schemas.Event) beliefs {
	b := beliefs{}
	opt := e.ND.Opt
	if opt == nil {
		opt = &schemas.Options{}
	}
	source := e.Inet6.Source
	lladdr := func(addr netip.Addr, list []schemas.LinkLayer) {
		for _, o := range list {
			b.add(stationAt, addr, o.Address)
		}
	}
	switch nd := e.ND; {
	case nd.RA != nil:
		b.add(isRouter, source)
		b.add(hopLimit, nd.RA.CurHopLimit)
		b.add(reachTime, nd.RA.ReachableTimer)
		lladdr(source, opt.SourceLinkLayer)
		if nd.RA.Lifetime > 0 {
			b.add(routeVia, "::/0", source)
		}
		for _, o := range opt.PrefixInfo {
			prefix := netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked()
			if o.Flag.OnLink {
				b.add(onLink, prefix)
			}
			if o.Flag.Autoconf {
				b.add(takes, prefix)
			}
		}
		for _, o := range opt.RouteInfo {
			b.add(routeVia, netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).Masked(), source)
		}
		for _, o := range opt.MTU {
			b.add(mtu, o.MTU)
		}
	case nd.NS != nil && source.IsUnspecified():
		b.add(taken, nd.NS.TargetAddress)
	case nd.NA != nil:
		target := nd.NA.TargetAddress
		b.add(taken, target)
		lladdr(target, opt.TargetLinkLayer)
		if nd.NA.Flag.Router {
			b.add(isRouter, target)
		}
		if nd.NA.Flag.Solicited {
			b.add(reachable, target)
		}
	case nd.RD != nil:
		b.add(routeVia, nd.RD.DestinationAddress, nd.RD.TargetAddress)
		b.add(isRouter, nd.RD.TargetAddress)
		lladdr(nd.RD.TargetAddress, opt.TargetLinkLayer)
	default:
		lladdr(source, opt.SourceLinkLayer)
	}
	return b
}
