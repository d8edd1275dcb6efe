package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/schemas"
)

const (
	// clockLimit is how far a clock may be off: as long as a relay command lives by default.
	clockLimit = 3 * time.Second
	// lately is how long lost frames count, and gone how long a silent part is listed.
	lately = 10 * time.Minute
	gone   = 7 * 24 * time.Hour
	// silent is the state of a part that does not answer.
	silent = "silent"
)

// Row describes one daemon.
type Row struct {
	Host  string `json:"host"`
	Part  string `json:"part"`
	State string `json:"state"`
	// Amiss lists the faults, in words.
	Amiss []string `json:"amiss,omitempty"`
	// Clock is how far the clock of the host is ahead of ours, RoundTrip how long the answer took, both in seconds.
	Clock     float64 `json:"clock,omitempty"`
	RoundTrip float64 `json:"roundtrip,omitempty"`
	// DaemonStatus is the answer, nil for a silent part.
	*schemas.DaemonStatus
}

// place is where a sensor or a pinger runs.
type place struct{ host, part string }

// Report has a row for each daemon, in the order of host and part.
type Report struct {
	Rows []Row
	// Besides has faults of the fleet as a whole, Notes the differences among the daemons.
	Besides, Notes []string
}

func newReport(a *answers) *Report {
	r := &Report{}
	var held [schemas.Partitions]bool
	answered, heard, parts := map[place]int{}, map[place]schemas.SilentPart{}, map[string]int{}
	for i := range a.list {
		s := &a.list[i]
		r.Rows = append(r.Rows, newRow(s, a.sent))
		parts[s.Part]++
		for _, p := range s.Partitions {
			if p < schemas.Partitions {
				held[p] = true
			}
		}
		for _, part := range []string{"sensor", "pinger"} {
			if s.Part == "nd-"+part || s.Part == schemas.ServiceNdmon {
				answered[place{s.Host, part}]++
			}
		}
		for _, p := range s.Silent {
			at := place{p.Host, p.Part}
			if known, ok := heard[at]; a.sent.Sub(p.Heard) < gone && len(heard) < maxAnswers && (!ok || known.Heard.Before(p.Heard)) {
				heard[at] = p
			}
		}
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if n := max(answered[place{row.Host, "sensor"}], answered[place{row.Host, "pinger"}]); n > 1 && row.Part != schemas.ServiceRuled {
			row.Amiss = append(row.Amiss, fmt.Sprintf("%d daemons answer as the same part of this host", n))
		}
	}
	for at, p := range heard {
		if answered[at] == 0 {
			what := silent
			if p.Stopped {
				what = "stopped"
			}
			r.Rows = append(r.Rows, Row{Host: p.Host, Part: "nd-" + p.Part, State: silent, Amiss: []string{what + " since " + p.Heard.UTC().Format(time.RFC3339)}})
		}
	}
	slices.SortStableFunc(r.Rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Part, b.Part)) })
	if parts[schemas.ServiceRuled] == 0 && parts[schemas.ServiceSensor]+parts[schemas.ServicePinger] > 0 {
		r.Besides = append(r.Besides, "no nd-ruled answers: the events of sensors are not evaluated, and which parts are silent is not known")
	}
	if parts[schemas.ServiceRuled] > 0 && slices.Contains(held[:], false) {
		r.Besides = append(r.Besides, "some partitions of the events have no nd-ruled; when one ends, another takes them over within 5 s")
	}
	if len(a.list) == 0 {
		r.Besides = append(r.Besides, "no daemon of ndmon answered")
	}
	if a.missed {
		r.Besides = append(r.Besides, "there are too many answers: not all are listed")
	}
	r.compare("versions", func(s *schemas.DaemonStatus) string { return s.Version })
	r.compare("rules", rulesOf)
	return r
}

// newRow makes the row of an answer to a request that was sent at a time.
func newRow(a *answer, sent time.Time) Row {
	s, trip := &a.DaemonStatus, a.at.Sub(sent)
	clock := s.Time.Sub(sent.Add(trip / 2))
	r := Row{Host: s.Host, Part: s.Part, State: s.State, Amiss: slices.Clone(s.Faults), Clock: clock.Seconds(), RoundTrip: trip.Seconds(), DaemonStatus: s}
	if clock.Abs()-trip/2 > clockLimit {
		r.Amiss = append(r.Amiss, fmt.Sprintf("its clock is off by %v", clock.Round(100*time.Millisecond)))
	}
	if s.Rules != nil && s.Rules.Refused != "" {
		r.Amiss = append(r.Amiss, "rules are refused: "+s.Rules.Refused)
	}
	if s.LastLost != nil && s.Time.Sub(*s.LastLost) < lately {
		r.Amiss = append(r.Amiss, "frames were lost "+age(s.Time, *s.LastLost)+" ago")
	}
	if len(s.Silent) == schemas.MaxSilent {
		r.Amiss = append(r.Amiss, "more parts are silent than it lists")
	}
	return r
}

// amiss reports whether anything is amiss.
func (r *Report) amiss() bool {
	return len(r.Besides) > 0 || slices.ContainsFunc(r.Rows, func(r Row) bool { return len(r.Amiss) > 0 })
}

// compare notes that the daemons differ in something, and how many have what.
func (r *Report) compare(what string, of func(*schemas.DaemonStatus) string) {
	counts, values := map[string]int{}, []string{}
	for _, row := range r.Rows {
		if row.DaemonStatus != nil && of(row.DaemonStatus) != "" {
			counts[of(row.DaemonStatus)]++
		}
	}
	for value, n := range counts {
		values = append(values, fmt.Sprintf("%s (%d)", value, n))
	}
	if len(values) > 1 {
		slices.Sort(values)
		r.Notes = append(r.Notes, what+" differ: "+strings.Join(values, ", "))
	}
}

// rulesOf names the rules of a daemon.
func rulesOf(s *schemas.DaemonStatus) string {
	if s.Rules == nil || s.Rules.Revision == 0 {
		return cmp.Or(s.Rules, &schemas.RulesStatus{}).Source
	}
	return fmt.Sprint(s.Rules.Revision)
}
