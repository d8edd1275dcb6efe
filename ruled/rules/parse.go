package rules

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"strconv"
)

// Bounds of a rule file.
const (
	// MaxFileSize is the largest file that Parse takes, in bytes.
	MaxFileSize = 64 << 20

	maxDepth       = 32
	maxID          = 128  // bytes
	maxDescription = 1024 // bytes
	maxHost        = 255  // bytes, as a sensor's name of its host
	maxRelayHosts  = 256
)

// Parse reads a rule file, NDPMon's configuration or one of ours. The name is
// that of the file in remarks. If anything is wrong with the file, the error is
// a *Faults with all of it.
//
// What a configuration of NDPMon sets that is not acted on is named in a notice.
// NDPMon checks more than its rules say, so to a whole configuration, one with
// settings or routers, the built-in rules are added.
func Parse(name string, data []byte) (*Set, error) {
	return newParser(name).parse(data)
}

// parser walks the elements of a file by recursive descent.
type parser struct {
	name     string
	decoder  *xml.Decoder
	lastLine int
	depth    int
	dead     bool // the XML cannot be read any further

	set     *Set
	faults  Faults
	idLines map[string]int // id to the line of the rule that has it

	encoding     string // the one that is not read
	ndpmon       bool   // the root is that of a configuration of NDPMon
	wholeLine    int    // of what shows that it is a whole one, or 0
	wroteUnknown bool   // NDPMon wrote the file itself
	probe        probe  // the one that is being read
	routers      routerList
	idle         idle
	builtin      builtin
}

func newParser(name string) *parser {
	return &parser{name: name, set: &Set{}, idLines: map[string]int{}, routers: newRouterList()}
}

func (p *parser) parse(data []byte) (*Set, error) {
	p.lastLine = 1 + bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if fault := unreadable(data); fault != "" {
		p.faultf(1, "%s", fault)
		return nil, &p.faults
	}
	data = bytes.TrimPrefix(data, []byte(utf8BOM))
	p.decoder = xml.NewDecoder(bytes.NewReader(data))
	p.decoder.CharsetReader = p.charset

	p.document()
	p.nameRules()
	p.include()
	p.set.Links = p.routers.sorted()
	p.notices()
	if len(p.faults.List) > 0 {
		sortRemarks(p.faults.List)
		return nil, &p.faults
	}
	sortRemarks(p.set.Notices)
	return p.set, nil
}

func (p *parser) faultf(line int, format string, args ...any) {
	if len(p.faults.List) == maxRemarks {
		p.faults.More++
		return
	}
	// A position at the very end, or behind a lone carriage return, which XML
	// takes for a line end, may be counted one line too far.
	line = min(line, p.lastLine)
	p.faults.List = append(p.faults.List, Remark{p.name, line, shorten(fmt.Sprintf(format, args...), maxMessage)})
}

func (p *parser) faultCount() int { return len(p.faults.List) + p.faults.More }

func (p *parser) noticef(line int, format string, args ...any) {
	if len(p.set.Notices) < maxRemarks {
		p.set.Notices = append(p.set.Notices, Remark{p.name, line, fmt.Sprintf(format, args...)})
	}
}

// document reads the file: one root element.
func (p *parser) document() {
	var root *element
	p.content(nil, func(el element) {
		switch {
		case root != nil:
			p.faultf(el.line, "second root element <%s>; the first, <%s>, is on line %d", el.name, root.name, root.line)
			p.skip()
		case el.name != "config_ndpmon" && el.name != "rules":
			root = &el
			p.faultf(el.line, "the root element is <%s>, not <config_ndpmon> or <rules>", el.name)
			p.skip()
		default:
			root = &el
			p.root(el)
		}
	})
	if root == nil && len(p.faults.List) == 0 {
		p.faultf(p.lastLine, "no root element <config_ndpmon> or <rules>")
	}
}

func (p *parser) root(root element) {
	p.attributes(root)
	p.ndpmon = root.name == "config_ndpmon"
	known := readers{
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
	p.elements(root, known)
}

func (p *parser) rules(rules element) {
	p.attributes(rules)
	known := readers{"rule": p.rule}
	if p.probe == (probe{}) {
		known["builtin"] = p.builtinElement
	}
	p.elements(rules, known)
}

// notices says what the file as a whole gives cause for.
func (p *parser) notices() {
	p.noticeIdle()
	if len(p.set.Rules) == 0 {
		p.noticef(1, "no rules: nothing raises an alert")
	}
	if p.wroteUnknown {
		p.noticef(1, `NDPMon wrote this file itself (value="UNKNOWN"), and then it writes every <no-match> as <match>: compare the rules with your own copy`)
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
