// Package rulefile reads rule files: the rules (package rules) and the routers of the links
// (package link/router). It holds the built-in rules too.
package rulefile

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
)

// Parse reads a rule file: NDPMon's configuration or one of ours. Remarks name the file
// by name. If anything is wrong with the file, the error is a *Faults with all of it.
//
// A notice lists the settings of a configuration of NDPMon that have no effect here.
// NDPMon checks more than its rules say, so the built-in rules are added to a whole
// configuration, one with settings or routers.
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

// notices adds the notices about the whole file.
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

// Builtin returns the rules that are used without a rule file. They relay solicitations that
// leave a master, and those that arrive where the host answers for others; and they raise
// alerts for what is wrong in a frame.
func Builtin() *Set {
	set, err := newParser("builtin.xml", builtinXML).parse()
	if err != nil {
		panic(fmt.Sprintf("rules: the built-in rules are faulty, which the tests rule out: %v", err))
	}
	return set
}
