//go:build linux

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
	"github.com/ndmon/ndmon/schemas/decode"
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

// newVictim makes a host with the address 2001:db8:1::1/64 that follows Router
// Advertisements in everything, or a router that does not.
func newVictim(t *testing.T, router bool) *victim {
	t.Helper()
	pin(t)
	v := &victim{Namespace: lab.New(t, "victim"), t: t}
	other := lab.New(t, "wire")
	other.Sysctl("net.ipv6.conf.default.disable_ipv6", "1") // the test alone speaks there
	if router {
		v.Sysctl("net.ipv6.conf.all.forwarding", "1")
	}
	v.Veth("eth0", other, "eth0")
	for name, value := range map[string]string{
		"conf.eth0.accept_ra":                    "1",
		"conf.eth0.accept_ra_rt_info_max_plen":   "128",
		"conf.eth0.max_addresses":                "0", // no limit
		"conf.eth0.router_solicitation_delay":    "0",
		"neigh.eth0.retrans_time_ms":             "60000", // what the host looks for or tests stays so
		"neigh.eth0.base_reachable_time_ms":      "600000",
		"neigh.eth0.delay_first_probe_time":      "60",
		"conf.eth0.router_solicitations":         "0",
		"conf.eth0.accept_redirects":             "1",
		"conf.eth0.accept_ra_min_hop_limit":      "1",
		"conf.eth0.drop_unsolicited_na":          "0",
		"conf.eth0.suppress_frag_ndisc":          "1", // the default, as those above
		"conf.eth0.drop_unicast_in_l2_multicast": "0",
	} {
		v.Sysctl("net.ipv6."+name, value)
	}
	v.index = v.Link("eth0").Attrs().Index
	v.mac, v.address = v.MAC("eth0"), v.LinkLocal("eth0")
	v.Address("eth0", "2001:db8:1::1/64")
	v.neighbour(peerAddress, peerMAC, netlink.NUD_PERMANENT)
	if !router {
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
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(all) * 8 {
		if all.IsSet(i) {
			one.Set(i)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
}

// neighbour gives the host an entry of its neighbour table.
func (v *victim) neighbour(addr netip.Addr, mac net.HardwareAddr, state int) {
	v.t.Helper()
	err := v.Netlink.NeighSet(&netlink.Neigh{LinkIndex: v.index, Family: unix.AF_INET6, State: state, IP: addr.AsSlice(), HardwareAddr: mac})
	if err != nil {
		v.t.Fatalf("set neighbour %v: %v", addr, err)
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

// attempt is a message with a fault, and what a Linux host made of it.
type attempt struct {
	name   string // "KIND: FAULT"
	kind   string
	frames [][]byte
	took   []string // in the words of beliefs
}

// attempts delivers every kind of message with every fault that it can have to a
// host of its own.
func attempts(t *testing.T) []attempt {
	t.Helper()
	var all []attempt
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			v := newVictim(t, k.router)
			for i, f := range faults() {
				if !f.of(k) {
					continue
				}
				g := &given{v: v, kind: k, n: uint16(i + 1)}
				g.Message = k.message(g)
				if f.message != nil {
					f.message(g)
				}
				frames := [][]byte{g.Frame()}
				if f.frames != nil {
					frames = f.frames(frames[0])
				}
				if k.prepare != nil {
					k.prepare(g)
				}
				before := v.beliefs(g.destination())
				v.deliver(frames...)
				if k.settle != nil {
					k.settle(g)
				}
				after := v.beliefs(g.destination())
				all = append(all, attempt{k.name + ": " + f.name, k.name, frames, after.without(before)})
			}
		})
	}
	return all
}

// A message from which a Linux host takes anything is never one that ours calls
// discarded, and what the host takes is in the event. Where the host takes
// nothing of a message that is not discarded, differs says why.
func TestWhatLinuxTakesIsNotDiscarded(t *testing.T) {
	list := attempts(t)
	differs := differs()
	var d decode.Decoder
	for _, a := range list {
		var event *schemas.Event
		discarded := false
		said := beliefs{}
		for _, frame := range a.frames {
			e, ok := d.Decode(frame, len(frame))
			if !ok {
				continue
			}
			event = e
			discarded = discarded || e.Fault.Discard()
			maps.Copy(said, claims(e))
		}
		why, known := differs[a.name]
		delete(differs, a.name)
		t.Logf("%-60s took %q, discarded %v, seen %v", a.name, a.took, discarded, event != nil)
		switch {
		case len(a.took) > 0 && event == nil:
			t.Errorf("%s: Linux takes %q of a frame that is no event: %x", a.name, a.took, a.frames)
		case len(a.took) > 0 && discarded:
			t.Errorf("%s: Linux takes %q of a message that we call discarded: %x", a.name, a.took, a.frames)
		case len(a.took) > 0:
			for _, one := range a.took {
				if !said[one] {
					t.Errorf("%s: Linux takes %q, the event does not say it, only %q: %x", a.name, one, said.without(nil), a.frames)
				}
			}
		case event != nil && !discarded && !known:
			t.Errorf("%s: Linux takes nothing of a message that we do not call discarded: %x", a.name, a.frames)
		}
		if known && (len(a.took) > 0 || event == nil || discarded) {
			t.Errorf("%s: listed as a difference (%s), but is none: taken %q, discarded %v", a.name, why, a.took, discarded)
		}
		if strings.HasSuffix(a.name, ": none") && len(a.took) == 0 {
			t.Errorf("%s: Linux takes nothing of a message in order", a.name)
		}
	}
	for name := range differs {
		t.Errorf("a difference is listed that was not tried: %s", name)
	}
}
