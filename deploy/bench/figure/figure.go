// Package figure holds what a benchmark measured: figures with their targets, and
// the report of them for people and programs.
package figure

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Unit is the unit of a Figure.
type Unit string

// The units.
const (
	Count     Unit = "1"
	PerSecond Unit = "1/s"
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	// Percent of one core, unless the name of the figure says otherwise.
	Percent Unit = "%"
)

// Figure is a measured value.
type Figure struct {
	Scenario string `json:"scenario"`
	// Program names the program that was measured, and the rate.
	Program string  `json:"program"`
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    Unit    `json:"unit"`
	// Ratios are to the same figure of programs that were measured before.
	Ratios []Ratio `json:"ratios,omitempty"`
	// Target is the required value, nil if there is none.
	Target *Target `json:"target,omitempty"`
	// Met reports whether the value meets the target, nil without a target.
	Met *bool `json:"met,omitempty"`
}

// Ratio is how many times the figure of another program a figure is.
type Ratio struct {
	To    string  `json:"to"`
	Times float64 `json:"times"`
}

func (r Ratio) String() string { return fmt.Sprintf("%.2f × %s", r.Times, r.To) }

// Target is a bound for a figure, in the unit of the figure.
type Target struct {
	// Is is one of "<", "<=", ">=" and "=".
	Is    string  `json:"is"`
	Value float64 `json:"value"`
	// To is the program to which the ratio has this bound, empty if the value has.
	To string `json:"to,omitempty"`
}

// Below returns a target that is met by smaller values.
func Below(v float64) *Target { return &Target{Is: "<", Value: v} }

// Times returns a target that is met by values up to v times that of a program.
func Times(v float64, to string) *Target { return &Target{"<=", v, to} }

// AtLeastTimes returns a target that is met by values of v times that of a program.
func AtLeastTimes(v float64, to string) *Target { return &Target{">=", v, to} }

// AtLeast returns a target that is met by v and larger values.
func AtLeast(v float64) *Target { return &Target{Is: ">=", Value: v} }

// Exactly returns a target that is met by v only.
func Exactly(v float64) *Target { return &Target{Is: "=", Value: v} }

// Verdict reports whether a figure meets its target, nil if it has none.
func (f Figure) Verdict() *bool {
	if f.Target == nil {
		return nil
	}
	value := f.Value
	if to := f.Target.To; to != "" {
		value = math.NaN() // meets nothing
		for _, r := range f.Ratios {
			if r.To == to {
				value = r.Times
			}
		}
	}
	var met bool
	switch f.Target.Is {
	case "<":
		met = value < f.Target.Value
	case "<=":
		met = value <= f.Target.Value
	case ">=":
		met = value >= f.Target.Value
	case "=":
		met = value == f.Target.Value
	}
	return &met
}

// Text formats a value for people.
func (u Unit) Text(v float64) string {
	switch u {
	case Seconds:
		d := time.Duration(v * float64(time.Second))
		digit := time.Duration(1) // the third one
		for d >= 1000*digit {
			digit *= 10
		}
		return d.Round(digit).String()
	case Bytes:
		if v < 1e6 {
			return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " kB"
		}
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " MB"
	case Percent:
		return strconv.FormatFloat(v, 'f', 2, 64) + " %"
	case PerSecond:
		return thousands(v) + "/s"
	}
	return thousands(v)
}

// thousands formats a whole number with separators.
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

// Report is the output of ndbench.
type Report struct {
	Machine Machine  `json:"machine"`
	Figures []Figure `json:"figures"`
}

// target formats a target and its verdict.
func (f Figure) target() string {
	if f.Target == nil {
		return "\t"
	}
	bound := f.Unit.Text(f.Target.Value)
	if f.Target.To != "" {
		bound = Ratio{f.Target.To, f.Target.Value}.String()
	}
	verdict := "MISSED"
	if *f.Met {
		verdict = "met"
	}
	return f.Target.Is + " " + bound + "\t" + verdict
}

// WriteText writes the report as a table.
func (r Report) WriteText(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%v\n\n", r.Machine); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tPROGRAM\tMEASURED\tFIGURE\tRATIO\tTARGET\t")
	var last Figure
	for _, f := range r.Figures {
		scenario, program := f.Scenario, f.Program
		if scenario == last.Scenario {
			scenario = ""
			if program == last.Program {
				program = ""
			}
		}
		last = f
		var ratios []string
		for _, r := range f.Ratios {
			ratios = append(ratios, r.String())
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", scenario, program, f.Name, f.Unit.Text(f.Value), strings.Join(ratios, ", "), f.target())
	}
	return table.Flush()
}

// WriteJSON writes the report as JSON.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Machine describes the machine of a report.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	// Ndmon is the version that the measured ndmon prints.
	Ndmon string `json:"ndmon"`
	// Load has the load averages before the first scenario.
	Load string `json:"load"`
}

// ThisMachine describes this machine and the ndmon in a folder. A member is empty if
// it cannot be read.
func ThisMachine(bin string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if text, err := exec.Command(filepath.Join(bin, "ndmon"), "--version").Output(); err == nil {
		m.Ndmon = strings.TrimSpace(string(text))
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), Linux %s, load %s before\nndbench of %s, measuring %s", m.Cores, m.Processor, m.Kernel, m.Load, m.Go, m.Ndmon)
}
