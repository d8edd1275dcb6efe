// Package replay evaluates events again, with the rules in force and with new ones, and says which alerts would come and which would
// go: the command ndmon replay. It publishes nothing.
package replay

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
)

// maxExamples is how many alerts of a rule that come, and that go, are kept as examples.
const maxExamples = 3

// Difference is how the alerts of a rule differ.
type Difference struct {
	Rule string `json:"rule"`
	// Before and After count the alerts with the rules in force and with the new ones, Come and Go those of them that the
	// others do not raise for the same event.
	Before int `json:"before"`
	After  int `json:"after"`
	Come   int `json:"come"`
	Go     int `json:"go"`
	// Coming and Going are the first of those that come, and that go.
	Coming []Example `json:"coming,omitempty"`
	Going  []Example `json:"going,omitempty"`
}

// Example is an alert that comes or goes.
type Example struct {
	Time      time.Time `json:"time"`
	Host      string    `json:"host"`
	Interface string    `json:"interface"`
	// Event is the id of the event, and Summary says who did what to whom.
	Event   string `json:"event"`
	Summary string `json:"summary"`
}

// evaluator evaluates events with a set of rules.
type evaluator struct {
	table      *link.Table
	thresholds *threshold.Counters
	rules      *rules.Evaluator
	raised     map[string]*rules.Rule // by the last event
}

func newEvaluator(set *rulefile.Set, cfg link.Config) *evaluator {
	e := &evaluator{
		table: link.New(cfg), thresholds: threshold.New(threshold.MaxKeys), rules: rules.Compile(set.Rules).NewEvaluator(),
		raised: map[string]*rules.Rule{},
	}
	e.table.Configure(set.Links)
	return e
}

func (v *evaluator) evaluate(e *schemas.Event) {
	e.Link = nil
	v.table.Observe(e)
	clear(v.raised)
	for _, rule := range v.rules.Evaluate(e) {
		if count, _ := v.thresholds.Pass(rule.ID, rule.Threshold, e); count > 0 && rule.Severity != "" {
			v.raised[rule.ID] = rule
		}
	}
}

// comparison compares two sets of rules.
type comparison struct {
	before, after *evaluator
	filter        func(*schemas.Alert) bool
	events        int
	rules         map[string]*Difference
}

func newComparison(before, after *rulefile.Set, cfg link.Config, filter func(*schemas.Alert) bool) *comparison {
	return &comparison{before: newEvaluator(before, cfg), after: newEvaluator(after, cfg), filter: filter, rules: map[string]*Difference{}}
}

// event evaluates an event. Heartbeats and lost frames match no rule.
func (c *comparison) event(e *schemas.Event) {
	if e.Sensor != nil || e.Pinger != nil || e.Lost != nil {
		return
	}
	c.events++
	c.before.evaluate(e)
	c.after.evaluate(e)
	for id, rule := range c.before.raised {
		if c.wants(e, rule) {
			d := c.of(id)
			d.Before++
			if c.after.raised[id] == nil {
				d.Go++
				d.Going = example(d.Going, e)
			}
		}
	}
	for id, rule := range c.after.raised {
		if c.wants(e, rule) {
			d := c.of(id)
			d.After++
			if c.before.raised[id] == nil {
				d.Come++
				d.Coming = example(d.Coming, e)
			}
		}
	}
}

func (c *comparison) wants(e *schemas.Event, rule *rules.Rule) bool {
	return c.filter(&schemas.Alert{Time: e.Time, Host: e.Host, Rule: rule.ID, Severity: rule.Severity})
}

func example(list []Example, e *schemas.Event) []Example {
	if len(list) == maxExamples {
		return list
	}
	text := summary.Of(e)
	if e.Ethernet != nil || e.Inet6 != nil {
		deed := summary.DeedOf(e)
		text = deed.Full + deed.More
	}
	return append(list, Example{e.Time, strings.Clone(e.Host), strings.Clone(e.Interface), strings.Clone(e.ID), text})
}

func (c *comparison) of(rule string) *Difference {
	d := c.rules[rule]
	if d == nil {
		d = &Difference{Rule: rule}
		c.rules[rule] = d
	}
	return d
}

// differences returns how the alerts of each rule differ, those that differ most first.
func (c *comparison) differences() []*Difference {
	list := slices.Collect(maps.Values(c.rules))
	slices.SortFunc(list, func(a, b *Difference) int {
		return cmp.Or(cmp.Compare(b.Come+b.Go, a.Come+a.Go), strings.Compare(a.Rule, b.Rule))
	})
	return list
}
