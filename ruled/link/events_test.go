package link

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/schemas"
)

// Stations of the tests. The last digit is that of the link-local address too.
const (
	host     = "02:00:00:00:00:0a"
	other    = "02:00:00:00:00:0b"
	gateway  = "02:00:00:00:00:01"
	attacker = "02:00:00:00:00:66"

	hostLL     = "fe80::a"
	gatewayLL  = "fe80::1"
	attackerLL = "fe80::66"
)

var epoch = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// option changes an event of the tests.
type option func(*schemas.Event)

func after(d time.Duration) option { return func(e *schemas.Event) { e.Time = epoch.Add(d) } }
func to(addr string) option        { return func(e *schemas.Event) { e.Inet6.Destination = ip(addr) } }
func from(addr string) option      { return func(e *schemas.Event) { e.Inet6.Source = ip(addr) } }
func on(iface string) option       { return func(e *schemas.Event) { e.Interface = iface } }
func vlan(id uint16) option        { return func(e *schemas.Event) { e.Ethernet.VLAN = &id } }

// proxied is a frame that the host sent on an interface on which it answers for others.
func proxied(e *schemas.Event) { e.Proxy, e.Direction = true, schemas.Out }

// sent is a frame that the host has sent, forwarded one for another station.
func sent(e *schemas.Event)      { e.Direction = schemas.Out }
func forwarded(e *schemas.Event) { e.Forwarded = true }

// bare is an NA without a Target Link-Layer Address option.
func bare(e *schemas.Event) { e.ND.Opt.TargetLinkLayer = nil }

func toStation(addr string) option {
	return func(e *schemas.Event) { e.Ethernet.Destination = mac(addr) }
}

func nonce(value string) option {
	return func(e *schemas.Event) { options(e).Nonce = []schemas.Nonce{{Value: value}} }
}

func inner(id uint16) option { return func(e *schemas.Event) { e.Ethernet.InnerVLAN = &id } }

// lladdr sets the address in the Source or Target Link-Layer Address option.
func lladdr(addr string) option {
	return func(e *schemas.Event) {
		if e.ND.Opt == nil {
			e.ND.Opt = &schemas.Options{}
		}
		list := []schemas.LinkLayer{{Address: mac(addr)}}
		if e.ND.NA != nil || e.ND.RD != nil {
			e.ND.Opt.TargetLinkLayer = list
		} else {
			e.ND.Opt.SourceLinkLayer = list
		}
	}
}

func flags(f string) option {
	return func(e *schemas.Event) {
		if e.ND.RA != nil {
			e.ND.RA.Flag.Managed, e.ND.RA.Flag.Other = strings.Contains(f, "M"), strings.Contains(f, "O")
			return
		}
		e.ND.NA.Flag = schemas.NAFlags{Router: strings.Contains(f, "R"), Solicited: strings.Contains(f, "S"), Override: strings.Contains(f, "O")}
	}
}

// cut makes it a frame of which only a part was captured.
func cut(e *schemas.Event) { e.ND.Truncated = true }

func fault(f schemas.Fault) option { return func(e *schemas.Event) { e.Fault = &f } }

// discard is a fault for which receivers discard the message.
func discard(e *schemas.Event) { e.Fault = &schemas.Fault{Checksum: true, Discarded: true} }

func prefix(p string, lifetimes ...uint32) option {
	return func(e *schemas.Event) {
		parsed := netip.MustParsePrefix(p)
		info := schemas.PrefixInfo{
			Prefix: parsed.Addr(), PrefixLength: uint8(parsed.Bits()),
			Flag: schemas.PrefixInfoFlags{OnLink: true, Autoconf: true}, ValidLifetime: 86400, PreferredLifetime: 14400,
		}
		if len(lifetimes) == 2 {
			info.ValidLifetime, info.PreferredLifetime = lifetimes[0], lifetimes[1]
		}
		options(e).PrefixInfo = append(options(e).PrefixInfo, info)
	}
}

func options(e *schemas.Event) *schemas.Options {
	if e.ND.Opt == nil {
		e.ND.Opt = &schemas.Options{}
	}
	return e.ND.Opt
}

// stub makes it the RA of a stub router.
func stub(r *schemas.RA) { r.Lifetime, r.Flag.SNAC = 0, true }

func radvert(change func(*schemas.RA)) option { return func(e *schemas.Event) { change(e.ND.RA) } }

func mtu(n uint32) option {
	return func(e *schemas.Event) { options(e).MTU = []schemas.MTU{{MTU: n}} }
}

func rdnss(addr string, lifetime uint32) option {
	return func(e *schemas.Event) {
		options(e).RDNSS = []schemas.RDNSS{{Lifetime: lifetime, Address: []netip.Addr{ip(addr)}}}
	}
}

// pref64 has a lifetime of 1800 s unless another is given.
func pref64(p string, lifetime ...uint16) option {
	return func(e *schemas.Event) {
		parsed := netip.MustParsePrefix(p)
		options(e).PREF64 = []schemas.PREF64{{Prefix: parsed.Addr(), PrefixLength: uint8(parsed.Bits()), Lifetime: append(lifetime, 1800)[0]}}
	}
}

func unknown(number uint8, content ...string) option {
	return func(e *schemas.Event) {
		options(e).Unknown = []schemas.UnknownOption{{Type: number, Length: 8, Content: strings.Join(content, "")}}
	}
}

func captivePortal(uri string) option {
	return func(e *schemas.Event) { options(e).CaptivePortal = []schemas.CaptivePortal{{URI: uri}} }
}

func encryptedDNS(domain string, lifetime uint32) option {
	return func(e *schemas.Event) {
		options(e).EncryptedDNS = []schemas.EncryptedDNS{{Priority: 1, Lifetime: lifetime, Domain: domain}}
	}
}

// pvd puts the DNS servers of an option into a provisioning domain.
func pvd(inner option) option {
	return func(e *schemas.Event) {
		of := ra(gateway, gatewayLL, inner)
		options(e).PvD = []schemas.PvD{{ID: "pvd.example", Opt: &schemas.PvDOptions{RDNSS: of.ND.Opt.RDNSS}}}
	}
}

func dnssl(domain string, lifetime uint32) option {
	return func(e *schemas.Event) {
		options(e).DNSSL = []schemas.DNSSL{{Lifetime: lifetime, Domain: []string{domain}}}
	}
}

func route(p, preference string, lifetime uint32) option {
	return func(e *schemas.Event) {
		parsed := netip.MustParsePrefix(p)
		options(e).RouteInfo = []schemas.RouteInfo{{Prefix: parsed.Addr(), PrefixLength: uint8(parsed.Bits()), Preference: preference, Lifetime: lifetime}}
	}
}

func frame(sender, source, destination string, icmp6 uint8, nd *schemas.ND, opts []option) *schemas.Event {
	e := &schemas.Event{
		Type: schemas.TypeEvent, ID: "e", Time: epoch, Host: "r1", Interface: "eth0", Direction: schemas.In,
		Ethernet: &schemas.Ethernet{Source: mac(sender), Destination: mac("33:33:00:00:00:01")},
		Inet6:    &schemas.Inet6{Source: ip(source), Destination: ip(destination), NextHeader: 58, HopLimit: 255},
		ICMP6:    &schemas.ICMP6{Type: icmp6},
		ND:       nd,
	}
	for _, o := range opts {
		o(e)
	}
	return e
}

func ns(sender, source, target string, opts ...option) *schemas.Event {
	return frame(sender, source, "ff02::1:ff00:0", 135, &schemas.ND{NS: &schemas.NS{TargetAddress: ip(target)}}, opts)
}

// na is an advertisement from its target, with the O flag.
func na(sender, target string, opts ...option) *schemas.Event {
	nd := &schemas.ND{NA: &schemas.NA{TargetAddress: ip(target), Flag: schemas.NAFlags{Override: true}}}
	return frame(sender, target, "ff02::1", 136, nd, append([]option{lladdr(sender)}, opts...))
}

func ra(sender, source string, opts ...option) *schemas.Event {
	nd := &schemas.ND{RA: &schemas.RA{CurHopLimit: 64, Preference: "medium", Lifetime: 1800}}
	return frame(sender, source, "ff02::1", 134, nd, opts)
}

func rd(sender, source, target, destination string, opts ...option) *schemas.Event {
	nd := &schemas.ND{RD: &schemas.RD{TargetAddress: ip(target), DestinationAddress: ip(destination)}}
	return frame(sender, source, "2001:db8::a", 137, nd, opts)
}

type addr = netip.Addr

func pre(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(s string) schemas.MAC {
	m, err := schemas.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// facts lists what an event says of its link: the names of the fields that are
// true in it, without link.ra and link.router, which have others in them.
func facts(e *schemas.Event) string {
	var names []string
	for _, f := range schemas.Fields() {
		if name, ok := strings.CutPrefix(f.Name, "link."); ok && name != "ra" && name != "router" && f.Type == schemas.NoValue && len(f.AppendValues(nil, e)) > 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func bounded(neighbours int) *Table {
	return New(Config{Neighbours: neighbours, ClaimTimeout: time.Hour, Silence: 30 * 24 * time.Hour})
}

func newTable(configured ...router.Link) *Table {
	t := bounded(1000)
	t.Configure(configured)
	return t
}

// observe has a table see the events and returns the facts of the last one.
func observe(t *Table, events ...*schemas.Event) string {
	last := ""
	for _, e := range events {
		t.Observe(e)
		last = facts(e)
	}
	return last
}

func check(t *testing.T, table *Table, want string, events ...*schemas.Event) {
	t.Helper()
	if got := observe(table, events...); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
