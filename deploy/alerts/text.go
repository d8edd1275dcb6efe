package alerts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ndmon/ndmon/deploy/terminal"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/schemas"
)

// Text is the format for people. An alert is one line of at most 120 columns: time, severity, host/interface, rule, and
// who did what to whom. Where that does not fit, as on a narrow terminal, it is two lines. Further alerts of the same
// frame follow as indented lines, with what their rules are about. A line with the date comes before the first alert of a day.
type Text struct {
	Colour bool
	// Verbose adds what is left out: descriptions, summaries, ids, and the fields of the events.
	Verbose bool
	// Columns, if set, returns the width of the terminal, 0 for none.
	Columns func() int
	// Zone is that of the times, nil for the local one.
	Zone *time.Location
}

const (
	maxColumns = 120 // of a line
	minColumns = 40  // of a terminal: with less, lines are not made to fit
	clock      = "15:04:05 "
	indent     = "         "          // as long as the clock
	hang       = indent + "         " // before a second line: as long as clock and severity
)

// TextFor returns the format for a standard output, which may be a terminal.
func TextFor(out io.Writer, verbose bool) Text {
	return Text{Verbose: verbose, Colour: terminal.Colour(out), Columns: func() int { return terminal.Width(out) }}
}

// Format returns the format for one writer.
func (t Text) Format() Format {
	var day, frame string // of the alert before
	return func(data []byte) ([]byte, error) {
		var a schemas.Alert
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, err
		}
		at := a.Time.In(cmp.Or(t.Zone, time.Local))
		event := strings.TrimSuffix(a.ID, "."+a.Rule)
		var lines []byte
		if d := at.Format(time.DateOnly); d != day {
			lines = append(lines, d+"\n"...)
			day, frame = d, ""
		}
		severity := fmt.Sprintf("%-8s ", a.Severity)
		e, text := frameOf(&a), ""
		switch columns := t.columns(); {
		case event != "" && event == frame:
			e = nil // the first alert has shown it
			text = Wrap(indent+severity+a.Rule+"  "+about(&a), columns, 2)
		case e == nil:
			text = Wrap(at.Format(clock)+severity+where(&a, e)+"  "+a.Rule+"  "+about(&a), columns, 2)
		default:
			text = fit(at.Format(clock)+severity+where(&a, e)+"  "+a.Rule, deed(&a, e), columns)
		}
		frame = event
		return t.details(append(lines, t.paint(text, a.Severity)...), &a, e), nil
	}
}

// frameOf returns the event of an alert, nil if that is no frame or cannot be read.
func frameOf(a *schemas.Alert) *schemas.Event {
	e := new(schemas.Event)
	if e.ParseJSON(a.Event) != nil || e.Ethernet == nil && e.Inet6 == nil {
		return nil
	}
	e.Link = a.Link
	return e
}

// about returns what the rule of an alert is about. Without a frame, the summary belongs to it.
func about(a *schemas.Alert) string {
	switch {
	case a.Description == "":
		return a.Summary
	case frameOf(a) == nil && a.Summary != "":
		return a.Description + ": " + a.Summary
	}
	return a.Description
}

// deed returns who did what to whom.
func deed(a *schemas.Alert, e *schemas.Event) summary.Deed {
	d := summary.DeedOf(e)
	if a.Count > 1 {
		times := fmt.Sprintf("%d times: ", a.Count)
		d.Full, d.Brief = times+d.Full, times+d.Brief
	}
	return d
}

// where returns host/interface of an alert with the VLANs, or the host.
func where(a *schemas.Alert, e *schemas.Event) string {
	s := a.Host
	if a.Interface != "" {
		s += "/" + a.Interface
	}
	if e != nil && e.Ethernet != nil {
		for _, tag := range []*uint16{e.Ethernet.VLAN, e.Ethernet.InnerVLAN} {
			if tag != nil {
				s += fmt.Sprintf(".%d", *tag)
			}
		}
	}
	return s
}

// fit returns the line of an alert with as much of the deed as there is room for. If the deed needs lines of its own, they follow.
func fit(head string, d summary.Deed, columns int) string {
	text := func(begin string) string {
		if length(begin+d.Full) > columns {
			return begin + d.Brief
		}
		return begin + d.Full
	}
	if line := text(head + "  "); length(line) <= columns {
		return oneLine(line+d.More, columns)
	}
	head = oneLine(head, columns)
	if line := text(indent); length(line) <= columns {
		return head + oneLine(line+d.More, columns)
	}
	return head + Wrap(indent+d.Full+d.More, columns, 2)
}

// paint colours the severity in a line, where it is the first such word.
func (t Text) paint(line string, s schemas.Severity) string {
	colour := map[schemas.Severity]string{schemas.Info: "\x1b[36m", schemas.Warning: "\x1b[33m", schemas.Critical: "\x1b[1;31m"}[s]
	if !t.Colour || colour == "" {
		return line
	}
	return strings.Replace(line, string(s), colour+string(s)+"\x1b[0m", 1)
}

func (t Text) columns() int {
	if t.Columns == nil {
		return maxColumns
	}
	return LineLength(t.Columns())
}

// LineLength returns how many columns a line may have on a terminal of so many, 0 for none.
func LineLength(columns int) int {
	if columns < minColumns {
		return maxColumns
	}
	return min(columns, maxColumns)
}

// details appends what a line leaves out. The event is nil if the line before has shown it, or if there is none.
func (t Text) details(lines []byte, a *schemas.Alert, e *schemas.Event) []byte {
	if !t.Verbose {
		return lines
	}
	parts := []string{fmt.Sprintf("id %s, time %s, count %d", a.ID, a.Time.UTC().Format(time.RFC3339Nano), max(a.Count, 1))}
	if e != nil {
		parts = append(parts, a.Description, a.Summary, strings.Join(rules.Values(e), " "))
	}
	for _, part := range parts {
		if part != "" {
			lines = append(lines, Wrap(hang+part, t.columns(), math.MaxInt)...)
		}
	}
	return lines
}

// Wrap returns the text in lines of so many columns, all but the first indented. There are at most so many, the last with an ellipsis if there is more.
func Wrap(text string, columns, most int) string {
	var lines strings.Builder
	for text = Printable(text); text != ""; most-- {
		if most == 1 {
			text = shorten(text, columns)
		}
		first, rest := split(text, columns)
		lines.WriteString(first + "\n")
		if text = rest; rest != "" {
			text = hang + rest
		}
	}
	return lines.String()
}

// split divides a text at the last space within so many columns, or in a longer word.
func split(text string, columns int) (first, rest string) {
	runes := []rune(text)
	if len(runes) <= columns {
		return text, ""
	}
	at := columns
	for at > columns/2 && runes[at] != ' ' {
		at--
	}
	if runes[at] != ' ' {
		at = columns
	}
	return strings.TrimRight(string(runes[:at]), " "), strings.TrimLeft(string(runes[at:]), " ")
}

// oneLine returns a text as a line of at most so many columns, printable.
func oneLine(text string, columns int) string { return shorten(Printable(text), columns) + "\n" }

func length(text string) int { return utf8.RuneCountInString(text) }

// shorten returns the first characters of a text, at most so many, with an ellipsis if there are more.
func shorten(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	return string(runes[:columns-1]) + "…"
}
