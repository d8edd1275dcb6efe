package alerts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Filter selects alerts. The zero Filter selects all of them.
type Filter struct {
	// Severity is the least severity; empty for info.
	Severity schemas.Severity
	// Rules and Hosts are globs, one of which has to match; empty for all.
	Rules, Hosts []string
	// Since is the earliest time; zero for any.
	Since time.Time

	since string // as in the option
}

// Options adds the options --severity, --rule and --since to a command.
func (f *Filter) Options(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar((*string)(&f.Severity), "severity", "", "only alerts of this `SEVERITY` or above: info, warning or critical")
	flags.StringSliceVar(&f.Rules, "rule", nil, "only alerts of these `RULES`, separated by commas; may be globs (rogue-*)")
	flags.StringVar(&f.since, "since", "", "only alerts since this `TIME`, such as 2026-11-17T10:00:00Z, '2026-11-17 10:00' in local time, or 36h for so long ago")
	c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"info", "warning", "critical"}, cobra.ShellCompDirectiveNoFileComp))
}

// HostOption adds the option --host to a command whose alerts are those of several hosts.
func (f *Filter) HostOption(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.Hosts, "host", nil, "only alerts of these `HOSTS`, separated by commas; may be globs")
}

// Check reads the values of the options and returns what is wrong with them. Now is the time that --since counts from.
func (f *Filter) Check(now time.Time) (err error) {
	if f.Since, err = process.ParseTime(f.since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if f.Severity != "" && rank(f.Severity) < 0 {
		return fmt.Errorf("--severity: %q is not a severity: use info, warning or critical", f.Severity)
	}
	for option, patterns := range map[string][]string{"rule": f.Rules, "host": f.Hosts} {
		for _, pattern := range patterns {
			if err := glob.Check(pattern); err != nil {
				return fmt.Errorf("--%s: %q %w", option, pattern, err)
			}
		}
	}
	return nil
}

// Match reports whether the filter selects an alert. A severity that is none of ours, from a foreign
// writer, counts as critical.
func (f *Filter) Match(a *schemas.Alert) bool {
	have := rank(a.Severity)
	return (have < 0 || have >= rank(f.Severity)) && !a.Time.Before(f.Since) && matchAny(f.Rules, a.Rule) && matchAny(f.Hosts, a.Host)
}

// Only returns a format that writes the alerts that the filter selects, and nothing for the others.
func (f *Filter) Only(format Format) Format {
	if f.Severity == "" && len(f.Rules) == 0 && len(f.Hosts) == 0 && f.Since.IsZero() {
		return format
	}
	return func(alert []byte) ([]byte, error) {
		var a schemas.Alert
		if err := json.Unmarshal(alert, &a); err != nil || !f.Match(&a) {
			return nil, err
		}
		return format(alert)
	}
}

// rank returns the place of a severity, the least severe first; -1 if it is none.
func rank(s schemas.Severity) int {
	return slices.Index([]schemas.Severity{schemas.Info, schemas.Warning, schemas.Critical}, s)
}

// CompareSeverity returns a number below 0 if a is less severe than b, and above if it is more severe.
func CompareSeverity(a, b schemas.Severity) int { return cmp.Compare(rank(a), rank(b)) }

func matchAny(patterns []string, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return glob.Match(pattern, s) })
}
