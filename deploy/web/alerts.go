package web

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/schemas"
)

const (
	groupsPerPage = 100
	// manyStations is how many groups of a rule on a link are listed each by itself. In a flood, all of them are one row.
	manyStations = 10
	maxListed    = 100
)

// group is the alerts of a rule on a link about a station, or about many.
type group struct {
	Rule     string
	Link     model.Link
	Station  string
	Stations int
	Severity schemas.Severity
	// Alerts is how many there are, and Frames for how many frames.
	Alerts, Frames       uint64
	First, Last          time.Time
	Summary, Description string
	Silence              *schemas.Silence
}

// query returns the group as a query of an address.
func (g *group) query() url.Values {
	q := url.Values{"rule": {g.Rule}, "host": {g.Link.Host}, "interface": {g.Link.Interface}}
	for name, tag := range map[string]int{"vlan": g.Link.VLAN, "inner": g.Link.Inner} {
		if tag >= 0 {
			q.Set(name, strconv.Itoa(tag))
		}
	}
	if g.Station != "" {
		q.Set("station", g.Station)
	}
	return q
}

// URL returns the address of the page of the group.
func (g *group) URL() string { return "/group?" + g.query().Encode() }

// ListURL returns the address of the list of its stations.
func (g *group) ListURL() string {
	q := g.query()
	q.Set("severity", "info")
	q.Set("each", "1")
	return "/?" + q.Encode()
}

// has reports whether an alert is one of the group. A group without a station is of all.
func (g *group) has(a *model.Alert) bool {
	return a.Rule == g.Rule && a.Link == g.Link && (g.Station == "" || a.Station == g.Station)
}

// linkOf returns the link in a query.
func linkOf(q url.Values) model.Link {
	l := model.Link{Host: q.Get("host"), Interface: q.Get("interface"), VLAN: -1, Inner: -1}
	for name, tag := range map[string]*int{"vlan": &l.VLAN, "inner": &l.Inner} {
		if n, err := strconv.ParseUint(q.Get(name), 10, 12); err == nil {
			*tag = int(n)
		}
	}
	return l
}

// rank orders severities. An unknown one counts as a warning.
func rank(s schemas.Severity) int {
	switch s {
	case schemas.Info:
		return 0
	case schemas.Critical:
		return 2
	}
	return 1
}

// alertsFilter selects alerts. Its members are those of the form.
type alertsFilter struct {
	Severity, Rule, Host, Interface, Text string
	// Hidden shows what is acknowledged or silenced, Each every station by itself.
	Hidden, Each bool
}

func filterOf(q url.Values) alertsFilter {
	f := alertsFilter{q.Get("severity"), q.Get("rule"), q.Get("host"), q.Get("interface"), q.Get("q"), q.Get("hidden") != "", q.Get("each") != ""}
	if f.Severity != "info" && f.Severity != "critical" {
		f.Severity = "warning"
	}
	return f
}

func (f *alertsFilter) wants(a *model.Alert, text string) bool {
	return (f.Rule == "" || a.Rule == f.Rule) && (f.Host == "" || a.Link.Host == f.Host) && (f.Interface == "" || a.Link.Interface == f.Interface) &&
		(text == "" || a.Has(text))
}

// nowPage has the data of the first page.
type nowPage struct {
	Filter alertsFilter
	Groups []group
	Pager  pager
	// Severities counts the alerts that the filter wants, whatever their severity.
	Severities struct{ Critical, Warning, Info int }
	// Kept is how many alerts the page has, and Since when. Dropped are those that are not in order.
	Kept    int
	Since   time.Time
	Dropped uint64
	Hidden  int // groups that are acknowledged or silenced
	Chart   chart
}

func (s *server) groups(_ context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	list, dropped := s.model.Alerts()
	d := nowPage{Filter: filterOf(q), Kept: len(list), Dropped: dropped, Chart: s.alertsOf(list)}
	if len(list) > 0 {
		d.Since = list[0].Time
	}
	least, text := rank(schemas.Severity(d.Filter.Severity)), strings.ToLower(d.Filter.Text)
	var wanted []*model.Alert
	for _, a := range list {
		if !d.Filter.wants(a, text) {
			continue
		}
		switch rank(a.Severity) {
		case 0:
			d.Severities.Info++
		case 1:
			d.Severities.Warning++
		default:
			d.Severities.Critical++
		}
		if rank(a.Severity) >= least {
			wanted = append(wanted, a)
		}
	}
	groups := groupsOf(wanted)
	if silences := s.model.Silences(); len(silences) > 0 {
		shown := groups[:0]
		for _, g := range groups {
			if silence, hidden := model.Hidden(silences, g.Rule, g.Link, g.Station, g.Last, s.now()); hidden {
				d.Hidden++
				if !d.Filter.Hidden {
					continue
				}
				g.Silence = &silence
			}
			shown = append(shown, g)
		}
		groups = shown
	}
	if !d.Filter.Each {
		groups = foldStations(groups)
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(rank(b.Severity), rank(a.Severity)), b.Last.Compare(a.Last), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Station, b.Station))
	})
	d.Pager = newPager(r.URL, len(groups), groupsPerPage)
	d.Groups = groups[d.Pager.from:d.Pager.to]
	return d, nil
}

type groupKey struct {
	rule    string
	link    model.Link
	station string
}

// groupsOf groups alerts, which are in the order of their numbers.
func groupsOf(list []*model.Alert) []group {
	at := map[groupKey]int{}
	var groups []group
	for _, a := range list {
		key := groupKey{a.Rule, a.Link, a.Station}
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, group{Rule: a.Rule, Link: a.Link, Station: a.Station, Stations: 1, First: a.Time})
		}
		groups[i].add(&group{Severity: a.Severity, Alerts: 1, Frames: a.Count, First: a.Time, Last: a.Time, Summary: a.Summary, Description: a.Description})
	}
	return groups
}

// add adds another group.
func (g *group) add(o *group) {
	g.Alerts += o.Alerts
	g.Frames += o.Frames
	if o.First.Before(g.First) {
		g.First = o.First
	}
	if !o.Last.Before(g.Last) {
		g.Last, g.Summary, g.Description = o.Last, o.Summary, o.Description
	}
	if g.Severity == "" || rank(o.Severity) > rank(g.Severity) {
		g.Severity = o.Severity
	}
}

// foldStations makes one group of those of a rule on a link about more than manyStations.
func foldStations(groups []group) []group {
	stations := map[groupKey]int{}
	for i := range groups {
		stations[groupKey{groups[i].Rule, groups[i].Link, ""}]++
	}
	at := map[groupKey]int{}
	folded := make([]group, 0, min(len(groups), groupsPerPage))
	for _, g := range groups {
		key := groupKey{g.Rule, g.Link, ""}
		if stations[key] <= manyStations {
			folded = append(folded, g)
			continue
		}
		i, ok := at[key]
		if !ok {
			at[key] = len(folded)
			g.Station, g.Stations, g.Silence = "", stations[key], nil
			folded = append(folded, g)
			continue
		}
		folded[i].add(&g)
	}
	return folded
}

// groupPage has the data of the page of a group.
type groupPage struct {
	Group  group
	Query  url.Values
	Alerts []*model.Alert
	// Silences are those that apply to the group, by key.
	Silences map[string]schemas.Silence
	Name     string
}

func (s *server) group(_ context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	of := group{Rule: q.Get("rule"), Link: linkOf(q), Station: q.Get("station")}
	if of.Rule == "" || of.Station != "" && model.ParseStation(of.Station) == nil {
		return nil, badRequest("A group has a rule, a link, and the Ethernet address of a station or none.")
	}
	list, _ := s.model.Alerts()
	d := groupPage{Query: of.query(), Silences: map[string]schemas.Silence{}}
	for _, a := range slices.Backward(list) {
		if !of.has(a) {
			continue
		}
		one := group{Severity: a.Severity, Alerts: 1, Frames: a.Count, First: a.Time, Last: a.Time, Summary: a.Summary, Description: a.Description}
		if len(d.Alerts) == 0 {
			of.First = a.Time
		}
		if of.add(&one); len(d.Alerts) < maxListed {
			d.Alerts = append(d.Alerts, a)
		}
	}
	for _, station := range []string{of.Station, ""} {
		key := model.KeyOf(of.Rule, of.Link, station)
		if silence, ok := s.model.Silences()[key]; ok && s.now().Before(silence.Until) {
			d.Silences[key] = silence
		}
	}
	d.Group = of
	d.Name, _ = s.user(r)
	return d, nil
}

// alertPage has the data of the page of an alert.
type alertPage struct {
	Sequence uint64
	Alert    *schemas.Alert
	Event    *schemas.Event // nil if it is not in order
	Members  []member
	Hex      string
	Group    string // the address of its group
	// Stations and Addresses are those in the event, for links to their history.
	Stations, Addresses []string
}

func (s *server) alert(ctx context.Context, r *http.Request) (any, error) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		return nil, errNotFound
	}
	a, e, err := s.model.Alert(ctx, sequence)
	if err != nil {
		return nil, fmt.Errorf("alert %d: %w", sequence, err)
	}
	d := alertPage{Sequence: sequence, Alert: a, Event: e, Members: members(a.Event)}
	if a.Link != nil {
		d.Members = append(d.Members, slices.DeleteFunc(members((&schemas.Event{Link: a.Link}).AppendJSON(nil)), func(m member) bool { return !strings.HasPrefix(m.Path, "link.") })...)
	}
	d.Stations, d.Addresses = mentioned(d.Members)
	if e != nil && len(e.Frame) > 0 {
		d.Hex = hex.Dump(e.Frame)
	}
	g := group{Rule: a.Rule, Link: model.Link{Host: a.Host, Interface: a.Interface, VLAN: -1, Inner: -1}}
	if e != nil && e.Ethernet != nil {
		g.Station = e.Ethernet.Source.String()
		g.Link = model.LinkOf(a.Host, a.Interface, e.Ethernet.VLAN, e.Ethernet.InnerVLAN)
	}
	d.Group = g.URL()
	return d, nil
}
