package rules

import (
	"net/netip"
	"strings"
	"unicode"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/schemas"
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

// routersElement reads <routers>, of a probe or of every link.
func (p *parser) routersElement(el element) {
	p.attributes(el)
	p.whole(el)
	p.elements(el, readers{"router": p.router})
}

func (p *parser) router(el element) {
	p.attributes(el)
	r := link.Router{Volatile: true}
	vlan := -1
	faults := p.faultCount()
	p.members(el, readers{
		"vlan_id": func(el element) {
			if v := number[uint16](p, el, maxVLAN); v != nil {
				vlan = int(*v)
			}
		},
		"mac":                   func(el element) { r.MAC = p.routerMAC(el) },
		"lla":                   func(el element) { r.LinkLocal = p.linkLocal(el) },
		"param_curhoplimit":     func(el element) { r.CurHopLimit = number[uint8](p, el, 0xff) },
		"param_flags_reserved":  func(el element) { r.Flags = number[uint8](p, el, 0xff) },
		"param_router_lifetime": func(el element) { r.Lifetime = number[uint16](p, el, 0xffff) },
		"param_reachable_timer": func(el element) { r.ReachableTimer = number[uint32](p, el, 0xffffffff) },
		"param_retrans_timer":   func(el element) { r.RetransTimer = number[uint32](p, el, 0xffffffff) },
		"param_mtu":             func(el element) { r.MTU = number[uint32](p, el, 0xffffffff) },
		"params_volatile": func(el element) {
			if v := number[uint8](p, el, 1); v != nil {
				r.Volatile = *v == 1
			}
		},
		"addresses": list(p, "address", &r.Addresses, p.routerAddress),
		"prefixes":  list(p, "prefix", &r.Prefixes, p.routerPrefix),
		"rdnss":     list(p, "nameserver", &r.RDNSS, p.nameserver),
		"dnssl":     list(p, "domain", &r.DNSSL, p.domain),
		"routes":    list(p, "route", &r.Routes, p.routerRoute),
	})
	if p.faultCount() == faults {
		p.addRouter(el, linkKey{p.probe, vlan}, r)
	}
}

// addRouter takes a router without a fault.
func (p *parser) addRouter(el element, k linkKey, r link.Router) {
	if r.MAC == (schemas.MAC{}) {
		p.faultf(el.line, "the router has no <mac>, its Ethernet address")
		return
	}
	if !r.LinkLocal.IsValid() {
		p.faultf(el.line, "the router has no <lla>, its link-local address")
		return
	}
	if full := p.routers.full(k); full != "" {
		p.faultf(el.line, "%s", full)
		return
	}
	if first := p.routers.add(k, r, el.line); first != 0 {
		p.faultf(el.line, "duplicate router %s %s; the first is on line %d", r.MAC, r.LinkLocal, first)
	}
}

// list makes a reader of an element that holds a list. What read takes for no
// element is left out.
func list[T any](p *parser, name string, into *[]T, read func(element) (T, bool)) func(element) {
	return func(el element) {
		p.attributes(el)
		p.elements(el, readers{name: func(child element) {
			v, ok := read(child)
			switch {
			case ok && len(*into) == maxRouterList:
				p.faultf(child.line, "more than %d <%s> in <%s>", maxRouterList, name, el.name)
			case ok:
				*into = append(*into, v)
			}
		}})
	}
}

func (p *parser) routerMAC(el element) schemas.MAC {
	p.attributes(el)
	text := p.text(el)
	mac, err := parseMAC(text)
	switch {
	case err != nil:
		p.faultf(el.line, "<%s>: %s is not an ethernet address such as 02:00:00:00:00:01", el.name, quote(text))
	case mac == schemas.MAC{} || mac.IsMulticast():
		p.faultf(el.line, "<%s>: %s is not the address of a station", el.name, quote(text))
	}
	return mac
}

func (p *parser) linkLocal(el element) netip.Addr {
	p.attributes(el)
	text := p.text(el)
	addr, ok := parseAddr(text)
	if !ok || !addr.IsLinkLocalUnicast() {
		p.faultf(el.line, "<%s>: %s is not a link-local address such as fe80::1", el.name, quote(text))
	}
	return addr
}

// routerAddress reads an address of a router. NDPMon writes empty ones.
func (p *parser) routerAddress(el element) (netip.Addr, bool) {
	p.attributes(el)
	text := p.text(el)
	if text == "" {
		return netip.Addr{}, false
	}
	return p.unicast(el, text), true
}

func (p *parser) unicast(el element, text string) netip.Addr {
	addr, ok := parseAddr(text)
	if !ok || addr.IsUnspecified() || addr.IsMulticast() {
		p.faultf(el.line, "<%s>: %s is not an address of a station such as 2001:db8::1", el.name, quote(text))
	}
	return addr
}

// parseAddr reads an IPv6 address without a zone.
func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Is6() && addr.Zone() == ""
}

func (p *parser) routerPrefix(el element) (r link.RouterPrefix, ok bool) {
	r.Prefix = p.prefix(el, readers{
		"param_flags_reserved": func(el element) { r.Flags = number[uint8](p, el, 0xff) },
		"param_valid_time":     func(el element) { r.Valid = number[uint32](p, el, 0xffffffff) },
		"param_preferred_time": func(el element) { r.Preferred = number[uint32](p, el, 0xffffffff) },
	})
	return r, true
}

func (p *parser) routerRoute(el element) (r link.RouterRoute, ok bool) {
	r.Prefix = p.prefix(el, readers{
		"param_pref_reserved": func(el element) { r.Flags = number[uint8](p, el, 0xff) },
		"lifetime":            func(el element) { r.Lifetime = number[uint32](p, el, 0xffffffff) },
	})
	return r, true
}

// prefix reads an element that holds an address, its mask, which is a length in
// bits, and others. Bits behind the length are cleared.
func (p *parser) prefix(el element, known readers) netip.Prefix {
	p.attributes(el)
	var addr netip.Addr
	var length *uint8
	faults := p.faultCount()
	known["mask"] = func(el element) { length = number[uint8](p, el, maxLength) }
	known["address"] = func(el element) {
		p.attributes(el)
		text := p.text(el)
		var ok bool
		if addr, ok = parseAddr(text); !ok {
			p.faultf(el.line, "<%s>: %s is not an ipv6 address such as 2001:db8::", el.name, quote(text))
		}
	}
	p.members(el, known)
	switch {
	case p.faultCount() > faults:
	case !addr.IsValid():
		p.faultf(el.line, "<%s> has no <address>", el.name)
	case length == nil:
		p.faultf(el.line, "<%s> has no <mask>, the length of the prefix from 0 to %d", el.name, maxLength)
	default:
		return netip.PrefixFrom(addr, int(*length)).Masked()
	}
	return netip.Prefix{}
}

func (p *parser) nameserver(el element) (r link.RouterDNS, ok bool) {
	r.Lifetime = p.lifetime(el)
	r.Address = p.unicast(el, p.text(el))
	return r, true
}

// domain reads a domain as events have it: without the final dot.
func (p *parser) domain(el element) (r link.RouterDomain, ok bool) {
	r.Lifetime = p.lifetime(el)
	text := p.text(el)
	r.Domain = text
	if !strings.HasSuffix(text, `\.`) {
		r.Domain = strings.TrimSuffix(text, ".")
	}
	if r.Domain == "" || unprintable(r.Domain, maxDomain) != "" || strings.ContainsFunc(r.Domain, unicode.IsSpace) {
		p.faultf(el.line, "<%s>: %s is not a domain such as example.org", el.name, quote(text))
	}
	return r, true
}

// lifetime reads the attribute that an element has its lifetime in.
func (p *parser) lifetime(el element) *uint32 {
	text := strings.TrimSpace(p.attributes(el, "lifetime")["lifetime"])
	return parameter[uint32](p, el, "lifetime ", text, 0xffffffff)
}
