package rules

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ndmon/ndmon/schemas"
)

// Bounds of a rule file.
const (
	// MaxFileSize is the largest file that Parse takes, in bytes.
	MaxFileSize = 64 << 20

	maxDepth       = 32
	maxID          = 128  // bytes
	maxDescription = 1024 // bytes
)

// Parse reads a rule file, NDPMon's configuration or one of ours. The name is
// that of the file in remarks. If anything is wrong with the file, the error is
// a *Faults with all of it.
//
// Elements of NDPMon's configuration that are not rules are passed over with a
// notice.
func Parse(name string, data []byte) (*Set, error) {
	p := &parser{name: name, set: &Set{}, idLines: map[string]int{}}
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
	p.noticeIgnored()
	if len(p.faults.List) > 0 {
		sortRemarks(p.faults.List)
		return nil, &p.faults
	}
	sortRemarks(p.set.Notices)
	return p.set, nil
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

	encoding     string   // the one that is not read
	ignored      []string // elements that are not acted on
	ignoredLine  int      // of the first
	wroteUnknown bool     // NDPMon wrote the file itself
	probe        string   // the one that is being read
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

func (p *parser) unknown(el, parent element, known ...string) {
	p.faultf(el.line, "unknown element <%s> in <%s>%s", el.name, parent.name, p.didYouMean(el.name, known, "<%s>"))
	p.skip()
}

func (p *parser) root(root element) {
	p.attributes(root)
	known := []string{"rule", "rules", "probes", "probe"}
	p.content(&root, func(el element) {
		switch {
		case el.name == "rule":
			p.rule(el)
		case el.name == "rules":
			p.rules(el)
		case el.name == "probes":
			p.probes(el)
		case el.name == "probe":
			p.probeElement(el)
		case root.name == "config_ndpmon" && slices.Contains(ndpmonElements(), el.name):
			p.ignore(el)
		default:
			if root.name == "config_ndpmon" {
				known = append(known, ndpmonElements()...)
			}
			p.unknown(el, root, known...)
		}
	})
}

// ndpmonElements are the other children of NDPMon's root element: those of
// version 2 first, then those of version 1, which has its settings there.
func ndpmonElements() []string {
	return []string{
		"settings", "countermeasures",
		"routers", "ignor_autoconf", "syslog_facility", "admin_mail", "use_reverse_hostlookups", "soap",
		"actions_low_pri", "actions_high_pri", "actions_low_priority", "actions_high_priority",
		"neighbors", "neighbor_list",
	}
}

func (p *parser) ignore(el element) {
	if p.ignored == nil {
		p.ignoredLine = el.line
	}
	if !slices.Contains(p.ignored, el.name) {
		p.ignored = append(p.ignored, el.name)
	}
	p.skip()
}

func (p *parser) noticeIgnored() {
	if p.ignored != nil {
		p.noticef(p.ignoredLine, "not acted on: <%s>", strings.Join(p.ignored, ">, <"))
	}
	if p.wroteUnknown {
		p.noticef(1, `NDPMon wrote this file itself (value="UNKNOWN"), and then it writes every <no-match> as <match>: compare the rules with your own copy`)
	}
}

func (p *parser) probes(probes element) {
	p.attributes(probes)
	p.content(&probes, func(el element) {
		if el.name != "probe" {
			p.unknown(el, probes, "probe")
			return
		}
		p.probeElement(el)
	})
}

func (p *parser) probeElement(probe element) {
	p.probe = strings.TrimSpace(p.attributes(probe, "name", "type")["name"])
	defer func() { p.probe = "" }()
	first := len(p.set.Rules)
	p.content(&probe, func(el element) {
		switch el.name {
		case "rule":
			p.rule(el)
		case "rules":
			p.rules(el)
		case "routers", "countermeasures_enabled":
			p.ignore(el)
		default:
			p.unknown(el, probe, "rules", "rule", "routers", "countermeasures_enabled")
		}
	})
	if len(p.set.Rules) > first {
		p.noticef(probe.line, "the rules of <probe name=%s> apply to every interface; a condition on the field interface narrows them", quote(p.probe))
	}
}

func (p *parser) rules(rules element) {
	p.attributes(rules)
	p.content(&rules, func(el element) {
		if el.name != "rule" {
			p.unknown(el, rules, "rule")
			return
		}
		p.rule(el)
	})
}

func (p *parser) rule(el element) {
	attrs := p.attributes(el, "id", "description")
	r := Rule{Line: el.line, Probe: p.probe, Description: strings.TrimSpace(attrs["description"])}
	if id, ok := attrs["id"]; ok {
		p.id(&r, strings.TrimSpace(id))
	}
	if fault := unprintable(r.Description, maxDescription); fault != "" {
		p.faultf(el.line, "the description of the rule %s", fault)
	}
	conditions := 0
	alertLine, relayLine := 0, 0
	p.content(&el, func(child element) {
		switch child.name {
		case "match", "no-match", "no_match":
			conditions++
			p.condition(&r, child)
		case "alert":
			p.once(child, &alertLine)
			p.alert(&r, child)
		case "relay":
			p.once(child, &relayLine)
			p.attributes(child)
			p.empty(child)
			r.Relay = true
		default:
			p.unknown(child, el, "match", "no-match", "alert", "relay")
		}
	})
	if conditions == 0 && !p.dead {
		p.faultf(el.line, "the rule has no condition: no <match> and no <no-match>")
	}
	if alertLine == 0 && relayLine == 0 {
		r.Severity = schemas.Warning
	}
	if why := r.neverMatches(); why != "" {
		p.noticef(el.line, "the rule can never match: %s", why)
	}
	p.set.Rules = append(p.set.Rules, r)
}

// once reports an action that a rule already has.
func (p *parser) once(el element, line *int) {
	if *line != 0 {
		p.faultf(el.line, "second <%s> in the rule; the first is on line %d", el.name, *line)
		return
	}
	*line = el.line
}

// empty reads an element that holds nothing.
func (p *parser) empty(el element) {
	p.content(&el, func(child element) { p.unknown(child, el) })
}

func (p *parser) id(r *Rule, id string) {
	if id == "" {
		p.faultf(r.Line, "the id of the rule is empty")
		return
	}
	if fault := unprintable(id, maxID); fault != "" {
		p.faultf(r.Line, "the id of the rule %s", fault)
		return
	}
	if line, taken := p.idLines[id]; taken {
		p.faultf(r.Line, "duplicate rule id %s; the first is on line %d", quote(id), line)
		return
	}
	p.idLines[id] = r.Line
	r.ID = id
}

// unprintable says why a name or description is refused, or "".
func unprintable(s string, most int) string {
	if len(s) > most {
		return fmt.Sprintf("has %d bytes; at most %d are taken", len(s), most)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) && !unicode.Is(unicode.Zs, c) {
			return fmt.Sprintf("has the character %U in it", c)
		}
	}
	return ""
}

func (p *parser) alert(r *Rule, el element) {
	attrs := p.attributes(el, "severity")
	r.Severity = schemas.Warning
	if value, ok := attrs["severity"]; ok {
		switch severity := schemas.Severity(strings.TrimSpace(value)); severity {
		case schemas.Info, schemas.Warning, schemas.Critical:
			r.Severity = severity
		default:
			p.faultf(el.line, "severity %s is not one of %s, %s, %s", quote(value), schemas.Info, schemas.Warning, schemas.Critical)
		}
	}
	p.empty(el)
}

func (p *parser) condition(r *Rule, el element) {
	attrs := p.attributes(el, "field", "value")
	defer p.empty(el)
	name, ok := attrs["field"]
	if !ok {
		p.faultf(el.line, "<%s> has no attribute \"field\"", el.name)
		return
	}
	name = strings.TrimSpace(name)
	field, ok := schemas.FieldByName(name)
	if !ok {
		p.faultf(el.line, "unknown field %s%s", quote(name), p.didYouMean(name, fieldNames(), "%q"))
		return
	}
	c := Condition{Field: field, Negate: el.name != "match"}
	value, given := attrs["value"]
	switch {
	case field.Type != schemas.NoValue && !given:
		p.faultf(el.line, "field %s: no value; it takes a value of type %s, such as %s", name, field.Type, field.Example)
		return
	case field.Type == schemas.NoValue && given && field.NDPMon && value == "UNKNOWN":
		p.wroteUnknown = true
	case field.Type == schemas.NoValue && given:
		p.faultf(el.line, "field %s takes no value, but has %s", name, quote(value))
		return
	case given:
		if err := c.parseValue(value); err != nil {
			p.faultf(el.line, "%v", err)
			return
		}
	}
	r.Conditions = append(r.Conditions, c)
}

func fieldNames() []string {
	var names []string
	for _, f := range schemas.Fields() {
		names = append(names, f.Name)
	}
	return names
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
