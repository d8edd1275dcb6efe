package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ndmon/ndmon/schemas"
)

func (p *parser) rule(el element) {
	attrs := p.attributes(el, "id", "description")
	r := Rule{Line: el.line, Description: strings.TrimSpace(attrs["description"])}
	if id, ok := attrs["id"]; ok {
		p.id(&r, strings.TrimSpace(id))
	}
	if fault := unprintable(r.Description, maxDescription); fault != "" {
		p.faultf(el.line, "the description of the rule %s", fault)
	}
	conditions, acts := 0, false
	condition := func(child element) {
		conditions++
		p.condition(&r, child)
	}
	p.elements(el, readers{
		"match":    condition,
		"no-match": condition,
		"no_match": condition, // NDPMon's code has it so, its documentation does not
		"alert": p.once(el, func(child element) {
			acts = true
			p.alert(&r, child)
		}),
		"relay": p.once(el, func(child element) {
			acts = true
			p.relay(&r, child)
		}),
		"threshold": p.once(el, func(child element) { p.threshold(&r, child) }),
	})
	if conditions == 0 && !p.dead {
		p.faultf(el.line, "the rule has no condition: no <match> and no <no-match>")
	}
	if !acts {
		r.Severity = schemas.Warning
	}
	if why := r.neverMatches(); why != "" {
		p.noticef(el.line, "the rule can never match: %s", why)
	}
	r.Conditions = slices.Concat(p.probe.conditions(), r.Conditions)
	p.set.Rules = append(p.set.Rules, r)
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

func (p *parser) relay(r *Rule, el element) {
	attrs := p.attributes(el, "to")
	p.empty(el)
	r.Relay = []string{RelayOrigin}
	if to, ok := attrs["to"]; ok {
		r.Relay = p.relayHosts(el, to)
	}
}

// relayHosts reads the hosts that a rule relays to.
func (p *parser) relayHosts(el element, to string) []string {
	hosts := strings.FieldsFunc(to, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	switch {
	case len(hosts) == 0:
		p.wrongAttribute(el, "to", to, true, fmt.Sprintf("%s, %s, or names of hosts separated by spaces or commas", RelayOrigin, RelayAll))
	case len(hosts) > maxRelayHosts:
		p.faultf(el.line, "<relay> to %d hosts; at most %d are taken, and %q is every host", len(hosts), maxRelayHosts, RelayAll)
	case len(hosts) > 1 && slices.Contains(hosts, RelayAll):
		p.faultf(el.line, "<relay> to %q, which is every host, and to others", RelayAll)
	}
	for i, host := range hosts[:min(len(hosts), maxRelayHosts)] {
		if fault := unprintable(host, maxHost); fault != "" {
			p.faultf(el.line, "the host %s in <relay> %s", quote(host), fault)
		}
		if strings.ContainsAny(host, "*?") {
			p.faultf(el.line, "<relay> to %s, a pattern; it takes whole names, and %q is every host", quote(host), RelayAll)
		}
		if slices.Contains(hosts[:i], host) {
			p.faultf(el.line, "<relay> to %s twice", quote(host))
		}
	}
	return hosts
}

func (p *parser) threshold(r *Rule, el element) {
	attrs := p.attributes(el, "type", "track", "count", "seconds", "cap")
	p.empty(el)
	r.Threshold = &Threshold{
		Type:    p.thresholdType(el, attrs),
		Track:   p.track(el, attrs),
		Count:   p.atLeastOne(el, attrs, "count", 1<<32-1),
		Seconds: p.atLeastOne(el, attrs, "seconds", MaxThresholdSeconds),
	}
	if _, ok := attrs["cap"]; ok {
		r.Threshold.Cap = p.atLeastOne(el, attrs, "cap", 1<<32-1)
	}
}

func (p *parser) thresholdType(el element, attrs map[string]string) ThresholdType {
	value, given := attrs["type"]
	switch t := ThresholdType(strings.TrimSpace(value)); t {
	case TypeLimit, TypeThreshold, TypeBoth:
		return t
	}
	p.wrongAttribute(el, "type", value, given, fmt.Sprintf("one of %s, %s, %s", TypeLimit, TypeThreshold, TypeBoth))
	return ""
}

func (p *parser) atLeastOne(el element, attrs map[string]string, name string, most uint64) uint32 {
	value, given := attrs[name]
	n, err := parseNumber(value, most)
	if err != nil || n == 0 {
		p.wrongAttribute(el, name, value, given, fmt.Sprintf("a number from 1 to %d", most))
	}
	return uint32(n)
}

// wrongAttribute reports an attribute that is not what it has to be.
func (p *parser) wrongAttribute(el element, name, value string, given bool, want string) {
	if given {
		p.faultf(el.line, "%s %s of <%s> is not %s", name, quote(value), el.name, want)
	} else {
		p.faultf(el.line, "<%s> has no attribute %q; it takes %s", el.name, name, want)
	}
}

// track reads the fields that a threshold counts for.
func (p *parser) track(el element, attrs map[string]string) []*schemas.Field {
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
			p.faultf(el.line, "field %s is tracked twice", f.Name)
		default:
			track = append(track, f)
		}
	}
	return track
}
