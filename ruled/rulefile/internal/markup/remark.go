package markup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Remark is a message about a line of a rule file.
type Remark struct {
	File string
	// Line counts from 1.
	Line    int
	Message string
}

// String returns FILE:LINE: message.
func (r Remark) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Message) }

// MaxRemarks bounds the faults, and likewise the notices, that are listed.
const MaxRemarks = 100

// Faults is the error of a rule file that was refused: all that is wrong with it, at most 100 faults by line.
type Faults struct {
	List []Remark
	// More counts the faults beyond those in List.
	More int
}

// Error returns the faults, one per line.
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

// nearest returns the candidate that is written most like name, or "" when none is alike.
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
