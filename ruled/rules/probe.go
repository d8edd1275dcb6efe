package rules

import (
	"slices"
	"strings"

	"github.com/ndmon/ndmon/schemas"
)

// probe is the link that a <probe> stands for; empty, it is every link.
type probe struct{ host, iface string }

// conditions returns those that a frame of the link meets.
func (b probe) conditions() []Condition {
	var conditions []Condition
	for _, c := range []struct{ field, value string }{{"host", b.host}, {"interface", b.iface}} {
		if f, ok := schemas.FieldByName(c.field); ok && c.value != "" {
			conditions = append(conditions, Condition{Field: f, Values: []Value{{Str: c.value}}})
		}
	}
	return conditions
}

func (p *parser) probes(probes element) {
	p.attributes(probes)
	p.elements(probes, readers{"probe": p.probeElement})
}

func (p *parser) probeElement(el element) {
	p.probe = p.probeName(el, p.attributes(el, "name", "type"))
	defer func() { p.probe = probe{} }()
	p.elements(el, readers{
		"rule":                    p.rule,
		"rules":                   p.rules,
		"routers":                 p.routersElement,
		"countermeasures_enabled": p.countermeasuresEnabled,
	})
}

// maxProbe is the longest name of a probe, in bytes.
const maxProbe = 512

// The types of probes.
const (
	localProbe  = "interface"
	remoteProbe = "remote"
)

// probeName reads the link out of a probe's attributes: an interface of any host
// or, for a remote probe, host/interface.
func (p *parser) probeName(el element, attrs map[string]string) probe {
	name := strings.TrimSpace(attrs["name"])
	kind, given := attrs["type"]
	kind = strings.TrimSpace(kind)
	host, iface, remote := strings.Cut(name, "/")
	if !given && remote {
		kind = remoteProbe
	}
	fault := unprintable(name, maxProbe)
	switch {
	case name == "":
		p.faultf(el.line, "<probe> has no name; it takes an interface, or host/interface")
	case fault != "":
		p.faultf(el.line, "the name of the probe %s", fault)
	case given && !slices.Contains([]string{localProbe, remoteProbe}, kind):
		p.faultf(el.line, "type %s of <probe> is not one of %s, %s", quote(kind), localProbe, remoteProbe)
	case kind == remoteProbe && (host == "" || iface == ""):
		p.faultf(el.line, "name %s of a remote probe is not host/interface", quote(name))
	case kind != remoteProbe && remote:
		p.faultf(el.line, "name %s of <probe> is not an interface; host/interface takes type %q", quote(name), remoteProbe)
	case remote:
		return probe{host, iface}
	}
	return probe{iface: name}
}
