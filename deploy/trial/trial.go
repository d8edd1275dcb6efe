// Package trial tries rules on a capture file: which frame matches which rule,
// and why another does not.
package trial

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/rules"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/ruled/threshold"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/decode"
)

// Config is what a trial is made with.
type Config struct {
	Set *rulefile.Set
	// Capture is a capture file, pcap or pcapng.
	Capture string
	// Host and Interface are where the frames are taken to come from; an empty
	// interface is that in the capture file, or else named after the file.
	Host, Interface string
	// Link is how the table of links works.
	Link link.Config
	// Why, if not 0, is the number of a frame, from 1 on: then Run says of each
	// rule whether that frame matches it, and which condition fails.
	Why int
}

// Match is a rule that a frame matches.
type Match struct {
	// Frame is the frame's number in the file, from 1 on.
	Frame int
	Time  time.Time
	Rule  *rules.Rule
	// Count is how many matches an alert of it stands for, or 0 where the rule's
	// threshold holds it back.
	Count   uint64
	Summary string
}

// Frames calls match with each match in the capture file, in its order, and
// returns how many frames it has and how many of them are Neighbor Discovery.
// With the number of a frame, it calls look with the event of that.
func Frames(c Config, match func(Match), look func(*schemas.Event)) (frames, events int, err error) {
	table := link.New(c.Link)
	table.Configure(c.Set.Links)
	return c.frames(table, match, look)
}

// frames is Frames with what is known of the links already.
func (c Config) frames(table *link.Table, match func(Match), look func(*schemas.Event)) (frames, events int, err error) {
	thresholds := threshold.New(threshold.MaxKeys)
	evaluator := rules.Compile(c.Set.Rules).NewEvaluator()
	var d decode.Decoder
	for p, err := range capfile.ReadFile(c.Capture) {
		if err != nil {
			return frames, events, err
		}
		frames++
		e, ok := d.Decode(p.Data, p.Length)
		if !ok {
			continue
		}
		events++
		e.Type, e.ID, e.Time, e.Direction = schemas.TypeEvent, fmt.Sprint(frames), p.Time, schemas.In
		e.Host, e.Interface = c.Host, c.interfaceOf(p)
		table.Observe(e)
		for _, rule := range evaluator.Evaluate(e) {
			count, _ := thresholds.Pass(rule.ID, rule.Threshold, e)
			match(Match{frames, e.Time, rule, count, summary.Of(e)})
		}
		if frames == c.Why {
			look(e)
		}
	}
	return frames, events, nil
}

func (c Config) interfaceOf(p capfile.Packet) string {
	switch {
	case c.Interface != "":
		return c.Interface
	case p.Interface != "":
		return p.Interface
	}
	base := filepath.Base(c.Capture)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// Run makes a trial and writes what came of it.
func Run(w io.Writer, c Config) error {
	if c.Why != 0 {
		return why(w, c)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FRAME\tTIME\tRULE\tACTION\tWHAT")
	matches := map[*rules.Rule]int{}
	frames, events, err := Frames(c, func(m Match) {
		matches[m.Rule]++
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", m.Frame, m.Time.Format("15:04:05.000000"), m.Rule.ID, action(m), m.Summary)
	}, nil)
	if err != nil && frames == 0 {
		return err // there is nothing to show
	}
	if err := errors.Join(err, table.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d frames, %d of them Neighbor Discovery\n", frames, events)
	for i := range c.Set.Rules {
		if rule := &c.Set.Rules[i]; matches[rule] > 0 {
			fmt.Fprintf(w, "%6d  %s\n", matches[rule], rule.ID)
		}
	}
	return nil
}

// action says what a match does.
func action(m Match) string {
	var does []string
	if m.Rule.Severity != "" {
		does = append(does, string(m.Rule.Severity))
	}
	switch to := strings.Join(m.Rule.Relay, " "); to {
	case "":
	case rules.RelayOrigin:
		does = append(does, "relay")
	default:
		does = append(does, "relay to "+to)
	}
	text := strings.Join(does, "+")
	switch {
	case m.Count == 0:
		return "(" + text + ", held back)"
	case m.Count > 1:
		return fmt.Sprintf("%s (%d matches)", text, m.Count)
	}
	return text
}

// why says of each rule what it makes of one frame.
func why(w io.Writer, c Config) error {
	found := false
	does := map[*rules.Rule]Match{}
	var looked error
	frames, _, err := Frames(c, func(m Match) {
		if m.Frame == c.Why {
			does[m.Rule] = m
		}
	}, func(e *schemas.Event) {
		found = true
		looked = explain(w, c, e, does)
	})
	switch {
	case err != nil || looked != nil:
		return errors.Join(err, looked)
	case found:
		return nil
	case c.Why > frames:
		return fmt.Errorf("%s has %d frames, there is no frame %d", c.Capture, frames, c.Why)
	}
	return fmt.Errorf("frame %d of %s is no Neighbor Discovery: rules are not asked about it", c.Why, c.Capture)
}

func explain(w io.Writer, c Config, e *schemas.Event, does map[*rules.Rule]Match) error {
	fmt.Fprintf(w, "frame %d: %s\n\n", c.Why, summary.Of(e))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range c.Set.Rules {
		rule := &c.Set.Rules[i]
		if m, ok := does[rule]; ok {
			fmt.Fprintf(table, "%s\tmatches\t%s\n", rule.ID, action(m))
			continue
		}
		fmt.Fprintf(table, "%s\tno\t%s\n", rule.ID, rule.Fails(e))
	}
	return table.Flush()
}
