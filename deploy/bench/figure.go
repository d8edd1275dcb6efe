//go:build linux

package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Unit is what a Figure is counted in.
type Unit string

// The units.
const (
	Count     Unit = "1"
	PerSecond Unit = "1/s"
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	// Percent is of one core unless the figure says of what.
	Percent Unit = "%"
)

// Figure is something measured.
type Figure struct {
	Scenario string  `json:"scenario"`
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     Unit    `json:"unit"`
	// Target is what it must reach, nil if nothing is asked of it.
	Target *Target `json:"target,omitempty"`
	// Met says whether it does, nil without a target.
	Met *bool `json:"met,omitempty"`
}

// Target is a bound of a figure, in its unit.
type Target struct {
	// Is is one of "<", ">=" and "=".
	Is    string  `json:"is"`
	Value float64 `json:"value"`
}

func below(v float64) *Target   { return &Target{"<", v} }
func atLeast(v float64) *Target { return &Target{">=", v} }
func exactly(v float64) *Target { return &Target{"=", v} }

func (f Figure) verdict() *bool {
	if f.Target == nil {
		return nil
	}
	var met bool
	switch f.Target.Is {
	case "<":
		met = f.Value < f.Target.Value
	case ">=":
		met = f.Value >= f.Target.Value
	case "=":
		met = f.Value == f.Target.Value
	}
	return &met
}

// text writes a value for a person.
func (u Unit) text(v float64) string {
	switch u {
	case Seconds:
		d := time.Duration(v * float64(time.Second))
		digit := time.Duration(1) // the third one
		for d >= 1000*digit {
			digit *= 10
		}
		return d.Round(digit).String()
	case Bytes:
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " MB"
	case Percent:
		return strconv.FormatFloat(v, 'f', 2, 64) + " %"
	case PerSecond:
		return thousands(v) + "/s"
	}
	return thousands(v)
}

// thousands writes a whole number with its thousands set off.
func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// WriteTable writes figures as a table for a person.
func WriteTable(w io.Writer, figures []Figure) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tMEASURED\tFIGURE\tTARGET\t")
	scenario := ""
	for _, f := range figures {
		first := ""
		if f.Scenario != scenario {
			scenario, first = f.Scenario, f.Scenario
		}
		target, met := "", ""
		if f.Target != nil {
			target = f.Target.Is + " " + f.Unit.text(f.Target.Value)
			met = "met"
			if !*f.Met {
				met = "MISSED"
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", first, f.Name, f.Unit.text(f.Value), target, met)
	}
	return table.Flush()
}

// spread adds the figures of how long something took, each one against its
// target, nil for none.
func (r *run) spread(what string, took []time.Duration, median, p99 *Target) {
	r.Helper()
	if len(took) == 0 {
		r.Fatalf("nothing was measured of %s", what)
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1)+0.5)].Seconds() }
	r.add(Figure{Name: what + ", minimum", Value: at(0), Unit: Seconds})
	r.add(Figure{Name: what + ", median", Value: at(0.5), Unit: Seconds, Target: median})
	r.add(Figure{Name: what + ", p99", Value: at(0.99), Unit: Seconds, Target: p99})
	r.add(Figure{Name: what + ", maximum", Value: at(1), Unit: Seconds})
}
