package rulefile

import (
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
)

func (p *parser) probes(el markup.Element) {
	p.Attributes(el)
	p.Elements(el, markup.Readers{"probe": p.probeElement})
}

func (p *parser) probeElement(el markup.Element) {
	p.probe = p.probeName(el, p.Attributes(el, "name", "type"))
	defer func() { p.probe = routers.Probe{} }()
	p.Elements(el, markup.Readers{
		"rule":                    p.rule,
		"rules":                   p.rules,
		"routers":                 p.routersElement,
		"countermeasures_enabled": p.countermeasuresEnabled,
	})
}

// maxProbe is the longest name of a probe, in bytes.
const maxProbe = 512

// probeName reads the link out of a probe's attributes: an interface of any host
// or, for a remote probe, host/interface.
func (p *parser) probeName(el markup.Element, attrs map[string]string) routers.Probe {
	name := strings.TrimSpace(attrs["name"])
	kind, given := attrs["type"]
	kind = strings.TrimSpace(kind)
	host, iface, remote := strings.Cut(name, "/")
	if !given && remote {
		kind = routers.RemoteProbe
	}
	fault := printable.Unprintable(name, maxProbe)
	switch {
	case name == "":
		p.Faultf(el.Line, "<probe> has no name; it takes an interface, or host/interface")
	case fault != "":
		p.Faultf(el.Line, "the name of the probe %s", fault)
	case given && !slices.Contains([]string{routers.LocalProbe, routers.RemoteProbe}, kind):
		p.Faultf(el.Line, "type %s of <probe> is not one of %s, %s", printable.Quote(kind), routers.LocalProbe, routers.RemoteProbe)
	case kind == routers.RemoteProbe && (host == "" || iface == ""):
		p.Faultf(el.Line, "name %s of a remote probe is not host/interface", printable.Quote(name))
	case kind != routers.RemoteProbe && remote:
		p.Faultf(el.Line, "name %s of <probe> is not an interface; host/interface takes type %q", printable.Quote(name), routers.RemoteProbe)
	case remote:
		return routers.Probe{Host: host, Interface: iface}
	}
	return routers.Probe{Interface: name}
}

// routersElement reads <routers>, of a probe or of every link.
func (p *parser) routersElement(el markup.Element) {
	p.Attributes(el)
	p.whole(el)
	p.routers.Read(p.Reader, p.probe, el)
}

func (p *parser) rules(rules markup.Element) {
	p.Attributes(rules)
	known := markup.Readers{"rule": p.rule}
	if p.probe == (routers.Probe{}) {
		known["builtin"] = p.builtinElement
	}
	p.Elements(rules, known)
}
