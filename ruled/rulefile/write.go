package rulefile

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
	"github.com/ndmon/ndmon/schemas"
)

// WriteRouters writes a configuration of NDPMon with the routers of links, to be
// corrected and used as a rule file. Parse reads the same links back, sorted. NDPMon reads
// it too, except for VLANs and for the routers of every link, for which it has no probe.
//
// It is an error, and nothing is written, when Parse would refuse the file.
func WriteRouters(w io.Writer, links []router.Link) error {
	file := routers.Append(nil, slices.Clone(links))
	if _, err := Parse("routers", file); err != nil {
		return fmt.Errorf("write the routers: they cannot be configured: %w", err)
	}
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("write the routers: %w", err)
	}
	return nil
}

// Describe writes what was understood of a file, for a person: how many rules do what, their thresholds, and
// the routers of each link. The error is that of writing.
func (s *Set) Describe(w io.Writer) error {
	out := bufio.NewWriter(w)
	s.describeRules(out)
	s.describeThresholds(out)
	for i := range s.Links {
		routers.Describe(out, &s.Links[i])
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("describe the rules: %w", err)
	}
	return nil
}

func (s *Set) describeRules(w io.Writer) {
	bySeverity := map[schemas.Severity]int{}
	alerts, builtin := 0, 0
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Severity != "" {
			alerts++
			bySeverity[r.Severity]++
		}
		if r.Builtin {
			builtin++
		}
	}
	fmt.Fprintf(w, "rules: %d, of which %d built in\n", len(s.Rules), builtin)
	fmt.Fprintf(w, "  alert: %d (critical %d, warning %d, info %d)\n", alerts,
		bySeverity[schemas.Critical], bySeverity[schemas.Warning], bySeverity[schemas.Info])
	s.describeRelays(w)
}

func (s *Set) describeRelays(w io.Writer) {
	relays := 0
	var order []string
	rules := map[string]int{}
	for i := range s.Rules {
		if hosts := s.Rules[i].Relay; len(hosts) > 0 {
			relays++
			to := strings.Join(hosts, " ")
			if rules[to]++; rules[to] == 1 {
				order = append(order, to)
			}
		}
	}
	fmt.Fprintf(w, "  relay: %d\n", relays)
	const most = 10
	for _, to := range order[:min(most, len(order))] {
		fmt.Fprintf(w, "    to %s: %d\n", to, rules[to])
	}
	if n := len(order) - most; n > 0 {
		fmt.Fprintf(w, "    and to %d other choices of hosts\n", n)
	}
}

// describeThresholds writes each threshold of the file's own rules once, with the rules that have it.
func (s *Set) describeThresholds(w io.Writer) {
	var order []string
	ids := map[string][]string{}
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Threshold == nil || r.Builtin {
			continue
		}
		what := r.Threshold.String()
		if ids[what] == nil {
			order = append(order, what)
		}
		ids[what] = append(ids[what], r.ID)
	}
	for _, what := range order {
		const most = 10
		more := ""
		if n := len(ids[what]); n > most {
			more = fmt.Sprintf(" and %d more", n-most)
		}
		fmt.Fprintf(w, "%s\n  %s%s\n", what, strings.Join(ids[what][:min(most, len(ids[what]))], ", "), more)
	}
}
