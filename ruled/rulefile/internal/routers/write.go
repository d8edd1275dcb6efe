package routers

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/ruled/link/router"
)

// Append appends a configuration of NDPMon with the routers of links. It sorts the links.
func Append(b []byte, links []router.Link) []byte {
	Sort(links)
	var out writer
	out.line(`<?xml version="1.0" encoding="UTF-8"?>`)
	out.line(`<!DOCTYPE config_ndpmon SYSTEM "config_ndpmon.dtd">`)
	out.in("config_ndpmon", func() {
		out.settings()
		everywhere := 0 // those of every link are sorted first
		for everywhere < len(links) && keyOf(&links[everywhere]).Probe == (Probe{}) {
			everywhere++
		}
		out.probes(links[everywhere:])
		if everywhere > 0 {
			out.routers(links[:everywhere])
		}
	})
	return append(b, out.Bytes()...)
}

// writer writes XML in the order of NDPMon's DTD.
type writer struct {
	bytes.Buffer
	depth int
}

func (w *writer) line(s string) { fmt.Fprintf(w, "%*s%s\n", 2*w.depth, "", s) }

// in writes an element with others in it. The start tag may have attributes.
func (w *writer) in(name string, content func(), attributes ...string) {
	w.line("<" + name + attributesOf(attributes) + ">")
	w.depth++
	content()
	w.depth--
	w.line("</" + name + ">")
}

func (w *writer) text(name, text string, attributes ...string) {
	w.line("<" + name + attributesOf(attributes) + ">" + escaped(text) + "</" + name + ">")
}

func attributesOf(pairs []string) string {
	s := ""
	for i := 0; i < len(pairs); i += 2 {
		s += " " + pairs[i] + `="` + escaped(pairs[i+1]) + `"`
	}
	return s
}

func escaped(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(text)) // a Buffer does not fail
	return b.String()
}

// settings writes what NDPMon cannot do without, with nothing in it to be done.
func (w *writer) settings() {
	w.in("settings", func() {
		for _, name := range []string{"actions_high_priority", "actions_low_priority"} {
			w.text(name, "", "sendmail", "0", "syslog", "0", "exec_pipe_program", "")
		}
		w.text("admin_mail", "root@localhost")
		w.text("ignor_autoconf", "0")
		w.text("syslog_facility", "LOG_LOCAL1")
		w.text("use_reverse_hostlookups", "0")
	})
}

func (w *writer) probes(links []router.Link) {
	w.in("probes", func() {
		for len(links) > 0 {
			at := keyOf(&links[0]).Probe
			n := slices.IndexFunc(links, func(l router.Link) bool { return keyOf(&l).Probe != at })
			if n < 0 {
				n = len(links)
			}
			name, kind := at.Interface, LocalProbe
			if at.Host != "" {
				name, kind = at.Host+"/"+at.Interface, RemoteProbe
			}
			w.in("probe", func() { w.routers(links[:n]) }, "name", name, "type", kind)
			links = links[n:]
		}
	})
}

// routers writes those of the links, which differ in the VLAN alone.
func (w *writer) routers(links []router.Link) {
	w.in("routers", func() {
		for i := range links {
			for j := range links[i].Routers {
				w.in("router", func() { w.router(links[i].VLAN, &links[i].Routers[j]) })
			}
		}
	})
}

func (w *writer) router(vlan *uint16, r *router.Router) {
	optional(w, "vlan_id", vlan)
	w.text("mac", r.MAC.String())
	w.text("lla", r.LinkLocal.String())
	optional(w, "param_curhoplimit", r.CurHopLimit)
	optional(w, "param_flags_reserved", r.Flags)
	optional(w, "param_router_lifetime", r.Lifetime)
	optional(w, "param_reachable_timer", r.ReachableTimer)
	optional(w, "param_retrans_timer", r.RetransTimer)
	optional(w, "param_mtu", r.MTU)
	volatile := "0"
	if r.Volatile {
		volatile = "1"
	}
	w.text("params_volatile", volatile)
	writeList(w, "addresses", r.Addresses, func(a *netip.Addr) { w.text("address", a.String()) })
	writeList(w, "prefixes", r.Prefixes, func(p *router.Prefix) { w.in("prefix", func() { w.prefix(p) }) })
	if len(r.RDNSS) > 0 {
		writeList(w, "rdnss", r.RDNSS, func(d *router.DNS) { w.text("nameserver", d.Address.String(), "lifetime", decimal(d.Lifetime)) })
	}
	if len(r.DNSSL) > 0 {
		writeList(w, "dnssl", r.DNSSL, func(d *router.Domain) { w.text("domain", d.Domain, "lifetime", decimal(d.Lifetime)) })
	}
	if len(r.Routes) > 0 {
		writeList(w, "routes", r.Routes, func(route *router.Route) { w.in("route", func() { w.route(route) }) })
	}
}

// writeList writes an element with one for each in a list.
func writeList[T any](w *writer, name string, all []T, write func(*T)) {
	w.in(name, func() {
		for i := range all {
			write(&all[i])
		}
	})
}

func (w *writer) prefix(p *router.Prefix) {
	w.text("address", p.Prefix.Addr().String())
	w.text("mask", strconv.Itoa(p.Prefix.Bits()))
	optional(w, "param_flags_reserved", p.Flags)
	optional(w, "param_valid_time", p.Valid)
	optional(w, "param_preferred_time", p.Preferred)
}

// route writes what NDPMon's DTD requires: a space for an unknown value, because NDPMon crashes on an empty element.
func (w *writer) route(r *router.Route) {
	w.text("address", r.Prefix.Addr().String())
	w.text("mask", strconv.Itoa(r.Prefix.Bits()))
	required := func(name, text string) {
		if text == "" {
			text = " "
		}
		w.text(name, text)
	}
	required("param_pref_reserved", decimal(r.Flags))
	required("lifetime", decimal(r.Lifetime))
}

func optional[T uint8 | uint16 | uint32](w *writer, name string, v *T) {
	if v != nil {
		w.text(name, decimal(v))
	}
}

// decimal writes a number; nil is nothing.
func decimal[T uint8 | uint16 | uint32](v *T) string {
	if v == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*v), 10)
}

// Describe writes the routers of a link, for a person.
func Describe(w io.Writer, l *router.Link) {
	where := "every link"
	switch {
	case l.Host != "":
		where = l.Interface + " of " + l.Host
	case l.Interface != "":
		where = l.Interface + " of any host"
	}
	if l.VLAN != nil {
		where += fmt.Sprintf(", VLAN %d", *l.VLAN)
	}
	fmt.Fprintf(w, "routers of %s: %d\n", where, len(l.Routers))
	for i := range l.Routers {
		describeRouter(w, &l.Routers[i])
	}
}

func describeRouter(w io.Writer, r *router.Router) {
	volatile := ""
	if r.Volatile {
		volatile = ", whose parameters are not compared"
	}
	fmt.Fprintf(w, "  %s %s%s\n", r.MAC, r.LinkLocal, volatile)
	line := func(parts ...string) {
		if parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" }); len(parts) > 0 {
			fmt.Fprintf(w, "    %s\n", strings.Join(parts, ", "))
		}
	}
	line(known("lifetime", r.Lifetime, "s"), known("cur hop limit", r.CurHopLimit, ""), known("flags", r.Flags, ""),
		known("reachable", r.ReachableTimer, "ms"), known("retransmit", r.RetransTimer, "ms"), known("MTU", r.MTU, ""))
	for _, a := range r.Addresses {
		line("address " + a.String())
	}
	for _, p := range r.Prefixes {
		line("prefix "+p.Prefix.String(), known("flags", p.Flags, ""), known("valid", p.Valid, "s"), known("preferred", p.Preferred, "s"))
	}
	for _, d := range r.RDNSS {
		line("DNS "+d.Address.String(), known("lifetime", d.Lifetime, "s"))
	}
	for _, d := range r.DNSSL {
		line("search "+d.Domain, known("lifetime", d.Lifetime, "s"))
	}
	for _, route := range r.Routes {
		line("route "+route.Prefix.String(), known("flags", route.Flags, ""), known("lifetime", route.Lifetime, "s"))
	}
}

// known returns a parameter as text, or "" if it is not known.
func known[T uint8 | uint16 | uint32](name string, v *T, unit string) string {
	if v == nil {
		return ""
	}
	return strings.TrimSuffix(name+" "+decimal(v)+" "+unit, " ")
}
