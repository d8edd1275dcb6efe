// Package top shows what happens on the links of a router or a fleet: the command ndmon top. It reads the status of the daemons and
// the stored alerts from NATS, with the rights of a viewer.
package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/fleet"
	"github.com/ndmon/ndmon/schemas"
)

const (
	// window is how far back alerts are counted.
	window = 10 * time.Minute
	// maxAlerts bounds the alerts that are counted, the newest.
	maxAlerts = 10_000
	// maxLinks bounds the links and the rules that are shown.
	maxLinks = 10_000
)

// counted is an alert of the last minutes.
type counted struct {
	time       time.Time
	severity   schemas.Severity
	link, rule string
	data       []byte // of the newest ones, else nil
}

// linkRow is a link with its frames and its alerts.
type linkRow struct {
	name   string
	rate   float64 // frames per second, below 0 if unknown
	alerts map[schemas.Severity]int
}

// ruleRow is a rule with its alerts.
type ruleRow struct {
	name     string
	severity schemas.Severity
	alerts   int
	last     counted
}

// state has the links, alerts and daemons that top shows.
type state struct {
	now    time.Time
	parts  int
	faulty []string // parts that are not well, and why
	lost   uint64   // frames, since the daemons started
	frames map[string]sample
	alerts []counted // oldest first
	fault  string    // why something is unknown
}

// sample is the counter of a link's frames at a time, and its rate.
type sample struct {
	frames uint64
	at     time.Time
	rate   float64
}

// status takes over the status of all daemons.
func (s *state) status(rows []fleet.Row, now time.Time) {
	s.parts, s.faulty, s.lost = len(rows), nil, 0
	before := s.frames
	s.frames = map[string]sample{}
	for i := range rows {
		d := rows[i].DaemonStatus
		if len(rows[i].Amiss) > 0 {
			s.faulty = append(s.faulty, rows[i].Part+" of "+rows[i].Host+": "+rows[i].Amiss[0])
		}
		if d == nil {
			continue
		}
		s.lost += d.Lost
		for _, f := range d.Frames {
			name := d.Host + "/" + f.Interface
			if len(s.frames) == maxLinks {
				break
			}
			next := sample{f.Frames, now, -1}
			if old, ok := before[name]; ok && f.Frames >= old.frames && now.After(old.at) {
				next.rate = float64(f.Frames-old.frames) / now.Sub(old.at).Seconds()
			}
			s.frames[name] = next
		}
	}
	slices.Sort(s.faulty)
}

// alert takes over an alert, whose data is kept as long as it is one of the newest.
func (s *state) alert(a *schemas.Alert, data []byte) {
	link := a.Host
	if a.Interface != "" {
		link += "/" + a.Interface
	}
	s.alerts = append(s.alerts, counted{a.Time, a.Severity, link, a.Rule, data})
	if n := len(s.alerts) - maxNewest - 1; n >= 0 {
		s.alerts[n].data = nil
	}
	if len(s.alerts) > 2*maxAlerts {
		s.alerts = slices.Clone(s.alerts[maxAlerts:])
	}
}

// maxNewest is how many alerts are shown themselves.
const maxNewest = 20

// expire drops the alerts that are too old to be counted.
func (s *state) expire() {
	s.alerts = slices.DeleteFunc(s.alerts, func(a counted) bool { return s.now.Sub(a.time) > window })
}

// links returns the links, those with the most severe alerts and then with the most frames first.
func (s *state) links() []linkRow {
	rows := map[string]*linkRow{}
	of := func(name string) *linkRow {
		if rows[name] == nil {
			rows[name] = &linkRow{name: name, rate: -1, alerts: map[schemas.Severity]int{}}
		}
		return rows[name]
	}
	for name, f := range s.frames {
		of(name).rate = f.rate
	}
	for i := range s.alerts {
		of(s.alerts[i].link).alerts[s.alerts[i].severity]++
	}
	list := make([]linkRow, 0, len(rows))
	for _, row := range rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, func(a, b linkRow) int {
		return cmp.Or(cmp.Compare(b.alerts[schemas.Critical], a.alerts[schemas.Critical]), cmp.Compare(b.alerts[schemas.Warning], a.alerts[schemas.Warning]),
			cmp.Compare(b.rate, a.rate), strings.Compare(a.name, b.name))
	})
	return list
}

// rules returns the rules that alerted, those with the newest alerts first.
func (s *state) rules() []ruleRow {
	rows := map[string]*ruleRow{}
	for _, a := range s.alerts {
		row := rows[a.rule]
		if row == nil {
			row = &ruleRow{name: a.rule}
			rows[a.rule] = row
		}
		row.alerts++
		row.severity, row.last = a.severity, a
	}
	list := make([]ruleRow, 0, len(rows))
	for _, row := range rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, func(a, b ruleRow) int {
		return cmp.Or(b.last.time.Compare(a.last.time), strings.Compare(a.name, b.name))
	})
	return list
}
