package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ndmon/ndmon/ruled/rules"
)

// rulesPage has the data of the page of the rules.
type rulesPage struct {
	Source string
	Others []string
	Rules  []ruleView
	// Kept is how many alerts are counted, and Since when.
	Kept  int
	Since time.Time
}

// ruleView is a rule, and the alerts that it raised. Rule is nil for one that is not in force here.
type ruleView struct {
	ID, Description, Does string
	Rule                  *rules.Rule
	// Alerts is how many there are, and Frames for how many frames.
	Alerts, Frames uint64
	Last           time.Time
}

// maxUnknownRules bounds the rules that are only known by their alerts.
const maxUnknownRules = 200

func (s *server) rules(_ context.Context, _ *http.Request) (any, error) {
	list, _ := s.model.Alerts()
	inForce, others := s.model.Rules()
	d := rulesPage{Source: inForce.Source, Others: others, Kept: len(list)}
	if len(list) > 0 {
		d.Since = list[0].Time
	}
	at := map[string]int{}
	for i := range inForce.Set.Rules {
		r := &inForce.Set.Rules[i]
		at[r.ID] = i
		d.Rules = append(d.Rules, ruleView{ID: r.ID, Description: r.Description, Does: does(r), Rule: r})
	}
	for _, a := range list {
		i, ok := at[a.Rule]
		if !ok {
			if i = len(d.Rules); i >= len(inForce.Set.Rules)+maxUnknownRules {
				continue
			}
			at[a.Rule] = i
			d.Rules = append(d.Rules, ruleView{ID: a.Rule, Description: a.Description, Does: string(a.Severity)})
		}
		v := &d.Rules[i]
		v.Alerts++
		v.Frames += a.Count
		if a.Time.After(v.Last) {
			v.Last = a.Time
		}
	}
	slices.SortStableFunc(d.Rules, func(a, b ruleView) int { return cmp.Compare(b.Alerts, a.Alerts) })
	return d, nil
}

// does returns what a rule does with a frame that matches it.
func does(r *rules.Rule) string {
	text := string(r.Severity)
	if len(r.Relay) > 0 {
		if text != "" {
			text += ", "
		}
		text += "relay"
	}
	return text
}
