package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Remark is something to be said about a line of a rule file.
type Remark struct {
	File string
	// Line counts from 1.
	Line    int
	Message string
}

// String returns FILE:LINE: message.
func (r Remark) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Message) }

// maxRemarks bounds the faults, and likewise the notices, that are listed.
const maxRemarks = 100

// Faults is the error of a rule file that was refused: all that is wrong with
// it, at most 100 faults by line.
type Faults struct {
	List []Remark
	// More counts the faults beyond those in List.
	More int
}

// Error returns the faults, one a line.
func (f *Faults) Error() string {
	lines := make([]string, 0, len(f.List)+1)
	for _, r := range f.List {
		lines = append(lines, r.String())
	}
	if f.More > 0 {
		lines = append(lines, fmt.Sprintf("%s: %d more faults", f.List[0].File, f.More))
	}
	return strings.Join(lines, "\n")
}

func sortRemarks(list []Remark) {
	slices.SortStableFunc(list, func(a, b Remark) int { return cmp.Compare(a.Line, b.Line) })
}

// maxQuoted and maxMessage bound, in characters, what a remark shows of the file
// and the remark itself.
const (
	maxQuoted  = 80
	maxMessage = 500
)

// quote shows a piece of the file in a message: in one line, and not all of it
// when it is long.
func quote(s string) string { return strconv.Quote(shorten(s, maxQuoted)) }

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// nearest returns the candidate that is written most like name, or "" when none
// is alike.
func nearest(name string, candidates []string) string {
	if len(name) > 100 {
		return ""
	}
	best, least := "", len(name)/3+1
	for _, c := range candidates {
		if d := distance(name, c); d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// distance is the least number of letters to insert, delete, replace or swap
// with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				row[j] = last[j-1]
			} else {
				row[j] = 1 + min(last[j-1], last[j], row[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// didYouMean ends a message about an unknown name. The form is that of the
// names, such as "<%s>".
func (p *parser) didYouMean(name string, candidates []string, form string) string {
	if len(p.faults.List) == maxRemarks {
		return "" // it will not be shown
	}
	if c := nearest(name, candidates); c != "" {
		return fmt.Sprintf("; did you mean "+form+"?", c)
	}
	return ""
}
