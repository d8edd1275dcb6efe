package rules

import (
	"slices"

	"github.com/ndmon/ndmon/schemas"
)

// Evaluator finds the rules of a Program that events match. It uses its memory again, so that
// an event allocates nothing. It serves one goroutine.
type Evaluator struct {
	program *Program
	event   *schemas.Event
	// round counts the events. Entries with an older number are void.
	round  uint64
	values []schemas.Value // of the fields that were read from this event
	slots  []span
	gates  []entrance
	levels []uint64 // by level: the round in which it was looked up
	seen   []uint64 // by rule: the round in which it was checked
	found  []int32  // the rules that match
	out    []*Rule
}

// span is where in values those of a field are.
type span struct {
	round      uint64
	begin, end int
}

// entrance records whether a gate is open, and where it leads.
type entrance struct {
	round  uint64
	open   bool
	inside schemas.Inside
}

// maxScratch is how many values an evaluator keeps memory for, far more than a usual frame has.
const maxScratch = 4096

// NewEvaluator returns an evaluator for the caller's goroutine.
func (p *Program) NewEvaluator() *Evaluator {
	return &Evaluator{
		program: p,
		slots:   make([]span, len(p.fields)),
		gates:   make([]entrance, len(p.gates)),
		levels:  make([]uint64, p.levels),
		seen:    make([]uint64, len(p.rules)),
	}
}

// Evaluate returns the rules that the event matches, in the order of the rule file. The slice
// is valid until the next call. An event without a frame matches none, except that a conflict
// matches the rules about conflicts.
func (ev *Evaluator) Evaluate(e *schemas.Event) []*Rule {
	if e.Lost != nil || e.Sensor != nil || e.Pinger != nil {
		return nil
	}
	ev.round++
	ev.event = e
	if cap(ev.values) > maxScratch {
		ev.values = nil
	}
	ev.values = ev.values[:0]
	ev.found = ev.found[:0]
	ev.level(ev.program.top)
	ev.event = nil
	if len(ev.found) == 0 {
		return nil
	}
	slices.Sort(ev.found)
	ev.out = ev.out[:0]
	for _, rule := range ev.found {
		if e.Conflict != nil && !ev.program.conflicts[rule] {
			continue
		}
		ev.out = append(ev.out, &ev.program.rules[rule])
	}
	return ev.out
}

// level checks the rules of a level that the event may match.
func (ev *Evaluator) level(l *level) {
	if ev.levels[l.number] == ev.round {
		return
	}
	ev.levels[l.number] = ev.round
	for i := range l.groups {
		g := &l.groups[i]
		var at *entrance
		if g.gate != noGate {
			if at = ev.enter(g.gate); !at.open {
				continue
			}
		}
		for _, ix := range g.indexes {
			if ix.flag != nil && !ix.flag.FlagIn(at.inside) {
				continue // as most flags are
			}
			ev.lookUp(ix)
		}
	}
	ev.check(l.unfiled)
}

func (ev *Evaluator) enter(number int) *entrance {
	g := &ev.gates[number]
	if g.round != ev.round {
		g.round = ev.round
		g.inside, g.open = ev.program.gates[number].Enter(ev.event)
	}
	return g
}

// lookUp checks the rules that are filed under what the event has in a field.
func (ev *Evaluator) lookUp(ix *index) {
	values := ev.field(ix.slot)
	if len(values) == 0 {
		return
	}
	ev.bucket(&ix.present)
	for i := range values {
		v := &values[i]
		if ix.numbers != nil {
			ev.bucket(ix.numbers[v.Num])
		}
		if ix.strings != nil {
			ev.bucket(ix.strings[v.Str])
		}
		for _, n := range ix.lengths {
			if n <= len(v.Str) {
				ev.bucket(ix.heads[v.Str[:n]])
			}
		}
		if ix.addresses != nil {
			ev.bucket(ix.addresses[v.Addr])
		}
		if ix.prefixes.table != nil {
			addr := v.Addr
			if ix.ranges {
				addr = numberAddr(v.Num)
			}
			n, _ := ix.prefixes.table.Lookup(addr)
			for ; n != nil; n = n.parent {
				ev.bucket(&n.bucket)
			}
		}
	}
}

// bucket checks the rules of a bucket; nil has none.
func (ev *Evaluator) bucket(b *bucket) {
	if b == nil {
		return
	}
	if b.level != nil {
		ev.level(b.level)
	}
	ev.check(b.rules)
}

func (ev *Evaluator) check(rules []int32) {
next:
	for _, rule := range rules {
		if ev.seen[rule] == ev.round {
			continue
		}
		ev.seen[rule] = ev.round
		checks := ev.program.checks[rule]
		for i := range checks {
			if c := &checks[i]; !c.holds(ev.field(c.slot)) {
				continue next
			}
		}
		ev.found = append(ev.found, rule)
	}
}

// field returns the values of the field in a slot. It reads them from the event the first time.
func (ev *Evaluator) field(i int) []schemas.Value {
	s := &ev.slots[i]
	if s.round != ev.round {
		begin := len(ev.values)
		f := ev.program.fields[i]
		if number := ev.program.gate[i]; number == noGate {
			ev.values = f.AppendValues(ev.values, ev.event)
		} else if g := ev.enter(number); g.open {
			ev.values = f.AppendValuesIn(ev.values, g.inside)
		}
		*s = span{ev.round, begin, len(ev.values)}
	}
	return ev.values[s.begin:s.end]
}
