package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/deploy/trial"
	"github.com/ndmon/ndmon/deploy/web/model"
	"github.com/ndmon/ndmon/ruled/summary"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/sensor/decode"
)

// maxLinks bounds the links that the form offers.
const maxLinks = 500

// whyPage has the data of the page.
type whyPage struct {
	// Frame, On and Out are what was entered.
	Frame, On string
	Out       bool
	Links     []string
	Fault     string
	Alert     uint64 // the number of the alert whose event is explained
	// Event is decoded in words. Verdicts has the rules that match first.
	Event    string
	Members  []member
	Matches  int
	Verdicts []trial.Verdict
	Source   string
	Others   []string
}

func (s *server) whyPage() whyPage {
	var d whyPage
	for _, l := range s.model.Links() {
		if len(d.Links) < maxLinks {
			d.Links = append(d.Links, l.Link.String())
		}
	}
	return d
}

// whyForm shows the form, and explains the event of an alert if the query has its number.
func (s *server) whyForm(ctx context.Context, r *http.Request) (any, error) {
	d := s.whyPage()
	text := r.URL.Query().Get("alert")
	if text == "" {
		return d, nil
	}
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, badRequest("%q is no number of an alert.", text)
	}
	_, e, err := s.model.Alert(ctx, sequence)
	if err != nil {
		return nil, err
	}
	if d.Alert = sequence; e == nil {
		d.Fault = "The event of the alert is not in order."
		return d, nil
	}
	s.explain(&d, e)
	return d, nil
}

// why explains the frame that was entered.
func (s *server) why(w http.ResponseWriter, r *http.Request) {
	d, status := s.whyPage(), http.StatusOK
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, badRequest("The form cannot be read: %v.", err))
		return
	}
	d.Frame, d.On, d.Out = r.PostForm.Get("frame"), r.PostForm.Get("on"), r.PostForm.Get("direction") == schemas.Out
	if err := s.explainFrame(r.Context(), &d); err != nil {
		d.Fault, status = err.Error(), http.StatusBadRequest
	}
	s.render(w, r, s.pages["/why"], status, d)
}

func (s *server) explainFrame(ctx context.Context, d *whyPage) error {
	frame, err := parseFrame(d.Frame)
	if err != nil {
		return err
	}
	var decoder decode.Decoder
	e, ok := decoder.Decode(frame, len(frame))
	if !ok {
		return errors.New("the frame is not Neighbor Discovery, so no rule applies to it; it must begin with its Ethernet header (tcpdump -xx, not -x)")
	}
	e.Type, e.ID, e.Time, e.Direction = schemas.TypeEvent, "entered", s.now().UTC(), schemas.In
	if d.Out {
		e.Direction = schemas.Out
	}
	links := s.model.Links()
	of := model.Link{VLAN: -1, Inner: -1}
	if i := slices.IndexFunc(links, func(l model.LinkState) bool { return l.Link.String() == d.On }); i >= 0 {
		of = links[i].Link
	}
	e.Host, e.Interface = of.Host, of.Interface
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	table, err := s.model.Table(ctx, of)
	if err != nil {
		return err
	}
	table.Observe(e)
	s.explain(d, e)
	return nil
}

// explain fills in what the rules make of an event.
func (s *server) explain(d *whyPage, e *schemas.Event) {
	rules, others := s.model.Rules()
	d.Event, d.Members, d.Source, d.Others = summary.Of(e), members(e.AppendJSON(nil)), rules.Source, others
	d.Verdicts = trial.Explain(rules.Set.Rules, e)
	slices.SortStableFunc(d.Verdicts, func(a, b trial.Verdict) int { return strings.Compare(matched(a), matched(b)) })
	for _, v := range d.Verdicts {
		if v.Fails == "" {
			d.Matches++
		}
	}
}

// matched orders the rules that match before the others.
func matched(v trial.Verdict) string {
	if v.Fails == "" {
		return "0"
	}
	return "1"
}
