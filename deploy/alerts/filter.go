package alerts

import (
	"fmt"
	"slices"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/glob"
	"github.com/spf13/cobra"
)

// Filter selects alerts. The zero Filter selects all of them.
type Filter struct {
	// Severity is the least severity; empty for info.
	Severity schemas.Severity
	// Rules and Hosts are globs, one of which has to match; empty for all.
	Rules, Hosts []string
}

// Options adds the options --severity, --rule and --host to a command.
func (f *Filter) Options(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar((*string)(&f.Severity), "severity", "", "only alerts of this `SEVERITY` or above: info, warning or critical")
	flags.StringSliceVar(&f.Rules, "rule", nil, "only alerts of these `RULES`, separated by commas; may be globs (rogue-*)")
	flags.StringSliceVar(&f.Hosts, "host", nil, "only alerts of these `HOSTS`, separated by commas; may be globs")
	c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"info", "warning", "critical"}, cobra.ShellCompDirectiveNoFileComp))
}

// Check returns what is wrong with the values of the options.
func (f *Filter) Check() error {
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
	return (have < 0 || have >= rank(f.Severity)) && matchAny(f.Rules, a.Rule) && matchAny(f.Hosts, a.Host)
}

// rank returns the place of a severity, the least severe first; -1 if it is none.
func rank(s schemas.Severity) int {
	return slices.Index([]schemas.Severity{schemas.Info, schemas.Warning, schemas.Critical}, s)
}

func matchAny(patterns []string, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return glob.Match(pattern, s) })
}
