package rules_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ndmon/ndmon/ruled/internal/corpus"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/schemas"
)

// The naive evaluator is the meaning of the rules, written down without regard for time: a field is a path in
// the published event, and each condition of each rule is looked at.

type naiveRule struct {
	id         string
	conditions []naiveCondition
}

type naiveCondition struct {
	field string
	// values are what is asked for or, with ranged, the least and the largest.
	values []string
	ranged bool
	// nested writes the values as elements.
	nested, negate bool
}

func (r naiveRule) xml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<rule id=%q>", r.id)
	for _, c := range r.conditions {
		name := "match"
		if c.negate {
			name = "no-match"
		}
		fmt.Fprintf(&b, "<%s field=%q", name, c.field)
		switch {
		case field(c.field).Type == schemas.NoValue:
		case c.ranged:
			fmt.Fprintf(&b, " min=%q max=%q", c.values[0], c.values[1])
		case !c.nested:
			fmt.Fprintf(&b, " value=%q", strings.Join(c.values, ", "))
		default:
			fmt.Fprintf(&b, "><value>%s</value></%s>", strings.Join(c.values, "</value><value>"), name)
			continue
		}
		b.WriteString("/>")
	}
	b.WriteString("</rule>\n")
	return b.String()
}

func (r naiveRule) matches(event map[string]any) bool {
	about := func(c naiveCondition) bool {
		return strings.HasPrefix(c.field, "conflict") && (!c.negate || c.field != "conflict")
	}
	if event["conflict"] != nil && !slices.ContainsFunc(r.conditions, about) {
		return false
	}
	for _, c := range r.conditions {
		path := strings.Split(c.field, ".")
		if len(path) > 2 && path[0] == "nd" && path[1] != "opt" && at(event, path[:2]) == nil || len(path) > 1 && path[0] == "conflict" && event["conflict"] == nil {
			return false
		}
		holds := false
		for _, v := range at(event, path) {
			holds = holds || c.is(v)
		}
		if holds == c.negate {
			return false
		}
	}
	return true
}

// at returns what stands at a path; a list stands for all its elements.
func at(v any, path []string) []any {
	switch v := v.(type) {
	case []any:
		var all []any
		for _, element := range v {
			all = append(all, at(element, path)...)
		}
		return all
	case map[string]any:
		if len(path) > 0 {
			member, ok := v[path[0]]
			if !ok {
				return nil
			}
			return at(member, path[1:])
		}
	}
	if len(path) > 0 {
		return nil
	}
	return []any{v}
}

func (c naiveCondition) is(v any) bool {
	f := field(c.field)
	switch {
	case f.Type == schemas.NoValue:
		return v != false && v != ""
	case c.ranged:
		var n, low, high uint64
		fmt.Sscan(v.(json.Number).String()+" "+c.values[0]+" "+c.values[1], &n, &low, &high)
		return low <= n && n <= high
	}
	return slices.ContainsFunc(c.values, func(value string) bool { return isValue(f, value, v) })
}

func isValue(f *schemas.Field, value string, v any) bool {
	switch f.Type {
	case schemas.EthernetAddress:
		hw, err := net.ParseMAC(value)
		return err == nil && hw.String() == v
	case schemas.IPv6Address:
		addr, length, isPrefix := strings.Cut(value, "/")
		bits := uint(128)
		if isPrefix {
			fmt.Sscan(length, &bits)
		}
		prefix, value := netip.MustParseAddr(addr).As16(), netip.MustParseAddr(v.(string)).As16()
		a := new(big.Int).SetBytes(prefix[:])
		b := new(big.Int).SetBytes(value[:])
		return a.Rsh(a, 128-bits).Cmp(b.Rsh(b, 128-bits)) == 0
	case schemas.String:
		return globExpression(value).MatchString(v.(string))
	}
	return v.(json.Number).String() == value
}

// globElement matches an element of a pattern that is more than a character.
var globElement = regexp.MustCompile(`\*|\?|\\.|\[(\\.|[^]])+\]`)

// globExpression says by a regular expression what a pattern matches. The classes and
// escapes of both are written in the same way.
func globExpression(pattern string) *regexp.Regexp {
	expression, rest := "", 0
	for _, at := range globElement.FindAllStringIndex(pattern, -1) {
		element := pattern[at[0]:at[1]]
		switch element {
		case "*":
			element = ".*"
		case "?":
			element = "."
		}
		expression += regexp.QuoteMeta(pattern[rest:at[0]]) + element
		rest = at[1]
	}
	return regexp.MustCompile("(?s)^(" + expression + regexp.QuoteMeta(pattern[rest:]) + ")$")
}

// randomRule makes a rule of values that occur in the corpus, mostly.
func randomRule(rng *rand.Rand, id string, values map[string][]string) naiveRule {
	r := naiveRule{id: id}
	fields := schemas.Fields()
	for range 1 + rng.IntN(4) {
		f := fields[rng.IntN(len(fields))]
		if rng.IntN(3) == 0 { // one that events mostly have
			f = field([]string{"inet6.source", "inet6.destination", "inet6.hoplimit", "ethernet.source", "nd.ns.targetaddress", "nd.opt.sourcelinklayer.address", "direction"}[rng.IntN(7)])
		}
		c := naiveCondition{field: f.Name, negate: rng.IntN(3) == 0}
		switch number := f.Max > 0; {
		case f.Type == schemas.NoValue:
		case number && rng.IntN(3) == 0:
			c.ranged = true
			c.values = randomRange(rng, f, values[f.Name])
		default:
			for range []int{1, 1, 1, 2, 3, 20}[rng.IntN(6)] {
				c.values = append(c.values, randomValue(rng, f, values[f.Name]))
			}
			c.nested = f.Type == schemas.String && f.Enum == nil || rng.IntN(3) == 0
		}
		r.conditions = append(r.conditions, c)
	}
	return r
}

func randomRange(rng *rand.Rand, f *schemas.Field, values []string) []string {
	var low, high uint64
	fmt.Sscan(randomValue(rng, f, values), &low)
	switch fmt.Sscan(randomValue(rng, f, values), &high); rng.IntN(6) {
	case 0:
		low = 0
	case 1:
		high = f.Max
	case 2:
		high = low
	}
	return []string{fmt.Sprint(min(low, high)), fmt.Sprint(max(low, high))}
}

func randomValue(rng *rand.Rand, f *schemas.Field, known []string) string {
	switch {
	case f.Type == schemas.IPv6Address:
		addr := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", rng.IntN(1<<16)))
		if len(known) > 0 && rng.IntN(8) > 0 {
			addr = netip.MustParseAddr(known[rng.IntN(len(known))])
		}
		if rng.IntN(2) == 0 {
			return addr.String()
		}
		return fmt.Sprintf("%s/%d", addr, []int{0, 1, 8, 10, 16, 32, 48, 63, 64, 65, 104, 127, 128}[rng.IntN(13)])
	case len(known) > 0 && rng.IntN(8) > 0:
		value := known[rng.IntN(len(known))]
		if f.Type == schemas.String && f.Enum == nil && rng.IntN(2) == 0 {
			return randomPattern(rng, value)
		}
		if f.Type == schemas.String && f.Enum == nil {
			return strings.NewReplacer(`\`, `\\`, "[", `\[`, "*", `\*`, "?", `\?`).Replace(value)
		}
		return value
	case f.Type == schemas.EthernetAddress:
		return fmt.Sprintf("02:00:00:00:00:%02x", rng.IntN(256))
	case f.Type == schemas.String && f.Enum != nil:
		return f.Enum[rng.IntN(len(f.Enum))]
	case f.Type == schemas.String:
		return "x"
	}
	return fmt.Sprint(rng.Uint64N(f.Max + 1))
}

// randomPattern makes a pattern that the text may match.
func randomPattern(rng *rand.Rand, text string) string {
	elements := strings.Split(strings.NewReplacer(`\`, "?", "[", "?").Replace(text), "")
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(elements) + 1)
		j := i + rng.IntN(len(elements)+1-i)
		wildcard := []string{"*", "?", "[0-9a-f]", "[^x]"}[rng.IntN(4)]
		elements = slices.Concat(elements[:i], []string{wildcard}, elements[j:])
	}
	return strings.Join(elements, "")
}

// valuesOf returns the values of each field in the events, as text.
func valuesOf(t testing.TB, events []*schemas.Event) map[string][]string {
	seen := map[string]bool{}
	values := map[string][]string{}
	for _, e := range events {
		m := tree(t, e)
		for _, f := range schemas.Fields() {
			for _, v := range at(m, strings.Split(f.Name, ".")) {
				if text := fmt.Sprint(v); f.Type != schemas.NoValue && !seen[f.Name+" "+text] {
					seen[f.Name+" "+text] = true
					values[f.Name] = append(values[f.Name], text)
				}
			}
		}
	}
	return values
}

func compileNaive(t testing.TB, naive []naiveRule) *rules.Program {
	t.Helper()
	var b strings.Builder
	b.WriteString("<rules>")
	for _, r := range naive {
		b.WriteString(r.xml())
	}
	b.WriteString("</rules>")
	return rules.Compile(mustParse(t, b.String()).Rules)
}

// compare evaluates an event both ways.
func compare(t testing.TB, ev *rules.Evaluator, naive []naiveRule, e *schemas.Event) int {
	t.Helper()
	var want []string
	if e.Lost == nil && e.Sensor == nil && e.Pinger == nil {
		m := tree(t, e)
		for _, r := range naive {
			if r.matches(m) {
				want = append(want, r.id)
			}
		}
	}
	got := matchingIDs(ev, e)
	if diff := cmp.Diff(want, got); diff != "" {
		for _, r := range naive {
			if strings.Contains(diff, `"`+r.id+`"`) {
				t.Log(r.xml())
			}
		}
		t.Fatalf("%s\n%s", e.AppendJSON(nil), diff)
	}
	return len(got)
}

// TestEvaluateDifferential compares the compiled rules with the naive ones on
// random rules, real events and events made of real ones.
func TestEvaluateDifferential(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	events := corpus.Events(t)
	values := valuesOf(t, events)
	matched := 0
	for _, n := range []int{1, 3, 10, 30, 300} {
		for range 3 {
			var naive []naiveRule
			for i := range n {
				r := randomRule(rng, fmt.Sprintf("r%d", i), values)
				if n > 100 { // conditions that many rules share
					for _, shared := range []naiveCondition{
						{field: "inet6.hoplimit", values: []string{"255"}},
						{field: "direction", values: []string{"in"}},
						{field: "inet6.source", values: []string{"fe80::/10"}, negate: i%2 == 0},
						{field: "icmp6.type", values: []string{"133", "134", "135"}},
						{field: "inet6.hoplimit", values: []string{"1", "255"}, ranged: true},
						{field: "interface", values: []string{"r*"}},
					} {
						if rng.IntN(3) > 0 {
							r.conditions = append(r.conditions, shared)
						}
					}
				}
				naive = append(naive, r)
			}
			ev := compileNaive(t, naive).NewEvaluator()
			for _, e := range events {
				matched += compare(t, ev, naive, e)
			}
			for range 100 {
				matched += compare(t, ev, naive, mutate(t, rng, events))
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matches: the random rules say little", matched)
	}
}

// FuzzEvaluate compares both on any event that can be read.
func FuzzEvaluate(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	events := corpus.Events(f)
	values := valuesOf(f, events)
	var naive []naiveRule
	for i := range 200 {
		naive = append(naive, randomRule(rng, fmt.Sprintf("r%d", i), values))
	}
	program := compileNaive(f, naive)
	for i := 0; i < len(events); i += 10 {
		f.Add(events[i].AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e schemas.Event
		if e.ParseJSON(data) != nil {
			return
		}
		ev := program.NewEvaluator()
		compare(t, ev, naive, &e)
		compare(t, ev, naive, &e)
	})
}
