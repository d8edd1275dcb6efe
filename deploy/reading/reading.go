// Package reading says what reading capture files has found besides the alerts themselves: the progress meanwhile, and a summary
// at the end. What is read and judged is in sensor and ruled.
package reading

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor"
)

// Report counts what is read. The zero Report is ready to use.
type Report struct {
	sensor.Reading
	rules map[string]*rule
}

// rule counts the alerts of a rule.
type rule struct {
	id, description string
	severity        schemas.Severity
	alerts          int
}

// Count counts an alert with an id. It is called for one after the other.
func (r *Report) Count(alert []byte, id string) {
	_, name, _ := strings.Cut(id, ".") // behind the id of the event
	of := r.rules[name]
	if of == nil {
		var a schemas.Alert
		if json.Unmarshal(alert, &a) != nil {
			return
		}
		of = &rule{id: a.Rule, description: a.Description, severity: a.Severity}
		if r.rules == nil {
			r.rules = map[string]*rule{}
		}
		r.rules[name] = of
	}
	of.alerts++
}

// Write writes the summary of what was read, on how many links and from how many stations, in lines of at most so many columns.
func (r *Report) Write(w io.Writer, links, stations, columns int) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %d of them Neighbor Discovery, on %s, from %s\n",
		count(r.Packets.Load(), "frame"), r.Frames.Load(), count(int64(links), "link"), count(int64(stations), "station"))
	list := make([]*rule, 0, len(r.rules))
	width := 0
	for _, of := range r.rules {
		list = append(list, of)
		width = max(width, len(of.id))
	}
	slices.SortFunc(list, func(a, b *rule) int {
		return cmp.Or(alerts.CompareSeverity(b.severity, a.severity), cmp.Compare(b.alerts, a.alerts), strings.Compare(a.id, b.id))
	})
	if len(list) == 0 {
		out.WriteString("no alerts\n")
	}
	for i, of := range list {
		if i == 0 {
			fmt.Fprintf(&out, "%8s  %-8s  RULE\n", "ALERTS", "SEVERITY")
		}
		out.WriteString(alerts.Wrap(fmt.Sprintf("%8d  %-8s  %-*s  %s", of.alerts, of.severity, width, of.id, of.description), columns, 2))
	}
	for _, s := range r.Skipped {
		out.WriteString(alerts.Wrap(fmt.Sprintf("not read in %s: %s %s", s.File, count(int64(s.Packets), "packet"), s.Why), columns, 2))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func count(n int64, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

// progressInterval is how often the progress is shown.
const progressInterval = 200 * time.Millisecond

// Follow calls show with the progress of reading files, until the context ends.
func (r *Report) Follow(ctx context.Context, files []string, show func(string)) {
	total := sizeOf(files)
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			show(r.progress(total))
		}
	}
}

func (r *Report) progress(total int64) string {
	read := fmt.Sprintf("%.1f MB", float64(r.Bytes.Load())/1e6)
	if total > 0 {
		read = fmt.Sprintf("%3d %% of %.1f MB", r.Bytes.Load()*100/total, float64(total)/1e6)
	}
	return fmt.Sprintf("%s read, %s", read, count(r.Packets.Load(), "frame"))
}

// sizeOf returns the bytes in files, 0 if that is unknown, as of a pipe.
func sizeOf(files []string) (total int64) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() {
			return 0
		}
		total += info.Size()
	}
	return total
}
