package rulefile

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rules"
)

//go:embed builtin.xml
var builtinXML []byte

// BuiltinXML returns the file of the built-in rules, as a model for one's own.
func BuiltinXML() []byte { return append([]byte(nil), builtinXML...) }

// builtinElement reads <builtin/>: it puts the built-in rules here, but for those
// that except names.
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
