// Package rulefile reads rule files: the rules (package rules) and the routers of the links
// (package link/router). It holds the built-in rules too.
package rulefile

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/ruled/rules"
)

// Parse reads a rule file: NDPMon's configuration or one of ours. Remarks name the file
// by name. If anything is wrong with the file, the error is a *Faults with all of it.
//
// A notice lists the settings of a configuration of NDPMon that have no effect here. NDPMon checks more than
// its rules say, so the built-in rules are added to a whole configuration, one with settings or routers.
func Parse(name string, data []byte) (*Set, error) {
	p := newParser(name, data)
	p.builtin.all = func() []rules.Rule { return Builtin().Rules }
	return p.parse()
}

func (p *parser) parse() (*Set, error) {
	p.Document(p.root, "config_ndpmon", "rules")
	p.nameRules()
	p.include()
	p.notices()
	if err := p.Err(); err != nil {
		return nil, err
	}
	p.set.Links, p.set.Notices = p.routers.Sorted(), p.Notices()
	return p.set, nil
}

func (p *parser) root(root markup.Element) {
	p.Attributes(root)
	p.ndpmon = root.Name == "config_ndpmon"
	known := markup.Readers{
		"rule":    p.rule,
		"rules":   p.rules,
		"probes":  p.probes,
		"probe":   p.probeElement,
		"routers": p.routersElement,
		"builtin": p.builtinElement,
	}
	if p.ndpmon {
		maps.Copy(known, p.settings())
	}
	p.Elements(root, known)
}

func (p *parser) notices() {
	p.noticeIdle()
	if len(p.set.Rules) == 0 {
		p.Noticef(1, "no rules: nothing raises an alert")
	}
	if p.wroteUnknown {
		p.Noticef(1, `NDPMon wrote this file itself (value="UNKNOWN"), and then it writes every <no-match> as <match>: compare the rules with your own copy`)
	}
}

// nameRules gives an id to the rules that have none: rule-N for the Nth rule of
// the file, with a further number where another rule is called so.
func (p *parser) nameRules() {
	for i := range p.set.Rules {
		r := &p.set.Rules[i]
		if r.ID != "" {
			continue
		}
		name := "rule-" + strconv.Itoa(i+1)
		r.ID = name
		for n := 2; p.idLines[r.ID] != 0; n++ {
			r.ID = name + "-" + strconv.Itoa(n)
		}
		p.idLines[r.ID] = r.Line
	}
}

// Builtin returns the rules that are used without a rule file. They relay solicitations that leave a master, and those
// that arrive where the host answers for others; and they raise alerts for what is wrong in a frame.
func Builtin() *Set {
	set, err := newParser("builtin.xml", builtinXML).parse()
	if err != nil {
		panic(fmt.Sprintf("rules: the built-in rules are faulty, which the tests rule out: %v", err))
	}
	return set
}

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
		"countermeasures_enabled": p.switchElement(countermeasures),
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

//go:embed builtin.xml
var builtinXML []byte

// BuiltinXML returns the file of the built-in rules, as a model for one's own.
func BuiltinXML() []byte { return append([]byte(nil), builtinXML...) }

// builtinElement reads <builtin/>: it puts the built-in rules here, but for those that except names.
func (p *parser) builtinElement(el markup.Element) {
	attrs := p.Attributes(el, "except")
	p.Empty(el)
	switch {
	case p.builtin.all == nil:
		p.Faultf(el.Line, "the built-in rules cannot include themselves")
		return
	case p.builtin.line != 0:
		p.Faultf(el.Line, "second <builtin>; the first is on line %d", p.builtin.line)
		return
	}
	included := p.builtin.all()
	var ids []string
	for _, r := range included {
		ids = append(ids, r.ID)
	}
	except := strings.Fields(attrs["except"])
	for _, id := range except {
		if !slices.Contains(ids, id) {
			p.Faultf(el.Line, "%s is not a built-in rule%s", printable.Quote(id), p.DidYouMean(id, ids, "%q"))
		}
	}
	included = slices.DeleteFunc(included, func(r rules.Rule) bool { return slices.Contains(except, r.ID) })
	p.builtin.line, p.builtin.at, p.builtin.rules = el.Line, len(p.set.Rules), included
}

// include puts the built-in rules among those of the file. A rule of the file
// takes the place of the built-in one with its id.
func (p *parser) include() {
	if p.builtin.line == 0 && p.wholeLine != 0 {
		p.builtin.rules = p.builtin.all()
		p.Noticef(p.wholeLine, "NDPMon checks more than its rules say, so the %d built-in rules are in force too; <builtin except=\"…\"/> leaves some of them out", len(p.builtin.rules))
	}
	if len(p.builtin.rules) == 0 {
		return
	}
	var all []rules.Rule
	for _, r := range p.builtin.rules {
		if line := p.idLines[r.ID]; line != 0 {
			p.Noticef(line, "the rule takes the place of the built-in rule %s", printable.Quote(r.ID))
			continue
		}
		r.Builtin = true
		all = append(all, r)
	}
	p.set.Rules = slices.Insert(p.set.Rules, p.builtin.at, all...)
}
