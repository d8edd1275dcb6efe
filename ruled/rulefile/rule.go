package rulefile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ndmon/ndmon/ruled/internal/printable"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/markup"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

func (p *parser) rule(el markup.Element) {
	attrs := p.Attributes(el, "id", "description")
	r := rules.Rule{Line: el.Line, Description: strings.TrimSpace(attrs["description"])}
	if id, ok := attrs["id"]; ok {
		p.id(&r, strings.TrimSpace(id))
	}
	if fault := printable.Unprintable(r.Description, maxDescription); fault != "" {
		p.Faultf(el.Line, "the description of the rule %s", fault)
	}
	conditions, acts := 0, false
	condition := func(child markup.Element) {
		conditions++
		p.condition(&r, child)
	}
	p.Elements(el, markup.Readers{
		"match":    condition,
		"no-match": condition,
		"no_match": condition, // NDPMon's code has it so, its documentation does not
		"alert": p.Once(el, func(child markup.Element) {
			acts = true
			p.alert(&r, child)
		}),
		"relay": p.Once(el, func(child markup.Element) {
			acts = true
			p.relay(&r, child)
		}),
		"threshold": p.Once(el, func(child markup.Element) { p.threshold(&r, child) }),
	})
	if conditions == 0 && !p.Dead() {
		p.Faultf(el.Line, "the rule has no condition: no <match> and no <no-match>")
	}
	if !acts {
		r.Severity = schemas.Warning
	}
	if why := r.NeverMatches(); why != "" {
		p.Noticef(el.Line, "the rule can never match: %s", why)
	}
	r.Conditions = slices.Concat(conditionsOf(p.probe), r.Conditions)
	p.set.Rules = append(p.set.Rules, r)
}

func (p *parser) id(r *rules.Rule, id string) {
	if id == "" {
		p.Faultf(r.Line, "the id of the rule is empty")
		return
	}
	if fault := printable.Unprintable(id, threshold.MaxRule); fault != "" {
		p.Faultf(r.Line, "the id of the rule %s", fault)
		return
	}
	if line, taken := p.idLines[id]; taken {
		p.Faultf(r.Line, "duplicate rule id %s; the first is on line %d", printable.Quote(id), line)
		return
	}
	p.idLines[id] = r.Line
	r.ID = id
}

func (p *parser) alert(r *rules.Rule, el markup.Element) {
	attrs := p.Attributes(el, "severity")
	r.Severity = schemas.Warning
	if value, ok := attrs["severity"]; ok {
		switch severity := schemas.Severity(strings.TrimSpace(value)); severity {
		case schemas.Info, schemas.Warning, schemas.Critical:
			r.Severity = severity
		default:
			p.Faultf(el.Line, "severity %s is not one of %s, %s, %s", printable.Quote(value), schemas.Info, schemas.Warning, schemas.Critical)
		}
	}
	p.Empty(el)
}

func (p *parser) relay(r *rules.Rule, el markup.Element) {
	attrs := p.Attributes(el, "to")
	p.Empty(el)
	r.Relay = []string{rules.RelayOrigin}
	if to, ok := attrs["to"]; ok {
		r.Relay = p.relayHosts(el, to)
	}
}

func (p *parser) relayHosts(el markup.Element, to string) []string {
	hosts := strings.FieldsFunc(to, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	switch {
	case len(hosts) == 0:
		p.wrongAttribute(el, "to", to, true, fmt.Sprintf("%s, %s, or names of hosts separated by spaces or commas", rules.RelayOrigin, rules.RelayAll))
	case len(hosts) > maxRelayHosts:
		p.Faultf(el.Line, "<relay> to %d hosts; at most %d are taken, and %q is every host", len(hosts), maxRelayHosts, rules.RelayAll)
	case len(hosts) > 1 && slices.Contains(hosts, rules.RelayAll):
		p.Faultf(el.Line, "<relay> to %q, which is every host, and to others", rules.RelayAll)
	}
	for i, host := range hosts[:min(len(hosts), maxRelayHosts)] {
		if fault := printable.Unprintable(host, maxHost); fault != "" {
			p.Faultf(el.Line, "the host %s in <relay> %s", printable.Quote(host), fault)
		}
		if strings.ContainsAny(host, "*?") {
			p.Faultf(el.Line, "<relay> to %s, a pattern; it takes whole names, and %q is every host", printable.Quote(host), rules.RelayAll)
		}
		if slices.Contains(hosts[:i], host) {
			p.Faultf(el.Line, "<relay> to %s twice", printable.Quote(host))
		}
	}
	return hosts
}

func (p *parser) threshold(r *rules.Rule, el markup.Element) {
	attrs := p.Attributes(el, "type", "track", "count", "seconds", "cap")
	p.Empty(el)
	r.Threshold = &threshold.Threshold{
		Type:    p.thresholdType(el, attrs),
		Track:   p.track(el, attrs),
		Count:   p.atLeastOne(el, attrs, "count", 1<<32-1),
		Seconds: p.atLeastOne(el, attrs, "seconds", threshold.MaxSeconds),
	}
	if _, ok := attrs["cap"]; ok {
		r.Threshold.Cap = p.atLeastOne(el, attrs, "cap", 1<<32-1)
	}
}

func (p *parser) thresholdType(el markup.Element, attrs map[string]string) threshold.Type {
	value, given := attrs["type"]
	switch t := threshold.Type(strings.TrimSpace(value)); t {
	case threshold.TypeLimit, threshold.TypeThreshold, threshold.TypeBoth:
		return t
	}
	p.wrongAttribute(el, "type", value, given, fmt.Sprintf("one of %s, %s, %s", threshold.TypeLimit, threshold.TypeThreshold, threshold.TypeBoth))
	return ""
}

func (p *parser) atLeastOne(el markup.Element, attrs map[string]string, name string, most uint64) uint32 {
	value, given := attrs[name]
	n, err := markup.ParseNumber(value, most)
	if err != nil || n == 0 {
		p.wrongAttribute(el, name, value, given, fmt.Sprintf("a number from 1 to %d", most))
	}
	return uint32(n)
}

func (p *parser) wrongAttribute(el markup.Element, name, value string, given bool, want string) {
	if given {
		p.Faultf(el.Line, "%s %s of <%s> is not %s", name, printable.Quote(value), el.Name, want)
	} else {
		p.Faultf(el.Line, "<%s> has no attribute %q; it takes %s", el.Name, name, want)
	}
}

func (p *parser) track(el markup.Element, attrs map[string]string) []*schemas.Field {
	value, given := attrs["track"]
	if !given {
		return defaultTrack()
	}
	var track []*schemas.Field
	for name := range strings.SplitSeq(value, ",") {
		f := p.field(el, name)
		switch {
		case f == nil:
		case slices.Contains(track, f):
			p.Faultf(el.Line, "field %s is tracked twice", f.Name)
		default:
			track = append(track, f)
		}
	}
	return track
}

// defaultTrack returns the fields that are tracked by default: those of a link.
func defaultTrack() []*schemas.Field {
	var track []*schemas.Field
	for _, name := range []string{"host", "interface"} {
		if f, ok := schemas.FieldByName(name); ok {
			track = append(track, f)
		}
	}
	return track
}

// conditionsOf returns the conditions that a frame of a probe's link meets.
func conditionsOf(probe routers.Probe) []rules.Condition {
	var conditions []rules.Condition
	for _, c := range []struct{ field, value string }{{"host", probe.Host}, {"interface", probe.Interface}} {
		if f, ok := schemas.FieldByName(c.field); ok && c.value != "" {
			conditions = append(conditions, rules.Condition{Field: f, Values: []rules.Value{{Str: c.value}}})
		}
	}
	return conditions
}
