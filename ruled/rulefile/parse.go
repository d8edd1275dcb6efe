package rulefile

import (
	"maps"
	"strconv"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/ruled/rules"
)

// Bounds of a rule file.
const (
	// MaxSize is the largest file that Parse accepts, in bytes.
	MaxSize = markup.MaxSize

	maxDescription = 1024 // bytes
	maxHost        = 255  // bytes, as a sensor's name of its host
	maxRelayHosts  = 256
)

// Set is the content of one file.
type Set struct {
	// Rules are in the order of the file.
	Rules []rules.Rule
	// Links has the routers that the file lists, by link: at most 10,000 links,
	// sorted by host, interface and VLAN, each with 1 to 1024 routers. A link
	// whose list of routers is empty in the file is not among them.
	Links []router.Link
	// Notices is what the user of the file should know although it is no fault, by line.
	Notices []Remark
}

// Remark is about a line of a rule file.
type Remark = markup.Remark

// Faults is the error of a rule file that was refused.
type Faults = markup.Faults

// Parse reads a rule file: NDPMon's configuration or one of ours. Remarks name the file
// by name. If anything is wrong with the file, the error is a *Faults with all of it.
//
// A notice lists the settings of a configuration of NDPMon that have no effect here.
// NDPMon checks more than its rules say, so the built-in rules are added to a whole
// configuration, one with settings or routers.
func Parse(name string, data []byte) (*Set, error) { return newParser(name, data).parse() }

// parser reads a file into a Set.
type parser struct {
	*markup.Reader
	set     *Set
	idLines map[string]int // id to the line of the rule that has it

	ndpmon       bool          // the root is that of a configuration of NDPMon
	wholeLine    int           // of what shows that it is a whole one, or 0
	wroteUnknown bool          // NDPMon wrote the file itself
	probe        routers.Probe // the one that is being read
	routers      routers.List
	idle         idle
	builtin      builtin
}

func newParser(name string, data []byte) *parser {
	return &parser{Reader: markup.NewReader(name, data), set: &Set{}, idLines: map[string]int{}, routers: routers.NewList()}
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

func (p *parser) rules(rules markup.Element) {
	p.Attributes(rules)
	known := markup.Readers{"rule": p.rule}
	if p.probe == (routers.Probe{}) {
		known["builtin"] = p.builtinElement
	}
	p.Elements(rules, known)
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
