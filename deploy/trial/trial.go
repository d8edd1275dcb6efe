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

// Config says which rules are tried on which capture file.
type Config struct {
	Set *rulefile.Set
	// Capture is the path of a capture file, pcap or pcapng.
	Capture string
	// Host and Interface are the origin of the frames. If Interface is empty, it is the
	// one in the capture file, or the name of the file.
	Host, Interface string
	// Link configures the table of links.
	Link link.Config
	// Why, if not 0, is the number of a frame, from 1 on. Run then writes for each rule
	// whether that frame matches it, and which condition fails.
	Why int
}

// match is a frame that matches a rule.
type match struct {
	frame int // number in the file, from 1 on
	time  time.Time
	rule  *rules.Rule
	// count is how many matches the alert stands for, or 0 if the rule's threshold
	// suppresses it.
	count   uint64
	summary string
}

// table returns an empty table of links with the routers that the rules configure.
func (c Config) table() *link.Table {
	table := link.New(c.Link)
	table.Configure(c.Set.Links)
	return table
}

// frames calls matched with each match in the capture file, in the order of the frames.
// If c.Why is the number of a frame that is Neighbor Discovery, it calls look with its
// event. It returns how many frames the file has, and how many of them are Neighbor
// Discovery.
func (c Config) frames(table *link.Table, matched func(match), look func(*schemas.Event)) (frames, events int, err error) {
	thresholds := threshold.New(threshold.MaxKeys)
	evaluator := rules.Compile(c.Set.Rules).NewEvaluator()
	var d decode.Decoder
	for p, err := range capfile.ReadFile(c.Capture) {
		if err != nil {
			return frames, events, err
		}
		frames = p.Number
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
			matched(match{frames, e.Time, rule, count, summary.Of(e)})
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

// Run tries the rules and writes the matches, one per line, and how many frames each
// rule matched; or, with c.Why, what each rule makes of that frame.
func Run(w io.Writer, c Config) error {
	if c.Why != 0 {
		return why(w, c)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FRAME\tTIME\tRULE\tACTION\tWHAT")
	matches := map[*rules.Rule]int{}
	frames, events, err := c.frames(c.table(), func(m match) {
		matches[m.rule]++
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", m.frame, m.time.Format("15:04:05.000000"), m.rule.ID, action(m), m.summary)
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

// action returns what a match does, in words.
func action(m match) string {
	var does []string
	if m.rule.Severity != "" {
		does = append(does, string(m.rule.Severity))
	}
	switch to := strings.Join(m.rule.Relay, " "); to {
	case "":
	case rules.RelayOrigin:
		does = append(does, "relay")
	default:
		does = append(does, "relay to "+to)
	}
	text := strings.Join(does, "+")
	switch {
	case m.count == 0:
		return "(" + text + ", suppressed)"
	case m.count > 1:
		return fmt.Sprintf("%s (%d matches)", text, m.count)
	}
	return text
}

// why writes for each rule whether frame c.Why matches it, and which condition fails.
func why(w io.Writer, c Config) error {
	found := false
	does := map[*rules.Rule]match{}
	var looked error
	frames, _, err := c.frames(c.table(), func(m match) {
		if m.frame == c.Why {
			does[m.rule] = m
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
		return fmt.Errorf("%s has %d frames; there is no frame %d", c.Capture, frames, c.Why)
	}
	return fmt.Errorf("frame %d of %s is not Neighbor Discovery, so no rule applies to it", c.Why, c.Capture)
}

func explain(w io.Writer, c Config, e *schemas.Event, does map[*rules.Rule]match) error {
	fmt.Fprintf(w, "frame %d: %s\n\n", c.Why, summary.Of(e))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range Explain(c.Set.Rules, e) {
		if m, ok := does[v.Rule]; ok {
			fmt.Fprintf(table, "%s\tmatches\t%s\n", v.Rule.ID, action(m))
			continue
		}
		fmt.Fprintf(table, "%s\tno\t%s\n", v.Rule.ID, v.Fails)
	}
	return table.Flush()
}

// Verdict says whether an event matches a rule.
type Verdict struct {
	Rule *rules.Rule
	// Fails is the first condition that does not hold, empty if the event matches.
	Fails string
}

// Explain returns for each rule whether an event matches it, and why not.
func Explain(list []rules.Rule, e *schemas.Event) []Verdict {
	verdicts := make([]Verdict, len(list))
	for i := range list {
		verdicts[i] = Verdict{&list[i], list[i].Fails(e)}
	}
	return verdicts
}
