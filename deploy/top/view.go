package top

import (
	"fmt"
	"strings"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

// view returns what is known in lines of at most so many columns, as many as fit into so many rows; with rows 0, all lines.
func (s *state) view(columns, rows int, colour bool) []string {
	count := map[schemas.Severity]int{}
	for i := range s.alerts {
		count[s.alerts[i].severity]++
	}
	line := func(format string, values ...any) string {
		return strings.TrimSuffix(alerts.Wrap(fmt.Sprintf(format, values...), columns, 1), "\n")
	}
	lines := []string{
		line("ndmon top  %s  daemons: %d, not well: %d; frames lost since their start: %d", s.now.Format("15:04:05"), s.parts, len(s.faulty), s.lost),
		line("alerts of the last 10 minutes: %d critical, %d warning, %d info", count[schemas.Critical], count[schemas.Warning], count[schemas.Info]),
	}
	if s.fault != "" {
		lines = append(lines, line("! %s", s.fault))
	}
	for _, fault := range s.faulty {
		lines = append(lines, line("! %s", fault))
	}
	part := func(list []string) []string { // a third of the rows for each part
		if most := max(rows/3-1, 3); rows > 0 && len(list) > most {
			more := len(list) - most + 1
			list = append(list[:most-1:most-1], line("… and %d more", more))
		}
		return list
	}
	var links, rules []string
	for _, l := range s.links() {
		rate := "-"
		if l.rate >= 0 {
			rate = fmt.Sprintf("%.1f", l.rate)
		}
		links = append(links, line("%-30s %10s %9d %8d %6d", l.name, rate, l.alerts[schemas.Critical], l.alerts[schemas.Warning], l.alerts[schemas.Info]))
	}
	for _, r := range s.rules() {
		rules = append(rules, line("%-30s %10d %9s %8s %s", r.name, r.alerts, r.severity, r.last.time.Local().Format("15:04:05"), r.last.link))
	}
	lines = append(lines, "", line("%-30s %10s %9s %8s %6s", "LINK", "FRAMES/S", "CRITICAL", "WARNING", "INFO"))
	lines = append(lines, part(links)...)
	lines = append(lines, "", line("%-30s %10s %9s %8s %s", "RULE", "ALERTS", "SEVERITY", "LAST", "LINK"))
	lines = append(lines, part(rules)...)
	lines = append(lines, "")
	newest := s.newest(columns, colour)
	if rows > 0 {
		lines = lines[:min(len(lines), rows)]
		newest = newest[max(0, len(newest)-(rows-len(lines))):]
	}
	return append(lines, newest...)
}

// newest returns the lines of the newest alerts, the newest last.
func (s *state) newest(columns int, colour bool) []string {
	var text strings.Builder
	format := alerts.Text{Colour: colour, Columns: func() int { return columns }}.Format()
	for _, a := range s.alerts {
		if a.data == nil {
			continue
		}
		if lines, err := format(a.data); err == nil {
			text.Write(lines)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}
