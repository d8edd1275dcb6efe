package rulefile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
)

// NDPMon's settings are read for a notice that lists those with no effect here. Their values are not checked.

// countermeasures names the countermeasures in the notice.
const countermeasures = "countermeasures"

// actions returns the names of what NDPMon does with an alert.
func actions() []string { return []string{"sendmail", "syslog", "exec_pipe_program"} }

// idleIf notes a setting with no effect here, if the file makes it active.
func (p *parser) idleIf(active bool, line int, name string) {
	if !active {
		return
	}
	if p.idle.line == 0 {
		p.idle.line = line
	}
	if !slices.Contains(p.idle.names, name) {
		p.idle.names = append(p.idle.names, name)
	}
}

func (p *parser) noticeIdle() {
	var parts []string
	for _, i := range []struct {
		names []string
		use   string // what to use instead
	}{
		{actions(), "alerts are on standard output and on NATS: `nats sub nd.alerts`, piped to logger or a program"},
		{[]string{"soap"}, "what probes report is on NATS"},
		{[]string{countermeasures}, "ndmon never sends forged frames"},
		{[]string{"ignor_autoconf", "use_reverse_hostlookups"}, "nothing takes their place"},
	} {
		names := slices.DeleteFunc(i.names, func(name string) bool { return !slices.Contains(p.idle.names, name) })
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("%s (%s)", strings.Join(names, ", "), i.use))
		}
	}
	if parts != nil {
		p.Noticef(p.idle.line, "not acted on: %s", strings.Join(parts, "; "))
	}
}

// settings are the elements of NDPMon's root that are neither rules nor routers.
// Version 1 of NDPMon has the settings in the root.
func (p *parser) settings() markup.Readers {
	known := markup.Readers{
		"settings": func(el markup.Element) {
			p.Attributes(el)
			p.whole(el)
			p.Members(el, p.setting())
		},
		"countermeasures": p.countermeasures,
	}
	for name, read := range p.setting() {
		known[name] = func(el markup.Element) {
			p.whole(el)
			read(el)
		}
	}
	return known
}

// whole notes what only a whole configuration has.
func (p *parser) whole(el markup.Element) {
	if p.ndpmon && p.wholeLine == 0 {
		p.wholeLine = el.Line
	}
}

func (p *parser) setting() markup.Readers {
	return markup.Readers{
		"actions_high_priority":   p.actions,
		"actions_low_priority":    p.actions,
		"actions_high_pri":        p.actions,
		"actions_low_pri":         p.actions,
		"soap":                    p.soap,
		"admin_mail":              func(el markup.Element) { p.Plain(el) },
		"syslog_facility":         func(el markup.Element) { p.Plain(el) },
		"ignor_autoconf":          p.switchElement("ignor_autoconf"),
		"use_reverse_hostlookups": p.switchElement("use_reverse_hostlookups"),
	}
}

// switchElement makes a reader of an element that is 1 or 0.
func (p *parser) switchElement(name string) func(markup.Element) {
	return func(el markup.Element) { p.idleIf(p.Plain(el) == "1", el.Line, name) }
}

// actions reads what NDPMon does with an alert: attributes or, in version 1, elements.
func (p *parser) actions(el markup.Element) {
	attrs := p.Attributes(el, actions()...)
	note := func(name, value string) {
		p.idleIf(value == "1" || name == "exec_pipe_program" && value != "", el.Line, name)
	}
	known := markup.Readers{}
	for _, name := range actions() {
		note(name, strings.TrimSpace(attrs[name]))
		known[name] = func(child markup.Element) { note(name, p.Plain(child)) }
	}
	p.Members(el, known)
}

func (p *parser) soap(el markup.Element) {
	attrs := p.Attributes(el, "report_url", "report_src", "listen_path", "listen_port",
		"ssl_certfile", "ssl_certpass", "ssl_cafile", "ssl_commonname", "ssl_enabled")
	p.idleIf(attrs["report_url"] != "" || attrs["listen_port"] != "", el.Line, "soap")
	p.Empty(el)
}

func (p *parser) countermeasures(el markup.Element) {
	p.Attributes(el)
	known := markup.Readers{}
	for _, name := range []string{
		"kill_illegitimate_router", "kill_wrong_prefix", "propagate_router_params", "propagate_router_dns",
		"propagate_router_routes", "propagate_neighbor_mac", "indicate_ndpmon_presence",
	} {
		known[name] = func(el markup.Element) {
			how := p.Plain(el)
			p.idleIf(how != "" && how != "SUPPRESS", el.Line, countermeasures)
		}
	}
	p.Members(el, known)
}
