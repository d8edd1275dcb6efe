package fleet

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
)

// Bounds of a name and of a text in the table, in characters.
const maxName, maxText = 40, 200

// writeTable writes the report for people.
func (r *Report) writeTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.Join(Columns(), "\t")))
	for i := range r.Rows {
		fmt.Fprintln(table, strings.Join(r.Rows[i].Cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range slices.Concat(r.Besides, r.Notes) {
		fmt.Fprintln(w, text(line, 4*maxText)) // to a buffer that keeps the error
	}
	return nil
}

// Columns returns the names of the Cells.
func Columns() []string {
	return []string{"Host", "Part", "Version", "Rules", "Interfaces", "Newest", "Lost", "Clock", "State"}
}

// Cells returns the row for people, with printable characters only.
func (r *Row) Cells() []string {
	cells := []string{r.Host, r.Part, "", "", "", "", "", ""}
	if s := r.DaemonStatus; s != nil {
		cells = []string{r.Host, r.Part, s.Version, rulesOf(s), "", "", fmt.Sprint(s.Lost), fmt.Sprintf("%+.3fs", r.Clock)}
		for _, on := range [][]string{s.Interfaces, s.Slaves} { // an ndmon has both
			cells[4] = strings.Trim(cells[4]+" > "+strings.Join(on, ","), " >")
		}
		if len(s.Partitions) > 0 {
			cells[4] = fmt.Sprintf("%d partitions", len(s.Partitions))
		}
		if s.Newest != nil {
			cells[5] = age(s.Time, *s.Newest)
		}
	}
	for i, cell := range cells {
		cells[i] = text(cmp.Or(cell, "-"), maxName)
	}
	return append(cells, text(cmp.Or(strings.Join(r.Amiss, "; "), r.State), maxText))
}

// age returns how long ago something was.
func age(now, then time.Time) string { return max(0, now.Sub(then)).Truncate(time.Second).String() }

// text makes a text of a daemon fit for a terminal.
func text(s string, most int) string {
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return alerts.Printable(s)
}
