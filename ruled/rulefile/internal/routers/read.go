// Package routers reads, sorts, writes and describes the routers that a rule file lists.
package routers

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/schemas"
)

// Probe names a link as NDPMon does: an interface of any host, or of one. The zero Probe is every link.
type Probe struct{ Host, Interface string }

// The types of probes in a file.
const (
	LocalProbe  = "interface"
	RemoteProbe = "remote"
)

// Bounds of the routers in a file.
const (
	maxLinks      = 10000
	maxRouters    = 1024 // of a link
	maxRouterList = 1024 // of a router: addresses, prefixes and the like
	maxDomain     = 1024 // bytes
	maxVLAN       = 4095
	maxLength     = 128 // bits of a prefix
)

// List is the routers of a file.
type List struct {
	links []router.Link
	// places has the index in links of each link, lines the line of each router in the file.
	places map[linkKey]int
	lines  map[routerKey]int
}

// linkKey names a link; the VLAN is -1 for none.
type linkKey struct {
	Probe
	vlan int
}

type routerKey struct {
	linkKey
	mac       schemas.MAC
	linkLocal netip.Addr
}

// NewList returns an empty list.
func NewList() List {
	return List{places: map[linkKey]int{}, lines: map[routerKey]int{}}
}

func keyOf(r *router.Link) linkKey {
	k := linkKey{Probe{r.Host, r.Interface}, -1}
	if r.VLAN != nil {
		k.vlan = int(*r.VLAN)
	}
	return k
}

// Sorted returns the links in an order that does not depend on the file.
func (l *List) Sorted() []router.Link {
	Sort(l.links)
	return l.links
}

// Sort sorts links by host, interface and VLAN.
func Sort(links []router.Link) {
	slices.SortStableFunc(links, func(a, b router.Link) int {
		x, y := keyOf(&a), keyOf(&b)
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Interface, y.Interface), cmp.Compare(x.vlan, y.vlan))
	})
}

// add adds a router of a link, unless it is there already: then it returns the line of that. See full.
func (l *List) add(k linkKey, r router.Router, line int) (first int) {
	place, known := l.places[k]
	if !known {
		place = len(l.links)
		l.places[k] = place
		l.links = append(l.links, k.routers())
	}
	rk := routerKey{k, r.MAC, r.LinkLocal}
	if first := l.lines[rk]; first != 0 {
		return first
	}
	l.lines[rk] = line
	l.links[place].Routers = append(l.links[place].Routers, r)
	return 0
}

// full returns what there are too many of to add another router of a link, or "".
func (l *List) full(k linkKey) string {
	place, known := l.places[k]
	switch {
	case !known && len(l.links) == maxLinks:
		return fmt.Sprintf("routers for more than %d links", maxLinks)
	case known && len(l.links[place].Routers) == maxRouters:
		return fmt.Sprintf("more than %d routers for one link", maxRouters)
	}
	return ""
}

// routers returns the link without any.
func (k linkKey) routers() router.Link {
	r := router.Link{Host: k.Host, Interface: k.Interface}
	if k.vlan >= 0 {
		r.VLAN = new(uint16(k.vlan))
	}
	return r
}

// reader reads the routers of one element.
type reader struct {
	*markup.Reader
	list  *List
	probe Probe
}

// Read reads the content of a <routers> of a probe and adds its routers to the list.
func (l *List) Read(r *markup.Reader, probe Probe, el markup.Element) {
	p := reader{r, l, probe}
	p.Elements(el, markup.Readers{"router": p.router})
}

func (p reader) router(el markup.Element) {
	p.Attributes(el)
	r := router.Router{Volatile: true}
	vlan := -1
	faults := p.FaultCount()
	p.Members(el, markup.Readers{
		"vlan_id": func(el markup.Element) {
			if v := markup.Number[uint16](p.Reader, el, maxVLAN); v != nil {
				vlan = int(*v)
			}
		},
		"mac":                   func(el markup.Element) { r.MAC = p.routerMAC(el) },
		"lla":                   func(el markup.Element) { r.LinkLocal = p.linkLocal(el) },
		"param_curhoplimit":     func(el markup.Element) { r.CurHopLimit = markup.Number[uint8](p.Reader, el, 0xff) },
		"param_flags_reserved":  func(el markup.Element) { r.Flags = markup.Number[uint8](p.Reader, el, 0xff) },
		"param_router_lifetime": func(el markup.Element) { r.Lifetime = markup.Number[uint16](p.Reader, el, 0xffff) },
		"param_reachable_timer": func(el markup.Element) { r.ReachableTimer = markup.Number[uint32](p.Reader, el, 0xffffffff) },
		"param_retrans_timer":   func(el markup.Element) { r.RetransTimer = markup.Number[uint32](p.Reader, el, 0xffffffff) },
		"param_mtu":             func(el markup.Element) { r.MTU = markup.Number[uint32](p.Reader, el, 0xffffffff) },
		"params_volatile": func(el markup.Element) {
			if v := markup.Number[uint8](p.Reader, el, 1); v != nil {
				r.Volatile = *v == 1
			}
		},
		"addresses": list(p, "address", &r.Addresses, p.routerAddress),
		"prefixes":  list(p, "prefix", &r.Prefixes, p.routerPrefix),
		"rdnss":     list(p, "nameserver", &r.RDNSS, p.nameserver),
		"dnssl":     list(p, "domain", &r.DNSSL, p.domain),
		"routes":    list(p, "route", &r.Routes, p.routerRoute),
	})
	if p.FaultCount() == faults {
		p.addRouter(el, linkKey{p.probe, vlan}, r)
	}
}

// addRouter adds a router without a fault.
func (p reader) addRouter(el markup.Element, k linkKey, r router.Router) {
	if r.MAC == (schemas.MAC{}) {
		p.Faultf(el.Line, "the router has no <mac>, its Ethernet address")
		return
	}
	if !r.LinkLocal.IsValid() {
		p.Faultf(el.Line, "the router has no <lla>, its link-local address")
		return
	}
	if full := p.list.full(k); full != "" {
		p.Faultf(el.Line, "%s", full)
		return
	}
	if first := p.list.add(k, r, el.Line); first != 0 {
		p.Faultf(el.Line, "duplicate router %s %s; the first is on line %d", r.MAC, r.LinkLocal, first)
	}
}

// list returns a reader of an element that holds a list. It leaves out elements for which read returns false.
func list[T any](p reader, name string, into *[]T, read func(markup.Element) (T, bool)) func(markup.Element) {
	return func(el markup.Element) {
		p.Attributes(el)
		p.Elements(el, markup.Readers{name: func(child markup.Element) {
			v, ok := read(child)
			switch {
			case ok && len(*into) == maxRouterList:
				p.Faultf(child.Line, "more than %d <%s> in <%s>", maxRouterList, name, el.Name)
			case ok:
				*into = append(*into, v)
			}
		}})
	}
}

func (p reader) routerMAC(el markup.Element) schemas.MAC {
	text := p.Plain(el)
	mac, err := markup.ParseMAC(text)
	switch {
	case err != nil:
		p.Faultf(el.Line, "<%s>: %s is not an ethernet address such as 02:00:00:00:00:01", el.Name, printable.Quote(text))
	case mac == schemas.MAC{} || mac.IsMulticast():
		p.Faultf(el.Line, "<%s>: %s is not the address of a station", el.Name, printable.Quote(text))
	}
	return mac
}

func (p reader) linkLocal(el markup.Element) netip.Addr {
	text := p.Plain(el)
	addr, ok := parseAddr(text)
	if !ok || !addr.IsLinkLocalUnicast() {
		p.Faultf(el.Line, "<%s>: %s is not a link-local address such as fe80::1", el.Name, printable.Quote(text))
	}
	return addr
}

// routerAddress reads an address of a router. NDPMon writes empty ones.
func (p reader) routerAddress(el markup.Element) (netip.Addr, bool) {
	text := p.Plain(el)
	if text == "" {
		return netip.Addr{}, false
	}
	return p.unicast(el, text), true
}

func (p reader) unicast(el markup.Element, text string) netip.Addr {
	addr, ok := parseAddr(text)
	if !ok || addr.IsUnspecified() || addr.IsMulticast() {
		p.Faultf(el.Line, "<%s>: %s is not an address of a station such as 2001:db8::1", el.Name, printable.Quote(text))
	}
	return addr
}

func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Is6() && addr.Zone() == ""
}

func (p reader) routerPrefix(el markup.Element) (r router.Prefix, ok bool) {
	r.Prefix = p.prefix(el, markup.Readers{
		"param_flags_reserved": func(el markup.Element) { r.Flags = markup.Number[uint8](p.Reader, el, 0xff) },
		"param_valid_time":     func(el markup.Element) { r.Valid = markup.Number[uint32](p.Reader, el, 0xffffffff) },
		"param_preferred_time": func(el markup.Element) { r.Preferred = markup.Number[uint32](p.Reader, el, 0xffffffff) },
	})
	return r, true
}

func (p reader) routerRoute(el markup.Element) (r router.Route, ok bool) {
	r.Prefix = p.prefix(el, markup.Readers{
		"param_pref_reserved": func(el markup.Element) { r.Flags = markup.Number[uint8](p.Reader, el, 0xff) },
		"lifetime":            func(el markup.Element) { r.Lifetime = markup.Number[uint32](p.Reader, el, 0xffffffff) },
	})
	return r, true
}

// prefix reads an element that holds an address, its mask, which is a length in
// bits, and others. Bits behind the length are cleared.
func (p reader) prefix(el markup.Element, known markup.Readers) netip.Prefix {
	p.Attributes(el)
	var addr netip.Addr
	var length *uint8
	faults := p.FaultCount()
	known["mask"] = func(el markup.Element) { length = markup.Number[uint8](p.Reader, el, maxLength) }
	known["address"] = func(el markup.Element) {
		text := p.Plain(el)
		var ok bool
		if addr, ok = parseAddr(text); !ok {
			p.Faultf(el.Line, "<%s>: %s is not an ipv6 address such as 2001:db8::", el.Name, printable.Quote(text))
		}
	}
	p.Members(el, known)
	switch {
	case p.FaultCount() > faults:
	case !addr.IsValid():
		p.Faultf(el.Line, "<%s> has no <address>", el.Name)
	case length == nil:
		p.Faultf(el.Line, "<%s> has no <mask>, the length of the prefix from 0 to %d", el.Name, maxLength)
	default:
		return netip.PrefixFrom(addr, int(*length)).Masked()
	}
	return netip.Prefix{}
}

func (p reader) nameserver(el markup.Element) (r router.DNS, ok bool) {
	r.Lifetime = p.lifetime(el)
	r.Address = p.unicast(el, p.Text(el))
	return r, true
}

// domain reads a domain as events have it: without the final dot.
func (p reader) domain(el markup.Element) (r router.Domain, ok bool) {
	r.Lifetime = p.lifetime(el)
	text := p.Text(el)
	r.Domain = text
	if !strings.HasSuffix(text, `\.`) {
		r.Domain = strings.TrimSuffix(text, ".")
	}
	if r.Domain == "" || printable.Unprintable(r.Domain, maxDomain) != "" || strings.ContainsFunc(r.Domain, unicode.IsSpace) {
		p.Faultf(el.Line, "<%s>: %s is not a domain such as example.org", el.Name, printable.Quote(text))
	}
	return r, true
}

func (p reader) lifetime(el markup.Element) *uint32 {
	text := strings.TrimSpace(p.Attributes(el, "lifetime")["lifetime"])
	return markup.Parameter[uint32](p.Reader, el, "lifetime ", text, 0xffffffff)
}
